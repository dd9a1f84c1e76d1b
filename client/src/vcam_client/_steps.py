"""What a client asks, in which order, and what it makes of the answers: no input or output.

Each function is a generator that yields calls and is sent their answers, so that the
blocking and the asynchronous client share it. An error of a call is thrown into it.
"""

import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Answer, Call, Result, Steps, Target
from vcam_client._explaining import (
    asked,
    batches,
    checked_scores,
    explain_every_class,
    explain_one,
    is_stack,
    together,
)
from vcam_client._remarks import require_units
from vcam_client.errors import (
    ContractError,
    IncompatibleScanError,
    InputError,
    ModelNotFoundError,
    VcamError,
)
from vcam_client.evidence import has_contrast
from vcam_client.explanation import Explanation
from vcam_client.grid import Placement, place
from vcam_client.prediction import Prediction
from vcam_client.spec import ModelSpec
from vcam_client.volume import Volume

__all__ = ["Context", "Done", "Question", "ServedSpec", "Steps"]

_MOST_VERSIONS = 3
"""Versions that may be replaced during one prediction."""
_SPEC_KEY = b"model_spec"


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
        method: a CAM method, or a signature; None for the model's default.
        layer: target layer; None for the first with that method.
        strict: refuse a scan whose values can't be in the model's units.
    """

    label: str | None = None
    all_classes: bool = False
    method: str | None = None
    layer: str | None = None
    strict: bool = False

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
    volume: Volume, target: Target, context: Context, *, strict: bool = False
) -> Steps[tuple[ServedSpec, NDArray[np.float64]]]:
    """Scores alone, without an explanation: the spec that names them, and float64 [K].

    Args:
        strict: see `Question`.
    """
    return (
        yield from _at_one_version(
            target, context, lambda served: _scores(volume, target, served, strict)
        )
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


def _scores(
    volume: Volume, target: Target, served: ServedSpec, strict: bool
) -> Steps[tuple[ServedSpec, NDArray[np.float64]]]:
    spec = served.spec
    _, tensor = _prepared(volume, spec, strict)
    rows = []
    for batch in batches(tensor, spec):
        answer = yield from asked(
            Call(
                target=target.pinned(served.version),
                signature="scores",
                inputs={"volume": batch},
                outputs=("scores",),
            )
        )
        rows.append(checked_scores(answer, len(batch), spec))
    return served, together(np.concatenate(rows), spec)


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
    placement, tensor = _prepared(volume, spec, question.strict)
    prepared = time.perf_counter()
    pinned = target.pinned(served.version)
    explanation = _explanation(question, spec)
    # other methods have no signature without a heatmap, so there one class is one call
    maps_alone = context.filters_outputs or explanation != spec.default_explanation
    if is_stack(spec) or question.all_classes or not maps_alone:
        explained = None if wanted is None else [wanted]
        if question.all_classes:
            explained = list(range(len(spec.labels)))
        every = explain_every_class(tensor, pinned, spec, explanation, explained)
        found = yield from every
    else:
        found = yield from explain_one(tensor, pinned, spec, explanation, wanted)
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
            asked=explanation,
            # a scan of one value stays that: what the model sees then is where it ends
            contrast=has_contrast(volume.data, spec) and has_contrast(tensor, spec),
            scores=found.scores,
            class_index=index,
            cam=cam,
            placement=placement,
            timings=all_timings,
            traffic=found.traffic,
        )
        for index, cam in zip(found.classes, found.cams, strict=True)
    ]


def _prepared(volume: Volume, spec: ModelSpec, strict: bool) -> tuple[Placement, NDArray[Any]]:
    accepted = spec.intensity.modalities
    if volume.modality and accepted and volume.modality not in accepted:
        raise IncompatibleScanError(
            f"The model {spec.name!r} expects {' or '.join(accepted)}, received "
            f"{volume.modality}. Ask a model for this modality with --model."
        )
    placement = place(volume, spec.grid, spec.slice_aggregation)
    if strict:
        require_units(volume, spec)
    dtype = spec.intensity.dtype
    return placement, placement.to_model(volume.data, dtype, padding=volume.padding)


def _explanation(question: Question, spec: ModelSpec) -> Explanation:
    if spec.explanations or question.method is None:
        return spec.explanation(question.method, question.layer)
    # a model that doesn't say what it offers: the method is a signature on its layer
    found = spec.explanation(layer=question.layer)
    return replace(found, signature=question.method, method=question.method, reference_maximum=None)


def _index_of(label: str, spec: ModelSpec) -> int:
    if label not in spec.labels:
        raise IncompatibleScanError(
            f"The model knows no label {label!r}. Choose one of: {', '.join(spec.labels)}."
        )
    return spec.labels.index(label)
