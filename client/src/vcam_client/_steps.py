"""What a client asks, in which order, and what it makes of the answers: no input or output.

Each function is a generator that yields calls and is sent their answers, so that the
blocking and the asynchronous client share it. An error of a call is thrown into it.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Answer, Call, Inputs, Target, Traffic
from vcam_client.errors import (
    ContractError,
    IncompatibleScanError,
    InputError,
    ModelNotFoundError,
    VcamError,
)
from vcam_client.grid import Placement, place
from vcam_client.prediction import Prediction
from vcam_client.scores import aggregate, default_class
from vcam_client.spec import ModelSpec, SliceAggregation
from vcam_client.volume import Volume

Result = TypeVar("Result")
Steps = Generator[Call, Answer, Result]

_SLICES_PER_CALL = 16
_MOST_VERSIONS = 3
"""Versions that may be replaced during one prediction."""
_SPEC_KEY = b"model_spec"
_KINDS = {"f": "floating-point numbers", "i": "integers"}


@dataclass(frozen=True, kw_only=True)
class ServedSpec:
    """A model spec, and the version that served it."""

    spec: ModelSpec
    version: int
    json: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to explain of a scan.

    Attributes:
        label: the class to explain; None for what the spec says.
        all_classes: explain every class, in the order of the spec's labels.
        method: signature of a CAM method; None for the model's default.
    """

    label: str | None = None
    all_classes: bool = False
    method: str | None = None

    def __post_init__(self) -> None:
        if self.label is not None and self.all_classes:
            raise InputError("Expected one class or all classes, received both. Leave one out.")


@dataclass(kw_only=True)
class Context:
    """What a client remembers between calls.

    Attributes:
        specs: the spec of each model, as it was read last.
        filters_outputs: whether the transport can ask for some outputs only; where it
            can't, signatures that return a heatmap are avoided.
    """

    specs: MutableMapping[Target, ServedSpec] = field(default_factory=dict)
    filters_outputs: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Explained:
    """Scores and maps of one scan.

    Attributes:
        scores: float64 [K].
        classes: the class of each map.
        cams: float32 [*cells] each, three tensor axes.
        traffic: bytes of all calls.
    """

    scores: NDArray[np.float64]
    classes: Sequence[int]
    cams: Sequence[NDArray[np.float32]]
    traffic: Traffic


@dataclass(frozen=True, kw_only=True, eq=False)
class Done(Generic[Result]):
    """The end of steps."""

    result: Result


def advance(steps: Steps[Result], answered: Answer | VcamError | None) -> Call | Done[Result]:
    """Sends the answer of the last call, or its error, and returns the next call or the end.

    Args:
        steps: what is under way.
        answered: None at the beginning.
    """
    try:
        if answered is None:
            return next(steps)
        if isinstance(answered, VcamError):
            return steps.throw(answered)
        return steps.send(answered)
    except StopIteration as end:
        return Done(result=end.value)


def read_spec(target: Target, context: Context) -> Steps[ServedSpec]:
    """The model spec, as the server serves it now; it is remembered.

    Raises:
        ContractError: the model serves no valid spec.
    """
    answer = yield Call(
        target=target, signature="spec", inputs={"key": [_SPEC_KEY]}, outputs=("model_spec",)
    )
    values = answer.outputs.get("model_spec")
    if values is None or values.size != 1 or not isinstance(values.flat[0], bytes):
        raise ContractError(
            f"Expected one JSON text as the spec of model {target.model!r}, received "
            f"{values!r}. Export the model with `vcam-train export`."
        )
    text = values.flat[0].decode("utf-8", "replace")
    served = ServedSpec(spec=ModelSpec.from_json(text), version=answer.version, json=text)
    context.specs[target] = served
    return served


def predict(
    volume: Volume,
    target: Target,
    question: Question,
    context: Context,
    timings: Mapping[str, float],
) -> Steps[list[Prediction]]:
    """Scores a scan and explains one class, or all."""

    def ask(served: ServedSpec) -> Steps[list[Prediction]]:
        return _predict(volume, target, served, question, context, timings)

    return (yield from _at_one_version(target, context, ask))


def scores(
    volume: Volume, target: Target, context: Context
) -> Steps[tuple[ServedSpec, NDArray[np.float64]]]:
    """Scores alone, without an explanation: the spec that names them, and float64 [K]."""
    return (
        yield from _at_one_version(target, context, lambda served: _scores(volume, target, served))
    )


