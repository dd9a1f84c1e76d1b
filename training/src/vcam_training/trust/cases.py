"""Which scans are explained for which class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.dataset import Split
from vcam_training.roles import roles


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """Scans, each with the class that is explained.

    Attributes:
        volumes: int16 or float32 [n, *grid], physical values.
        classes: int32 [n], the class explained.
        masks: bool [n, *grid], the object that makes the class true; all false without one.
        numbers: int [n], index of each in its split.
    """

    volumes: NDArray
    classes: NDArray[np.int32]
    masks: NDArray[np.bool_]
    numbers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, which: NDArray) -> "Cases":
        """Some of them: a mask, bool [n], or indices."""
        return Cases(
            volumes=self.volumes[which],
            classes=self.classes[which],
            masks=self.masks[which],
            numbers=self.numbers[which],
        )

    def sample(self, count: int, seed: int) -> "Cases":
        """At most `count` of them, drawn at random, in their own order."""
        if len(self) <= count:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.chosen(np.sort(drawn))


def positive_cases(split: Split, classes: int) -> Cases:
    """Scans that show something of their true class, explained for that class.

    See `vcam_training.roles.roles`.

    Args:
        split: scans with labels and masks.
        classes: how many the model tells apart.
    """
    given = roles(split, classes)
    return _cases(split, given.class_index[:, 0]).chosen(given.can_be_positive)


def negative_cases(split: Split, classes: int) -> Cases:
    """Scans explained for a class of which they show nothing; there may be none.

    Where classes without objects exist, as "no lesion", these are their scans, so that
    no object of another class is in them.
    """
    given = roles(split, classes)
    empty = given.is_negative & ~given.can_be_positive
    chosen = empty if empty.any() else given.is_negative
    return _cases(split, given.class_index[:, 1]).chosen(chosen)


def _cases(split: Split, classes: NDArray[np.int32]) -> Cases:
    return Cases(
        volumes=split.volumes,
        classes=classes,
        masks=split.masks,
        numbers=np.arange(len(split)),
    )
