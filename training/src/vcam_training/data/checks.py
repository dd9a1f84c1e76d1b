"""What is wrong with a data set that can be read, found before anything is trained on it.

What no data set can have (labels out of range, a split without a class, masks of another
shape, values that are not finite) `Split` and `DataSet` refuse by themselves; scans that
can't be read are named by `grid_cache`. Here is what only a look at all splits shows.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.dataset import DataSet, Split
from vcam_training.data.problems import refuse
from vcam_training.task import Task

_NAMED = 3
"""Volumes that a warning names; of the others it says how many there are."""


def check(data: DataSet) -> tuple[str, ...]:
    """Looks for what spoils training or its figures.

    Args:
        data: a data set; each volume is read once.

    Returns:
        Warnings, a sentence each: volumes that show nothing, the same volume in two splits,
        labels that never vary.

    Raises:
        ConfigError: empty splits, groups in two splits, no label that varies in training, masks
            of findings that don't exist; all that was found.
    """
    splits = dict(data.splits)
    if data.is_tested_on_validation:
        del splits["test"]
    constant = _constant_labels(data)
    refuse(
        "data that can be trained on",
        [
            *(f"no volume in the {name} split" for name, split in splits.items() if not len(split)),
            *(
                f"no known label in the {name} split"
                for name, split in splits.items()
                if len(split) and not split.is_known.any()
            ),
            *_leaks(splits),
            *_strange_masks(data),
            *([f"the same {data.contract.task.value} in all of the train split"] * all(constant)),
        ],
        "Correct the list of the data set, or divide it otherwise.",
    )
    return (
        *_never_vary(data, constant),
        *_blank(data, splits),
        *_twice(splits),
    )


def _leaks(splits: dict[str, Split]) -> Iterator[str]:
    """Groups that are in more than one split."""
    seen: dict[str, set[str]] = {}
    for name, split in splits.items():
        for group in [] if split.groups is None else np.unique(split.groups):
            seen.setdefault(str(group), set()).add(name)
    for group, names in seen.items():
        if len(names) > 1:
            yield f"group {group!r} in the splits {', '.join(n for n in splits if n in names)}"


def _strange_masks(data: DataSet) -> Iterator[str]:
    for name, split in data.splits.items():
        for number in split.finding_masks:
            if data.contract.task is not Task.FINDINGS or not 0 <= number < len(data.labels):
                yield f"masks of finding {number} in the {name} split, of {len(data.labels)} labels"


def _constant_labels(data: DataSet) -> list[bool]:
    """Of each finding or target, whether it is the same in all of the training split."""
    labels, known = data.train.labels, data.train.is_known
    if labels.ndim == 1:
        labels, known = labels[:, None], known[:, None]
    columns = [column[which] for column, which in zip(labels.T, known.T, strict=True)]
    return [bool((column == column[:1]).all()) for column in columns]


def _never_vary(data: DataSet, constant: list[bool]) -> Iterator[str]:
    if data.contract.task is Task.CLASSES:
        return
    names = [name for name, one in zip(data.labels, constant, strict=True) if one]
    if names:
        yield f"Nothing can be learned of what is the same in all of train: {', '.join(names)}."


def _blank(data: DataSet, splits: dict[str, Split]) -> Iterator[str]:
    """Volumes in which the network sees one value only."""
    low, high = data.contract.intensity.window or (-np.inf, np.inf)
    for name, split in splits.items():
        found = [
            split.name(number)
            for number, volume in enumerate(split.volumes)
            if np.clip(volume.min(), low, high) == np.clip(volume.max(), low, high)
        ]
        if found:
            yield (
                f"{len(found)} of {len(split)} volumes of the {name} split have one value "
                f"everywhere, as far as the window shows: {_first(found)}. Look at their units."
            )


def _twice(splits: dict[str, Split]) -> Iterator[str]:
    """Volumes that are in two splits, voxel by voxel."""
    seen: dict[bytes, tuple[str, str]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for name, split in splits.items():
        for number, volume in enumerate(split.volumes):
            digest = _digest(volume)
            before = seen.setdefault(digest, (name, split.name(number)))
            if before[0] != name:
                pair = f"{before[1]} and {split.name(number)}"
                found.setdefault((before[0], name), []).append(pair)
    for (one, other), pairs in found.items():
        yield (
            f"{len(pairs)} volumes are in {one} and in {other}, which flatters the figures: "
            f"{_first(pairs)}."
        )


def _digest(volume: NDArray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(volume).tobytes(), digest_size=16).digest()


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