def _at_one_version(
    target: Target, context: Context, ask: Callable[[ServedSpec], Steps[Result]]
) -> Steps[Result]:
    """Asks the version that served the spec; when it is gone, reads the spec again.

    Args:
        ask: prepares the scan for a version and asks it; called once for each version.
    """
    served = context.specs.get(target) or (yield from read_spec(target, context))
    for _ in range(_MOST_VERSIONS):
        try:
            return (yield from ask(served))
        except ModelNotFoundError:
            now = yield from read_spec(target, context)
            if now.version == served.version:
                raise
            served = now
    return (yield from ask(served))


def _asked(call: Call) -> Steps[Answer]:
    """The answer of a pinned version.

    While replicas change versions one after the other, some know it and some don't:
    it counts as gone when it is not found twice.
    """
    try:
        answer = yield call
    except ModelNotFoundError:
        answer = yield call
    if answer.version != call.target.version:
        raise ContractError(
            f"Expected an answer of version {call.target.version} of model "
            f"{call.target.model!r}, received one of version {answer.version}. Something between "
            "server and client changes calls."
        )
    return answer


def _scores(
    volume: Volume, target: Target, served: ServedSpec
) -> Steps[tuple[ServedSpec, NDArray[np.float64]]]:
    spec = served.spec
    _, tensor = _prepared(volume, spec)
    rows = []
    for batch in _batches(tensor, spec):
        answer = yield from _asked(
            Call(
                target=target.pinned(served.version),
                signature="scores",
                inputs={"volume": batch},
                outputs=("scores",),
            )
        )
        rows.append(_checked(answer, "scores", (len(batch), len(spec.labels))))
    return served, _together(np.concatenate(rows), spec)


def _predict(
    volume: Volume,
    target: Target,
    served: ServedSpec,
    question: Question,
    context: Context,
    timings: Mapping[str, float],
) -> Steps[list[Prediction]]:
    spec = served.spec
    wanted = None if question.label is None else _index_of(question.label, spec)
    clock = time.perf_counter()
    placement, tensor = _prepared(volume, spec)
    prepared = time.perf_counter()
    pinned = target.pinned(served.version)
    # each signature of a method returns a heatmap as well, so there one class is one call
    maps_alone = context.filters_outputs or question.method is not None
    if _is_stack(spec) or question.all_classes or not maps_alone:
        every = _explain_every_class(tensor, pinned, spec, question, wanted)
        found = yield from every
    else:
        found = yield from _explain_one(tensor, pinned, spec, question.method, wanted)
    all_timings = {
        **timings,
        "prepare": prepared - clock,
        "server": time.perf_counter() - prepared,
    }
    return [
        Prediction(
            volume=volume,
            spec=spec,
            model=target.model,
            version=served.version,
            method=question.method,
            scores=found.scores,
            class_index=index,
            cam=cam,
            placement=placement,
            timings=all_timings,
            traffic=found.traffic,
        )
        for index, cam in zip(found.classes, found.cams, strict=True)
    ]


def _prepared(volume: Volume, spec: ModelSpec) -> tuple[Placement, NDArray[Any]]:
    accepted = spec.intensity.modalities
    if volume.modality and accepted and volume.modality not in accepted:
        raise IncompatibleScanError(
            f"The model {spec.name!r} expects {' or '.join(accepted)}, received "
            f"{volume.modality}. Ask a model for this modality with --model."
        )
    placement = place(volume, spec.grid, spec.slice_aggregation)
    dtype = spec.intensity.dtype
    return placement, placement.to_model(volume.data, dtype, padding=volume.padding)


def _is_stack(spec: ModelSpec) -> bool:
    """Whether every slice is a sample of its own."""
    return spec.slice_aggregation in (SliceAggregation.MAX, SliceAggregation.MEAN)


def _batches(tensor: NDArray[Any], spec: ModelSpec) -> Iterator[NDArray[Any]]:
    """Batches [B, *grid, 1]: one volume, one image, or some slices of a stack at a time."""
    if spec.grid.ndim == 3:
        yield tensor[None, ..., None]
        return
    for start in range(0, len(tensor), _SLICES_PER_CALL):
        yield tensor[start : start + _SLICES_PER_CALL, ..., None]


def _together(rows: NDArray[Any], spec: ModelSpec) -> NDArray[np.float64]:
    """Scores of the scan from those of its samples."""
    scores: NDArray[np.float64] = rows.astype(np.float64)
    return aggregate(scores, spec) if _is_stack(spec) else scores[0]


