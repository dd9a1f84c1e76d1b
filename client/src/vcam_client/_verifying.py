"""What is asked to check an explanation, and what the answers say of it.

As in `_steps.py`, each function is a generator of calls, shared by both clients.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Steps, Target
from vcam_client._hidden_scores import Progress, Subject, hidden_scores
from vcam_client._hiding import Blocks, Region, blocks_for, elsewhere
from vcam_client._ranks import rank_correlation
from vcam_client._steps import Context, Question, predict
from vcam_client.errors import InputError, ModelNotFoundError
from vcam_client.evidence import EVIDENCE_LEVEL
from vcam_client.prediction import Prediction
from vcam_client.verification import OcclusionMap, Verification, noise_of
from vcam_client.volume import Volume

__all__ = ["DEFAULT_BLOCKS", "FILLS", "Plan", "Progress", "verify", "verify_prediction"]

DEFAULT_BLOCKS = 200
FILLS = ("surroundings", "median", "padding")
_ROUNDING = 1e-6
"""Share of a heatmap's largest value that voxels as close to its peak may differ by."""
_MOST_VERSIONS = 4
"""Versions that may answer, one after the other, while one scan is checked."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How parts of a scan are hidden.

    Attributes:
        blocks: how many blocks of the occlusion map there may be, at least 1.
        fill: what is put in place: what goes on from the "surroundings" (the median, for
            most of the scan), the "median" of what was measured, or the spec's "padding".
        progress: told how many of how many inputs of the model are done, or None.
    """

    blocks: int = DEFAULT_BLOCKS
    fill: str = FILLS[0]
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise InputError(f"Expected at least one block, received {self.blocks}.")
        if self.fill not in FILLS:
            raise InputError(f"Expected a fill out of {', '.join(FILLS)}, received {self.fill!r}.")


def verify(
    volume: Volume,
    target: Target,
    question: Question,
    context: Context,
    timings: Mapping[str, float],
    plan: Plan,
) -> Steps[Verification]:
    """Explains a scan and checks the explanation, all by one version of the model.

    When that version is replaced meanwhile, both are done again.
    """
    for _ in range(_MOST_VERSIONS - 1):
        (prediction,) = yield from predict(volume, target, question, context, timings)
        try:
            return (yield from verify_prediction(prediction, plan))
        except ModelNotFoundError:
            continue
    (prediction,) = yield from predict(volume, target, question, context, timings)
    return (yield from verify_prediction(prediction, plan))


def verify_prediction(prediction: Prediction, plan: Plan) -> Steps[Verification]:
    """Checks an explanation with the version that gave it.

    Raises:
        ModelNotFoundError: that version is gone.
    """
    start = time.perf_counter()
    subject = Subject.of(prediction, plan.fill)
    level = prediction.explanation.threshold or EVIDENCE_LEVEL
    marked = _marked(prediction.heatmap_on_model_grid(), level) & subject.real
    cases: list[Region] = []
    if marked.any():
        remaining = subject.real & ~marked
        cases = [Region.of(marked), Region.of(remaining), *elsewhere(marked, subject.real)]
    blocks = _blocks(prediction, plan.blocks)
    filled = {
        index: region
        for index, box in blocks.boxes()
        if (region := Region(box=box, inside=subject.real[box])).voxels
    }
    scored = yield from hidden_scores(subject, [None, *cases, *filled.values()], plan.progress)
    whole, *parts = scored.outcomes
    logit_drops, score_drops = np.zeros((2, *blocks.counts))
    for index, outcome in zip(filled, parts[len(cases) :], strict=True):
        logit_drops[index] = whole.logit - outcome.logit
        score_drops[index] = whole.score - outcome.score
    noise = noise_of(whole.logit)
    correlation = None
    if cases and np.abs(logit_drops).max() > noise:
        known = blocks.sums(subject.real) > 0
        cam = _cam_in_blocks(prediction, subject.real, blocks)
        correlation = rank_correlation(logit_drops[known], cam[known])
    return Verification(
        prediction=prediction,
        fill_kind=plan.fill,
        fill=subject.fill,
        level=level,
        whole=whole,
        marked=parts[0] if cases else None,
        rest=parts[1] if cases else None,
        controls=tuple(parts[2 : len(cases)]),
        occlusion=OcclusionMap(
            logit_drops=logit_drops,
            score_drops=score_drops,
            layer=blocks.layer,
            placement=prediction.placement,
            rank_correlation=correlation,
            marked_shares=blocks.sums(marked) / np.maximum(blocks.sums(subject.real), 1),
            noise=noise,
        ),
        seconds=time.perf_counter() - start,
        calls=scored.calls,
        inputs=scored.inputs,
        traffic=scored.traffic,
    )


def _marked(heat: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """Where a heatmap reaches a level; a peak between voxels may not: then its largest values."""
    reached = min(level, (1 - _ROUNDING) * float(heat.max()))
    return np.asarray((heat >= reached) & (heat > 0), np.bool_)


def _blocks(prediction: Prediction, most: int) -> Blocks:
    placement, spacing = prediction.placement, prediction.volume.spacing
    voxel_mm = tuple(
        axis.step * spacing[stored]
        for axis, stored in zip(placement.axes, placement.order, strict=True)
    )
    d, h, w = (axis.model_size for axis in placement.axes)
    return blocks_for((d, h, w), prediction.layer, voxel_mm, most)


def _cam_in_blocks(
    prediction: Prediction, real: NDArray[Any], blocks: Blocks
) -> NDArray[np.float64]:
    """float64 [*blocks]: the signed cam, averaged over what was measured."""
    cam = prediction.map.on_model_grid(prediction.cam)
    return blocks.sums(cam * real) / np.maximum(blocks.sums(real), 1)
