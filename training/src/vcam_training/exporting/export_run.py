"""Exports a finished run: its best network, with all that is known about it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import (
    CamLayer,
    Explanation,
    ModelSpec,
    Provenance,
    SliceAggregation,
)
from vcam_serving.publish import versions
from vcam_training.cams.target_layer import target_layer
from vcam_training.config import Config
from vcam_training.data.contract import DataContract
from vcam_training.evaluation.evaluate import Evaluation
from vcam_training.evaluation.evidence_levels import EvidenceLevels
from vcam_training.evaluation.map_metrics import MAP_METRICS
from vcam_training.exporting.explanations import explanations
from vcam_training.exporting.export import export
from vcam_training.intensity import transform_text
from vcam_training.network_file import OF_A_RUN, load_network
from vcam_training.run_folder import read_config, read_contract, read_finished

LICENCE = "Apache-2.0"
_NAMED = 3
"""Things in the way that a message names."""


def export_run(
    run: Path | str,
    base: Path | str,
    *,
    name: str | None = None,
    layers: Sequence[str] = (),
    method: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Publishes the next version of a run's best network.

    Args:
        run: the folder of a finished run.
        base: the folder of the model's versions.
        name: of the model in its spec; by default the folder's.
        layers, method: see `model_spec`.
        report: is told, line by line, what can be asked for and what is not known.

    Returns:
        `<base>/<version>`.

    Raises:
        ConfigError: no finished run, or its network is damaged; no such layer or method; or
            a base that holds models, or anything else but versions.
        ServableError: the export can't be verified or published.
    """
    run, base = Path(run), Path(base)
    _check_holds_versions(base)
    measured_on = read_finished(run, "metrics.json")["layer"]
    model = load_network(run / "best.keras", "the best network of a run", OF_A_RUN)
    spec = model_spec(run, model, name=name or base.name, layers=layers, method=method)
    version = export(model, spec, base)
    default = spec.default_explanation
    methods = ", ".join(dict.fromkeys(e.method for e in spec.explanations))
    report(f"Maps on {', '.join(layer.name for layer in spec.cam_layers)} by {methods}")
    report(f"Default: {default.method} on {default.layer}")
    unknown = [layer.name for layer in spec.cam_layers if layer.name != measured_on]
    if unknown:
        report(
            f"The run measured maps on {measured_on} alone; `vcam-train trust` measures "
            f"levels and figures of {', '.join(unknown)}."
        )
    return version


def _check_holds_versions(base: Path) -> None:
    models = sorted(p.name for p in base.glob("*") if not p.name.isdigit() and versions(p))
    if models:
        raise ConfigError(
            f"Expected the folder of one model's versions, '{base}' holds models: "
            f"{', '.join(models)}. Name a folder in it, such as '{base / models[0]}'."
        )
    if base.exists() and not base.is_dir():
        raise ConfigError(
            f"Expected a folder for the versions of a model, '{base}' is a file. Name another one."
        )
    others = [p for p in sorted(base.glob("[!.]*")) if not p.name.isdigit()]
    # A note may lie beside versions; a folder tells that it is no model's.
    if any(p.is_dir() for p in others) or (others and not versions(base)):
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise ConfigError(
            f"Expected a folder of one model's versions, or a new one, '{base}' holds other "
            f"things: {', '.join(p.name for p in others[:_NAMED])}{more}. Name a folder of its "
            "own, such as build/models/NAME."
        )


def model_spec(
    run: Path | str,
    model: keras.Model,
    *,
    name: str,
    layers: Sequence[str] = (),
    method: str | None = None,
) -> ModelSpec:
    """The model spec of a finished run.

    Args:
        run: its folder.
        model: its best network.
        name: of the model.
        layers: target layers, each a name, an index, "last", or several of them joined
            by "+" for a fused map; the first is the default. Without any, the run's own.
            Levels of maps were measured on that one and are unknown on others.
        method: the default CAM method; by default the one that the run's figures about
            maps were measured with. They are left out where the default is another
            method or layer.

    Raises:
        ConfigError: no finished run, or no such layer or method.
    """
    config, contract = read_config(run), read_contract(run)
    figures = read_finished(run, "metrics.json")
    evaluation = Evaluation.from_json_dict(figures)
    calibration = evaluation.calibration
    method = method or evaluation.method
    places = _places(model, layers or (config.model.target_layer,))
    explained = [
        _with_levels(one, figures["layer"], evaluation.levels)
        for one in explanations(places, method)
    ]
    as_measured = (places[0].name, method) == (figures["layer"], evaluation.method)
    return ModelSpec(
        name=name,
        description=config.description,
        licence=LICENCE,
        intended_use=config.intended_use,
        labels=contract.labels,
        activation=contract.task.activation,
        unit=contract.unit,
        explain_default=config.explains(contract.task),
        decision_threshold=None if calibration is None else calibration.decision_threshold,
        calibration_temperature=None if calibration is None else calibration.temperature,
        grid=contract.grid,
        slice_aggregation=_slice_aggregation(contract),
        intensity=replace(
            contract.intensity, transform=transform_text(config.scaling, contract.intensity)
        ),
        cam_layers=tuple(_with_reference(place, method, explained) for place in places),
        provenance=_provenance(run, config, figures),
        metrics=tuple(m for m in evaluation.metrics if as_measured or m.name not in MAP_METRICS),
        explanations=tuple(explained),
    )


def _places(model: keras.Model, layers: Sequence[str]) -> list[CamLayer]:
    places = [target_layer(model, layer).place for layer in layers]
    names = [place.name for place in places]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"Expected different target layers, received {names} for {list(layers)}. "
            "Name each layer once."
        )
    return places


def _with_levels(
    one: Explanation, measured_on: str, levels: Mapping[str, EvidenceLevels]
) -> Explanation:
    known = levels.get(one.method) if one.layer == measured_on else None
    if known is None:
        return one
    return replace(
        one,
        reference_maximum=known.reference_maximum,
        evidence_minimum=known.evidence_minimum,
        threshold=known.threshold,
    )


def _with_reference(place: CamLayer, method: str, explained: Sequence[Explanation]) -> CamLayer:
    """The layer with the reference maximum of the default method, where it is known."""
    (default,) = [one for one in explained if (one.layer, one.method) == (place.name, method)]
    return replace(place, reference_maximum=default.reference_maximum)


def _slice_aggregation(contract: DataContract) -> SliceAggregation | None:
    if contract.grid.ndim != 2:
        return None
    return contract.slice_aggregation or SliceAggregation.NONE


def _provenance(run: Path | str, config: Config, figures: dict) -> Provenance:
    data, versions = read_finished(run, "data.json"), read_finished(run, "versions.json")
    return Provenance(
        data_set=data["name"],
        data_sha256=data["sha256"],
        config=json.dumps(config.to_json_dict()),
        code_version=versions["code"],
        library_versions={k: v for k, v in versions.items() if k not in ("code", "machine")},
        created_at=figures["finished_at"],
    )
