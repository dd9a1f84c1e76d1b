"""The calls that explain a scan on a model's grid, and what their answers must be.

The contract promises shapes and dtypes; an answer that breaks it goes no further.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Answer, Call, Inputs, Steps, Target, Traffic
from vcam_client.errors import ContractError, ModelNotFoundError
from vcam_client.explanation import Explanation
from vcam_client.scores import aggregate, default_class, promised_scores
from vcam_client.spec import ModelSpec, SliceAggregation

_SLICES_PER_CALL = 16
_KINDS = {"f": "floating-point numbers", "i": "integers"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
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


def asked(call: Call) -> Steps[Answer]:
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


def is_stack(spec: ModelSpec) -> bool:
    """Whether every slice is a sample of its own."""
    return spec.slice_aggregation in (SliceAggregation.MAX, SliceAggregation.MEAN)


def batches(tensor: NDArray[Any], spec: ModelSpec) -> Iterator[NDArray[Any]]:
    """Batches [B, *grid, 1]: one volume, one image, or some slices of a stack at a time."""
    if spec.grid.ndim == 3:
        yield tensor[None, ..., None]
        return
    for start in range(0, len(tensor), _SLICES_PER_CALL):
        yield tensor[start : start + _SLICES_PER_CALL, ..., None]


def together(rows: NDArray[Any], spec: ModelSpec) -> NDArray[np.float64]:
    """Scores of the scan from those of its samples."""
    scores: NDArray[np.float64] = rows.astype(np.float64)
    return aggregate(scores, spec) if is_stack(spec) else scores[0]


def explain_one(
    tensor: NDArray[Any],
    target: Target,
    spec: ModelSpec,
    explanation: Explanation,
    wanted: int | None,
) -> Steps[Explained]:
    """One class of one sample, in one call."""
    (batch,) = batches(tensor, spec)
    inputs: dict[str, NDArray[Any]] = {"volume": batch}
    default = wanted is None and explanation == spec.default_explanation
    signature = "serving_default" if default else explanation.signature
    if signature != "serving_default":
        inputs["class_index"] = np.array([-1 if wanted is None else wanted], np.int32)
    wanted_outputs = ("scores", "cam", "class_index")
    answer = yield from asked(
        Call(target=target, signature=signature, inputs=inputs, outputs=wanted_outputs)
    )
    classes = len(spec.labels)
    scores = checked_scores(answer, 1, spec)
    cam = checked(answer, "cam", (1, *spec.layer(explanation.layer).cells))
    index = int(checked(answer, "class_index", (1,), kind="i")[0])
    expected = range(classes) if wanted is None else (wanted,)
    if index not in expected:
        raise ContractError(
            f"Expected an explanation of class {' or '.join(map(str, expected))}, the server "
            f"explained class {index} of {classes}. Export the model again."
        )
    return Explained(
        scores=together(scores, spec),
        classes=[index],
        cams=[_cells(cam, spec)],
        traffic=answer.traffic,
    )


def explain_every_class(
    tensor: NDArray[Any],
    target: Target,
    spec: ModelSpec,
    explanation: Explanation,
    explained: Sequence[int] | None,
) -> Steps[Explained]:
    """Maps of the classes named, each sample with all of its maps.

    Where none is named, the scores of all samples decide which class is explained.
    """
    rows, maps, traffic = [], [], Traffic()
    for batch in batches(tensor, spec):
        scores, cams, bytes_moved = yield from _all_maps(batch, target, spec, explanation)
        rows.append(scores)
        maps.append(cams)
        traffic += bytes_moved
    scan_scores = together(np.concatenate(rows), spec)
    every = np.concatenate(maps)
    classes = [default_class(scan_scores, spec)] if explained is None else explained
    return Explained(
        scores=scan_scores,
        classes=classes,
        cams=[_cells(every[:, index], spec) for index in classes],
        traffic=traffic,
    )


def _all_maps(
    batch: NDArray[Any], target: Target, spec: ModelSpec, explanation: Explanation
) -> Steps[tuple[NDArray[Any], NDArray[Any], Traffic]]:
    """Scores [B, K] and maps [B, K, *cells] of a batch."""
    classes, cells = len(spec.labels), spec.layer(explanation.layer).cells
    if explanation == spec.default_explanation:
        answer = yield from asked(
            Call(
                target=target,
                signature=f"{explanation.signature}_all",
                inputs={"volume": batch},
                outputs=("scores", "cam"),
            )
        )
        return (
            checked_scores(answer, len(batch), spec),
            checked(answer, "cam", (len(batch), classes, *cells)),
            answer.traffic,
        )
    maps, traffic, scores = [], Traffic(), np.zeros(0)
    for index in range(classes):
        inputs: Inputs = {"volume": batch, "class_index": np.full(len(batch), index, np.int32)}
        answer = yield from asked(
            Call(
                target=target,
                signature=explanation.signature,
                inputs=inputs,
                outputs=("scores", "cam"),
            )
        )
        scores = checked_scores(answer, len(batch), spec)
        maps.append(checked(answer, "cam", (len(batch), *cells)))
        traffic += answer.traffic
    return scores, np.stack(maps, axis=1), traffic


def _cells(cams: NDArray[Any], spec: ModelSpec) -> NDArray[np.float32]:
    """Three tensor axes: the samples of a 2-D model are its slices."""
    cells: NDArray[np.float32] = cams[0] if spec.grid.ndim == 3 else cams
    return cells


def checked_scores(answer: Answer, samples: int, spec: ModelSpec) -> NDArray[Any]:
    """Scores [samples, K] of the shape and the range that the contract promises."""
    return promised_scores(checked(answer, "scores", (samples, len(spec.labels))), spec)


def checked(answer: Answer, name: str, shape: tuple[int, ...], *, kind: str = "f") -> NDArray[Any]:
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
