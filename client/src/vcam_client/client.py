"""The client: a scan goes in, an explained prediction comes out."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._grpc import Answer, GrpcTransport
from vcam_client.errors import (
    ContractError,
    IncompatibleScanError,
    InputError,
    ModelNotFoundError,
)
from vcam_client.grid import Placement, place
from vcam_client.prediction import Prediction
from vcam_client.reading import read_volume
from vcam_client.scores import aggregate, default_class
from vcam_client.spec import ModelSpec, SliceAggregation
from vcam_client.volume import Volume

DEFAULT_PORT = 8500
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_PORT}"
DEFAULT_MODEL = "default"
DEFAULT_TIMEOUT_S = 120.0
SERVER_VARIABLE = "VCAM_SERVER"
"""Environment variable with the address used where none is given."""

_SLICES_PER_CALL = 16
_SPEC_KEY = b"model_spec"


@dataclass(frozen=True, kw_only=True)
class ServedSpec:
    """A model spec, and the version that served it."""

    spec: ModelSpec
    version: int
    json: str


class Client:
    """Talks to a model server over gRPC. Use it as a context manager, or close it.

    Args:
        server: "HOST:PORT"; by default $VCAM_SERVER, else 127.0.0.1:8500.
        timeout: seconds that one call may take.
    """

    def __init__(self, server: str | None = None, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self.server = _address(server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER)
        self._transport = GrpcTransport(self.server, timeout)
        self._specs: dict[str, ServedSpec] = {}

    def spec(self, model: str = DEFAULT_MODEL) -> ServedSpec:
        """The model spec, as the newest version serves it now.

        Raises:
            ModelNotFoundError, ServerUnavailableError: as their names say.
            ContractError: the model serves no valid spec.
        """
        answer = self._transport.predict(model, None, "spec", {"key": [_SPEC_KEY]}, ["model_spec"])
        values = answer.outputs.get("model_spec")
        if values is None or values.size != 1 or not isinstance(values.flat[0], bytes):
            raise ContractError(
                f"Expected one JSON text as the spec of model {model!r}, received "
                f"{values!r}. Export the model with `vcam-train export`."
            )
        text = values.flat[0].decode("utf-8", "replace")
        served = ServedSpec(spec=ModelSpec.from_json(text), version=answer.version, json=text)
        self._specs[model] = served
        return served

    def predict(
        self,
        scan: Path | str | Volume,
        *,
        model: str = DEFAULT_MODEL,
        target: str | None = None,
        series: str | int | None = None,
        volume_index: int | None = None,
        spacing: float | Sequence[float] | None = None,
        strict: bool = False,
    ) -> Prediction:
        """Scores a scan and explains one class.

        The version that served the spec is pinned; when it is gone, the spec is
        read again and the scan prepared anew.

        Args:
            scan: a path that `read_volume` reads, or a volume.
            model: its name on the server.
            target: label to explain; by default what the spec says.
            series, volume_index, spacing, strict: as for `read_volume`, where `scan` is a path.

        Raises:
            InputError: the scan can't be read, or not by this model.
            ServerError: the server can't be reached, or refused.
            ContractError: the answer is not what the spec promises.
        """
        start = time.perf_counter()
        volume = (
            scan
            if isinstance(scan, Volume)
            else read_volume(
                scan, series=series, volume_index=volume_index, spacing=spacing, strict=strict
            )
        )
        timings = {"read": time.perf_counter() - start}
        pinned = model in self._specs
        served = self._specs[model] if pinned else self.spec(model)
        try:
            return self._predict(volume, model, served, target, timings)
        except ModelNotFoundError:
            served_now = self.spec(model)
            if served_now.version == served.version:
                raise
            return self._predict(volume, model, served_now, target, timings)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _predict(
        self,
        volume: Volume,
        model: str,
        served: ServedSpec,
        target: str | None,
        timings: Mapping[str, float],
    ) -> Prediction:
        spec = served.spec
        wanted = -1 if target is None else _index_of(target, spec)
        _require_modality(volume, spec)
        clock = time.perf_counter()
        placement = place(volume, spec.grid, spec.slice_aggregation)
        tensor = placement.to_model(volume.data, spec.intensity.dtype, padding=volume.padding)
        prepared = time.perf_counter()
        explain = (
            self._explain_slices
            if spec.slice_aggregation in (SliceAggregation.MAX, SliceAggregation.MEAN)
            else self._explain
        )
        scores, class_index, cam = explain(tensor, model, served, wanted, placement)
        answered = time.perf_counter()
        return Prediction(
            volume=volume,
            spec=spec,
            model=model,
            version=served.version,
            scores=scores,
            class_index=class_index,
            cam=cam,
            placement=placement,
            timings={
                **timings,
                "prepare": prepared - clock,
                "server": answered - prepared,
            },
        )

    def _explain(
        self,
        tensor: NDArray[Any],
        model: str,
        served: ServedSpec,
        wanted: int,
        placement: Placement,
    ) -> tuple[NDArray[np.float64], int, NDArray[np.float32]]:
        # a 2-D model's one image has a slice axis of length 1, which is the batch
        batch = tensor[None, ..., None] if placement.grid.ndim == 3 else tensor[..., None]
        inputs: dict[str, NDArray[Any] | Sequence[bytes]] = {"volume": batch}
        signature = "serving_default"
        if wanted >= 0:
            signature, inputs["class_index"] = "gradcam", np.array([wanted], np.int32)
        answer = self._transport.predict(
            model, served.version, signature, inputs, ["scores", "cam", "class_index"]
        )
        spec = served.spec
        classes = len(spec.labels)
        scores = _checked(answer, "scores", (1, classes))
        cam = _checked(answer, "cam", (1, *spec.default_layer.cells))
        class_index = int(_checked(answer, "class_index", (1,))[0])
        if not 0 <= class_index < classes:
            raise ContractError(f"The server explained class {class_index} of {classes}.")
        cells = cam[0] if placement.grid.ndim == 3 else cam
        return scores[0].astype(np.float64), class_index, cells

    def _explain_slices(
        self,
        tensor: NDArray[Any],
        model: str,
        served: ServedSpec,
        wanted: int,
        placement: Placement,
    ) -> tuple[NDArray[np.float64], int, NDArray[np.float32]]:
        # which class is explained follows from all slices together, so the maps of
        # all classes come back with the one forward pass
        spec, classes = served.spec, len(served.spec.labels)
        all_scores, all_cams = [], []
        for start in range(0, len(tensor), _SLICES_PER_CALL):
            batch = tensor[start : start + _SLICES_PER_CALL, ..., None]
            answer = self._transport.predict(
                model, served.version, "gradcam_all", {"volume": batch}, ["scores", "cam"]
            )
            all_scores.append(_checked(answer, "scores", (len(batch), classes)))
            cells = (len(batch), classes, *spec.default_layer.cells)
            all_cams.append(_checked(answer, "cam", cells))
        scores = aggregate(np.concatenate(all_scores).astype(np.float64), spec)
        class_index = wanted if wanted >= 0 else default_class(scores, spec)
        return scores, class_index, np.concatenate([cam[:, class_index] for cam in all_cams])


def _address(server: str) -> str:
    """HOST:PORT, with the default port where none is given."""
    if "://" in server:
        raise InputError(
            f"Expected the gRPC address HOST:PORT of the server, received {server!r}. "
            "Leave out the scheme and give the gRPC port (8500 by default, REST has 8501)."
        )
    return server if ":" in server else f"{server}:{DEFAULT_PORT}"


def _checked(answer: Answer, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    value = answer.outputs.get(name)
    if value is None or value.shape != shape:
        raise ContractError(
            f"Expected {name!r} of shape {shape} as the model spec promises, received "
            f"{'nothing' if value is None else value.shape}. Export the model again."
        )
    if value.dtype.kind not in "if" or not np.isfinite(value).all():
        raise ContractError(
            f"The server's {name!r} is not finite everywhere. The model divides by zero or "
            "overflows on this scan; check its intensity units with `vcam-client info`."
        )
    return value


def _index_of(label: str, spec: ModelSpec) -> int:
    if label not in spec.labels:
        raise IncompatibleScanError(
            f"The model knows no label {label!r}. Choose one of: {', '.join(spec.labels)}."
        )
    return spec.labels.index(label)


def _require_modality(volume: Volume, spec: ModelSpec) -> None:
    accepted = spec.intensity.modalities
    if volume.modality and accepted and volume.modality not in accepted:
        raise IncompatibleScanError(
            f"The model {spec.name!r} expects {' or '.join(accepted)}, received "
            f"{volume.modality}. Ask a model for this modality with --model."
        )
