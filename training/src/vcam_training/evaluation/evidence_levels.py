"""From which level on a map is evidence, measured on validation volumes.

For each CAM method on one layer: what the largest cell typically is where the object is
there and found, up to which level maps say nothing, and at which value a heatmap is cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcam_client.spec import CamLayer
from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.maps import explained
from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import Fitted, fit
from vcam_training.evaluation.cuts import best_cuts
from vcam_training.evaluation.intervals import auc
from vcam_training.evaluation.localisation import (
    THRESHOLDS,
    ThresholdSearch,
    dice_by_threshold,
    heatmap_on_grid,
)
from vcam_training.evaluation.roles import roles, task_of
from vcam_training.task import Task

LEAST_SEPARATION = 0.6
"""Area under the ROC curve below which no evidence minimum is set: half is chance."""
POSITIVES_GIVEN_UP = 0.05
"""Share of positives whose maps an evidence minimum may call no evidence."""


@dataclass(frozen=True, kw_only=True)
class EvidenceLevels:
    """Levels of one method's maps on one layer; see `vcam_client.spec.Explanation`.

    Attributes:
        reference_maximum: median largest cell of positives; None without one above 0.
        evidence_minimum: largest cell up to which a map is no evidence; None where
            there are no negatives or maps don't tell them from positives.
        threshold: heatmap value with the highest mean Dice; None without masks.
        threshold_dice: that Dice.
        separation: area under the ROC curve of largest cells, positives against
            negatives; None without one of them.
        positives, negatives: how many maps there were.
    """

    reference_maximum: float | None = None
    evidence_minimum: float | None = None
    threshold: float | None = None
    threshold_dice: float | None = None
    separation: float | None = None
    positives: int = 0
    negatives: int = 0

    def to_json_dict(self) -> dict[str, float | int | None]:
        """Plain values; `EvidenceLevels(**values)` reads them."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a validation split says.

    Attributes:
        logits: float32 [n, K].
        fitted: temperature and where to decide; None of a regression.
        levels: of each method.
    """

    logits: NDArray[np.float32]
    fitted: Fitted | None
    levels: Mapping[str, EvidenceLevels]


def evidence_levels(
    positives: ArrayLike, negatives: ArrayLike, threshold: tuple[float, float] | None = None
) -> EvidenceLevels:
    """The levels that follow from the largest cells of maps.

    The evidence minimum tells positives from negatives best (Youden's J): the geometric
    mean of the two values beside the cut where both are above 0, else their arithmetic
    mean, and never above the 5 % quantile of the positives. Levels below 0 are 0.

    Args:
        positives: [n], largest cells of volumes explained for what they show.
        negatives: [m], of volumes explained for what they don't show.
        threshold: of the heatmap, and its mean Dice.
    """
    found, missed = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    separation = auc(found, missed) if found.size and missed.size else None
    typical = float(np.median(found)) if found.size else 0.0
    minimum = None
    if typical > 0 and separation is not None and separation >= LEAST_SEPARATION:
        minimum = _minimum(found, missed)
    return EvidenceLevels(
        reference_maximum=typical if typical > 0 else None,
        evidence_minimum=minimum,
        threshold=threshold[0] if threshold else None,
        threshold_dice=threshold[1] if threshold else None,
        separation=separation,
        positives=found.size,
        negatives=missed.size,
    )


def measure(
    model: keras.Model,
    layer: CamLayer,
    split: Split,
    *,
    methods: Sequence[str] = tuple(METHODS),
) -> Measured:
    """Explains a split and finds the levels of each method on a layer.

    Of a regression, whose maps of small values are as good as those of large ones, only
    the threshold is.

    Args:
        model: a training model.
        layer: as `target_layer(model, name).place`.
        split: validation volumes.
        methods: names of CAM methods.

    Raises:
        ConfigError: no such layer or method.
    """
    task = task_of(split)
    outputs = outputs_of(model, task)
    given = roles(split, outputs)
    logits = np.empty((len(split), outputs), np.float32)
    largest = {name: np.empty((len(split), 2)) for name in methods}
    dice = {name: np.empty((len(split), THRESHOLDS.size)) for name in methods}
    for one in explained(
        model,
        layer.name,
        split.volumes,
        given.class_index,
        methods=methods,
        exclusive=task is Task.CLASSES,
    ):
        at = one.index
        logits[at] = one.logits
        mask = given.mask(split, at)
        for name, cams in one.cams.items():
            largest[name][at] = cams.reshape(2, -1).max(axis=1)
            if given.has_mask[at]:
                shown = heatmap_on_grid(cams[0], mask.shape, layer)
                dice[name][at] = dice_by_threshold(shown, mask)
    fitted = None if task is Task.REGRESSION else fit(logits, split.labels, split.known)
    is_positive = given.can_be_positive & given.is_found(logits, fitted, task)
    return Measured(
        logits=logits,
        fitted=fitted,
        levels={
            name: _levels(
                task,
                largest[name][is_positive, 0],
                largest[name][given.is_negative, 1],
                dice[name][is_positive & given.has_mask],
            )
            for name in methods
        },
    )


def outputs_of(model: keras.Model, task: Task) -> int:
    """Scores of a training model; one logit of exclusive classes stands for two."""
    logits = int(model.output_shape[-1])
    return max(2, logits) if task is Task.CLASSES else logits


def _levels(
    task: Task, positives: NDArray, negatives: NDArray, dice: NDArray[np.float64]
) -> EvidenceLevels:
    search = ThresholdSearch()
    for one in dice:
        search.add_dice(one)
    if task is Task.REGRESSION:
        threshold, reached = search.best or (None, None)
        return EvidenceLevels(threshold=threshold, threshold_dice=reached, positives=len(positives))
    return evidence_levels(positives, negatives, search.best)


def _minimum(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float | None:
    cuts = best_cuts(positives, negatives)
    if not cuts:
        return None
    below, above = cuts[len(cuts) // 2]
    between = np.sqrt(below) * np.sqrt(above) if below > 0 else (below + above) / 2
    return max(0.0, float(min(between, np.quantile(positives, POSITIVES_GIVEN_UP))))
