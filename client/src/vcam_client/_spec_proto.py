"""The model spec as a protobuf message, and back."""

import enum
from collections.abc import Iterable
from typing import Any, TypeVar

from vcam_client._proto import model_spec_pb2 as pb
from vcam_client.errors import ContractError
from vcam_client.spec import (
    Activation,
    CamLayer,
    ExplainDefault,
    Explanation,
    Fit,
    Grid,
    Intensity,
    Metric,
    ModelSpec,
    Provenance,
    Resampling,
    SliceAggregation,
    Trust,
)

_E = TypeVar("_E", bound=enum.Enum)


def to_proto(spec: ModelSpec) -> Any:
    """The spec as a `vcam.v1.ModelSpec` message."""
    grid = spec.grid
    intensity = pb.Intensity(
        units=spec.intensity.units,
        dtype=spec.intensity.dtype,
        transform=spec.intensity.transform,
        modalities=spec.intensity.modalities,
        band_edges=spec.intensity.band_edges,
    )
    if spec.intensity.window is not None:
        intensity.window_low, intensity.window_high = spec.intensity.window
    return pb.ModelSpec(
        contract_version=spec.contract_version,
        name=spec.name,
        description=spec.description,
        licence=spec.licence,
        intended_use=spec.intended_use,
        labels=spec.labels,
        activation=spec.activation.value,
        unit=spec.unit,
        explain_default=spec.explain_default.value,
        decision_threshold=spec.decision_threshold,
        calibration_temperature=spec.calibration_temperature,
        grid=pb.Grid(
            shape=grid.shape,
            axes=grid.axes,
            fit=grid.fit.value,
            spacing_mm=grid.spacing_mm,
            resampling=grid.resampling.value,
            padding_value=grid.padding_value,
        ),
        slice_aggregation=spec.slice_aggregation.value if spec.slice_aggregation else None,
        intensity=intensity,
        cam_layers=[pb.CamLayer(**vars(layer)) for layer in spec.cam_layers],
        provenance=pb.Provenance(**vars(spec.provenance)),
        metrics=_metrics_proto(spec.metrics),
        explanations=[pb.Explanation(**vars(one)) for one in spec.explanations],
        trust=_trust_proto(spec.trust),
    )


def from_proto(message: Any) -> ModelSpec:
    """The spec of a `vcam.v1.ModelSpec` message.

    Raises:
        ContractError: the message is no valid model spec.
    """
    grid, intensity = message.grid, message.intensity
    window = None
    if intensity.HasField("window_low") and intensity.HasField("window_high"):
        window = (intensity.window_low, intensity.window_high)
    return ModelSpec(
        contract_version=message.contract_version,
        name=message.name,
        description=message.description,
        licence=message.licence,
        intended_use=message.intended_use,
        labels=tuple(message.labels),
        activation=_enum(Activation, message, "activation"),
        unit=message.unit,
        explain_default=_enum(ExplainDefault, message, "explain_default"),
        decision_threshold=_optional(message, "decision_threshold"),
        calibration_temperature=_optional(message, "calibration_temperature"),
        grid=Grid(
            shape=tuple(grid.shape),
            axes=tuple(grid.axes),
            fit=_enum(Fit, grid, "fit"),
            spacing_mm=tuple(grid.spacing_mm),
            resampling=_enum(Resampling, grid, "resampling"),
            padding_value=grid.padding_value,
        ),
        slice_aggregation=(
            _enum(SliceAggregation, message, "slice_aggregation")
            if message.slice_aggregation
            else None
        ),
        intensity=Intensity(
            units=intensity.units,
            dtype=intensity.dtype,
            transform=intensity.transform,
            modalities=tuple(intensity.modalities),
            window=window,
            band_edges=tuple(intensity.band_edges),
        ),
        cam_layers=tuple(
            CamLayer(
                name=layer.name,
                cells=tuple(layer.cells),
                offset=tuple(layer.offset),
                stride=tuple(layer.stride),
                receptive_field=tuple(layer.receptive_field),
                reference_maximum=_optional(layer, "reference_maximum"),
            )
            for layer in message.cam_layers
        ),
        provenance=Provenance(
            data_set=message.provenance.data_set,
            data_sha256=message.provenance.data_sha256,
            config=message.provenance.config,
            code_version=message.provenance.code_version,
            library_versions=dict(message.provenance.library_versions),
            created_at=message.provenance.created_at,
        ),
        metrics=_metrics(message.metrics),
        explanations=tuple(
            Explanation(
                signature=one.signature,
                method=one.method,
                layer=one.layer,
                reference_maximum=_optional(one, "reference_maximum"),
                evidence_minimum=_optional(one, "evidence_minimum"),
                threshold=_optional(one, "threshold"),
            )
            for one in message.explanations
        ),
        trust=_trust(message.trust) if message.HasField("trust") else None,
    )


def _metrics_proto(metrics: Iterable[Metric]) -> list[Any]:
    return [pb.Metric(**vars(metric)) for metric in metrics]


def _trust_proto(trust: Trust | None) -> Any:
    if trust is None:
        return None
    return pb.Trust(**{**vars(trust), "figures": _metrics_proto(trust.figures)})


def _trust(message: Any) -> Trust:
    return Trust(
        summary=message.summary,
        signature=message.signature,
        depends_on_weights=_optional(message, "depends_on_weights"),
        figures=_metrics(message.figures),
        measured_at=message.measured_at,
    )


def _metrics(messages: Iterable[Any]) -> tuple[Metric, ...]:
    return tuple(
        Metric(
            name=metric.name,
            value=metric.value,
            lower=_optional(metric, "lower"),
            upper=_optional(metric, "upper"),
            count=_optional(metric, "count"),
            split=metric.split,
            chance=_optional(metric, "chance"),
        )
        for metric in messages
    )


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _enum(kind: type[_E], message: Any, name: str) -> _E:
    descriptor = message.DESCRIPTOR.fields_by_name[name].enum_type
    number = getattr(message, name)
    value = descriptor.values_by_number.get(number)
    try:
        return kind(value.name if value is not None else None)
    except ValueError:
        raise ContractError(
            f"The model spec says {name} = {value.name if value is not None else number}, "
            f"which this software does not know. Expected one of {[k.name for k in kind]}."
        ) from None
