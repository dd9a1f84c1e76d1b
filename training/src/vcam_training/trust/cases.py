"""Which scans are explained for which class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import Activation, ModelSpec
from vcam_training.data.dataset import Split
from vcam_training.evaluation.roles import roles


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """Scans, each with the class that is explained.

    Attributes:
        volumes: int16 or float32 [n, *grid], physical values.
        classes: int32 [n], the class or finding explained.
        masks: bool [n, *grid], the object that makes it true; all false without one.
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


def refuse_regressions(spec: ModelSpec) -> None:
    """Whether trust can be measured in the maps of a model.

    Raises:
        ConfigError: it answers values. Nothing is absent from a scan that has a value, and
            no score of a class falls when what is marked is hidden.
    """
    if spec.activation is Activation.IDENTITY:
        raise ConfigError(
            f"Expected a model of classes or findings, '{spec.name}' answers values "
            f"({', '.join(spec.labels)}). Look at its maps with `vcam-client predict`; where "
            "masks are known, the run's report.html says how they lie."
        )


def positive_cases(split: Split, classes: int) -> Cases:
    """Scans that show something of what is true of them, explained for that.

    Their class, or one of their findings; see `vcam_training.evaluation.roles.roles`.

    Args:
        split: scans with labels and masks.
        classes: how many the model tells apart.
    """
    given = roles(split, classes)
    return _cases(split, given.class_index[:, 0], given.can_be_positive)


def negative_cases(split: Split, classes: int) -> Cases:
    """Scans explained for a class or finding of which they show nothing; there may be none.

    Where scans exist that are known to be without any object or finding, as "no lesion",
    these are taken, so that no object of another class is in them.
    """
    given = roles(split, classes)
    all_known = split.is_known.reshape(len(split), -1).all(axis=1)
    empty = given.is_negative & ~given.can_be_positive & all_known
    return _cases(split, given.class_index[:, 1], empty if empty.any() else given.is_negative)


def _cases(split: Split, classes: NDArray[np.int32], which: NDArray[np.bool_]) -> Cases:
    numbers = np.flatnonzero(which)
    masks = [split.mask(number, int(classes[number])) for number in numbers]
    return Cases(
        volumes=split.volumes[numbers],
        classes=classes[numbers],
        masks=np.array(masks, bool).reshape(len(numbers), *split.volumes.shape[1:]),
        numbers=numbers,
    )
