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
from vcam_training.cam_methods import METHODS
from vcam_training.cuts import best_cuts
from vcam_training.data.dataset import Split
from vcam_training.intervals import auc
from vcam_training.localisation import ThresholdSearch, heatmap_on_grid
from vcam_training.maps import explained

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
class Roles:
    """What each volume of a split is explained for.

    Attributes:
        class_index: int32 [n, 2], its own class and another one that it shows nothing
            of; the other is −1 where there is none.
        can_be_positive: bool [n], whether it shows something of its own class. It is a
            positive if its own class is also predicted.
        has_mask: bool [n], whether its mask marks something.
    """

    class_index: NDArray[np.int32]
    can_be_positive: NDArray[np.bool_]
    has_mask: NDArray[np.bool_]

    @property
    def is_negative(self) -> NDArray[np.bool_]:
        """Bool [n]: explained for the other class, the volume shows nothing of it."""
        return self.class_index[:, 1] >= 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A split's logits, float32 [n, K], and the levels of each method."""

    logits: NDArray[np.float32]
    levels: Mapping[str, EvidenceLevels]


def roles(split: Split, classes: int) -> Roles:
    """What each volume is explained for.

    Classes with objects are those with a mask that marks something. Where a split has
    no masks at all, it is the second of two classes, and each of several. The other
    class of a volume is the next one with objects.

    Args:
        split: volumes with one label each.
        classes: how many the model tells apart.
    """
    has_mask = np.array([bool(mask.any()) for mask in split.masks], bool)
    if has_mask.any():
        shown = np.unique(split.labels[has_mask])
        can_be_positive = has_mask
    else:
        shown = np.array([1]) if classes == 2 else np.arange(classes)
        can_be_positive = np.isin(split.labels, shown)
    others = np.array([_next_of(shown, int(label)) for label in split.labels], np.int32)
    class_index = np.stack([split.labels.astype(np.int32), others], axis=1)
    return Roles(class_index=class_index, can_be_positive=can_be_positive, has_mask=has_mask)


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

    Args:
        model: a training model.
        layer: as `target_layer(model, name).place`.
        split: validation volumes.
        methods: names of CAM methods.

    Raises:
        ConfigError: no such layer or method.
    """
    given = roles(split, classes_of(model))
    logits = np.empty((len(split), classes_of(model)), np.float32)
    largest = {name: np.empty((len(split), 2)) for name in methods}
    searches = {name: ThresholdSearch() for name in methods}
    for one in explained(model, layer.name, split.volumes, given.class_index, methods=methods):
        at = one.index
        logits[at] = one.logits
        is_positive = given.can_be_positive[at] and one.logits.argmax() == split.labels[at]
        for name, cams in one.cams.items():
            largest[name][at] = cams.reshape(2, -1).max(axis=1)
            if is_positive and given.has_mask[at]:
                shown = heatmap_on_grid(cams[0], split.masks.shape[1:], layer)
                searches[name].add(shown, split.masks[at])
    is_positive = given.can_be_positive & (logits.argmax(axis=1) == split.labels)
    return Measured(
        logits=logits,
        levels={
            name: evidence_levels(
                largest[name][is_positive, 0],
                largest[name][given.is_negative, 1],
                searches[name].best,
            )
            for name in methods
        },
    )


def classes_of(model: keras.Model) -> int:
    """How many classes a training model tells apart; two with one logit."""
    return max(2, int(model.output_shape[-1]))


def _minimum(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float | None:
    cuts = best_cuts(positives, negatives)
    if not cuts:
        return None
    below, above = cuts[len(cuts) // 2]
    between = np.sqrt(below) * np.sqrt(above) if below > 0 else (below + above) / 2
    return max(0.0, float(min(between, np.quantile(positives, POSITIVES_GIVEN_UP))))


def _next_of(shown: NDArray[np.int_], label: int) -> int:
    """The next class with objects, cyclically; −1 if there is none but the label's own."""
    others = shown[shown != label]
    if not others.size:
        return -1
    later = others[others > label]
    return int(later[0] if later.size else others[0])
