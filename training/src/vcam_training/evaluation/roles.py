"""What each volume of a split is explained for, whatever its labels are."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import Fitted, is_found
from vcam_training.task import Task

_SEED = 0
_TARGET = 0
"""Output of a regression that is explained, as `ExplainDefault.TARGET` serves it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Roles:
    """What each volume of a split is explained for.

    Attributes:
        class_index: int32 [n, 2], something that is true of the volume and something
            that is not: its own class and another one, a finding that it shows and one
            that it does not, the target of a regression and nothing. −1 where there is
            none.
        can_be_positive: bool [n], whether it shows something of the first. It is a
            positive if the model finds it as well.
        has_mask: bool [n], whether the mask of the first marks something.
    """

    class_index: NDArray[np.int32]
    can_be_positive: NDArray[np.bool_]
    has_mask: NDArray[np.bool_]

    @property
    def is_negative(self) -> NDArray[np.bool_]:
        """Bool [n]: explained for the second, the volume shows nothing of it."""
        return self.class_index[:, 1] >= 0

    def mask(self, split: Split, index: int) -> NDArray[np.bool_]:
        """Bool [*grid]: what makes the first true of a volume of the split; may mark nothing."""
        return split.mask(index, int(self.class_index[index, 0]))

    def is_found(self, logits: NDArray, fitted: Fitted | None, task: Task) -> NDArray[np.bool_]:
        """Bool [n]: whether the model says the first, see `calibration.is_found`.

        Args:
            logits: [n, K].
            fitted: on validation; a regression has nothing to find.
            task: of the labels.
        """
        if fitted is None:
            return np.ones(len(logits), bool)
        first = self.class_index[:, 0]
        return is_found(logits, first, fitted, exclusive=task is Task.CLASSES)


def task_of(split: Split) -> Task:
    """What the labels of a split say by their type."""
    if split.labels.dtype == bool:
        return Task.FINDINGS
    return Task.CLASSES if split.labels.ndim == 1 else Task.REGRESSION


def roles(split: Split, outputs: int) -> Roles:
    """What each volume is explained for.

    Exclusive classes: those with objects have a mask that marks something. Where a split
    has no masks at all, it is the second of two classes, and each of several. The other
    class of a volume is the next one with objects.

    Findings: of those that an image shows, one with a mask before one without, then the
    one that was chosen least often before. Each is asked for as often where it is absent,
    so that findings with strong maps weigh on both sides alike.

    Regressions: the first target, where a mask says what it is about.

    Args:
        split: volumes.
        outputs: classes, findings or targets of the model; two for one logit.
    """
    task = task_of(split)
    if task is Task.FINDINGS:
        return _of_findings(split)
    has_mask = np.array([bool(mask.any()) for mask in split.masks], bool)
    if task is Task.REGRESSION:
        class_index = np.tile(np.array([_TARGET, -1], np.int32), (len(split), 1))
        return Roles(class_index=class_index, can_be_positive=has_mask, has_mask=has_mask)
    if has_mask.any():
        shown = np.unique(split.labels[has_mask])
        can_be_positive = has_mask
    else:
        shown = np.array([1]) if outputs == 2 else np.arange(outputs)
        can_be_positive = np.isin(split.labels, shown)
    others = np.array([_next_of(shown, int(label)) for label in split.labels], np.int32)
    class_index = np.stack([split.labels.astype(np.int32), others], axis=1)
    return Roles(class_index=class_index, can_be_positive=can_be_positive, has_mask=has_mask)


def _of_findings(split: Split) -> Roles:
    marked = np.zeros(split.labels.shape, bool)
    for finding, masks in split.finding_masks.items():
        for at in np.flatnonzero(split.labels[:, finding]):
            marked[at, finding] = masks[at].any()
    shown = _shown(split.labels, marked)
    class_index = np.stack(
        [shown, _absent(split.labels | ~split.is_known, shown[shown >= 0])], axis=1
    )
    has_mask = marked[np.arange(len(split)), shown] & (shown >= 0)
    return Roles(class_index=class_index, can_be_positive=shown >= 0, has_mask=has_mask)


def _shown(labels: NDArray[np.bool_], marked: NDArray[np.bool_]) -> NDArray[np.int32]:
    """int32 [n]: a finding that each image shows; −1 for none."""
    chosen: Counter[int] = Counter()
    found = np.full(len(labels), -1, np.int32)
    for at, (there, with_mask) in enumerate(zip(labels, marked, strict=True)):
        candidates = np.flatnonzero(with_mask if with_mask.any() else there)
        if candidates.size:
            found[at] = min(candidates, key=lambda k: (chosen[int(k)], k))
            chosen[int(found[at])] += 1
    return found


def _absent(labels: NDArray[np.bool_], shown: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32 [n]: a finding that each image does not show, as often as it is in `shown`.

    Labels are true of what an image shows or may show.
    −1 for none; images are taken in random order, so that it does not matter.
    """
    found = np.full(len(labels), -1, np.int32)
    wanted = np.bincount(shown, minlength=labels.shape[1])
    for at in np.random.default_rng(_SEED).permutation(len(labels)):
        chosen = int(np.where(labels[at], 0, wanted).argmax())
        if wanted[chosen] and not labels[at, chosen]:
            found[at] = chosen
            wanted[chosen] -= 1
    return found


def _next_of(shown: NDArray[np.int_], label: int) -> int:
    """The next class with objects, cyclically; −1 if there is none but the label's own."""
    others = shown[shown != label]
    if not others.size:
        return -1
    later = others[others > label]
    return int(later[0] if later.size else others[0])