def _explain_one(
    tensor: NDArray[Any], target: Target, spec: ModelSpec, method: str | None, wanted: int | None
) -> Steps[_Explained]:
    """One class of one sample, in one call."""
    (batch,) = _batches(tensor, spec)
    inputs: dict[str, NDArray[Any]] = {"volume": batch}
    signature = method or ("serving_default" if wanted is None else "gradcam")
    if signature != "serving_default":
        inputs["class_index"] = np.array([-1 if wanted is None else wanted], np.int32)
    wanted_outputs = ("scores", "cam", "class_index")
    answer = yield from _asked(
        Call(target=target, signature=signature, inputs=inputs, outputs=wanted_outputs)
    )
    classes = len(spec.labels)
    scores = _checked(answer, "scores", (1, classes))
    cam = _checked(answer, "cam", (1, *spec.default_layer.cells))
    index = int(_checked(answer, "class_index", (1,), kind="i")[0])
    expected = range(classes) if wanted is None else (wanted,)
    if index not in expected:
        raise ContractError(
            f"Expected an explanation of class {' or '.join(map(str, expected))}, the server "
            f"explained class {index} of {classes}. Export the model again."
        )
    return _Explained(
        scores=_together(scores, spec),
        classes=[index],
        cams=[_cells(cam, spec)],
        traffic=answer.traffic,
    )


def _explain_every_class(
    tensor: NDArray[Any],
    target: Target,
    spec: ModelSpec,
    question: Question,
    wanted: int | None,
) -> Steps[_Explained]:
    """Scores of all samples first decide which class is explained, where none is named."""
    rows, maps, traffic = [], [], Traffic()
    for batch in _batches(tensor, spec):
        scores, cams, bytes_moved = yield from _all_maps(batch, target, spec, question.method)
        rows.append(scores)
        maps.append(cams)
        traffic += bytes_moved
    together = _together(np.concatenate(rows), spec)
    every = np.concatenate(maps)
    if question.all_classes:
        classes = list(range(len(spec.labels)))
    else:
        classes = [default_class(together, spec) if wanted is None else wanted]
    return _Explained(
        scores=together,
        classes=classes,
        cams=[_cells(every[:, index], spec) for index in classes],
        traffic=traffic,
    )


def _all_maps(
    batch: NDArray[Any], target: Target, spec: ModelSpec, method: str | None
) -> Steps[tuple[NDArray[Any], NDArray[Any], Traffic]]:
    """Scores [B, K] and maps [B, K, *cells] of a batch."""
    classes, cells = len(spec.labels), spec.default_layer.cells
    if method is None:
        answer = yield from _asked(
            Call(
                target=target,
                signature="gradcam_all",
                inputs={"volume": batch},
                outputs=("scores", "cam"),
            )
        )
        return (
            _checked(answer, "scores", (len(batch), classes)),
            _checked(answer, "cam", (len(batch), classes, *cells)),
            answer.traffic,
        )
    maps, traffic, scores = [], Traffic(), np.zeros(0)
    for index in range(classes):
        inputs: Inputs = {"volume": batch, "class_index": np.full(len(batch), index, np.int32)}
        answer = yield from _asked(
            Call(target=target, signature=method, inputs=inputs, outputs=("scores", "cam"))
        )
        scores = _checked(answer, "scores", (len(batch), classes))
        maps.append(_checked(answer, "cam", (len(batch), *cells)))
        traffic += answer.traffic
    return scores, np.stack(maps, axis=1), traffic


def _cells(cams: NDArray[Any], spec: ModelSpec) -> NDArray[np.float32]:
    """Three tensor axes: the samples of a 2-D model are its slices."""
    cells: NDArray[np.float32] = cams[0] if spec.grid.ndim == 3 else cams
    return cells


def _checked(answer: Answer, name: str, shape: tuple[int, ...], *, kind: str = "f") -> NDArray[Any]:
    """An output of the shape and kind of dtype ("f" or "i") that the contract promises."""
    value = answer.outputs.get(name)
    if value is None or value.shape != shape:
        raise ContractError(
            f"Expected {name!r} of shape {shape} as the model spec promises, received "
            f"{'nothing' if value is None else value.shape}. Export the model again."
        )
    if value.dtype.kind != kind:
        raise ContractError(
            f"Expected {name!r} of {_KINDS[kind]}, received dtype {value.dtype}. "
            "Export the model again."
        )
    if kind == "f" and not np.isfinite(value).all():
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
