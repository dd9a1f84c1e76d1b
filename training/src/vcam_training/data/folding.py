"""One fold of a cross-validation, of any data set."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.dataset import DataSet, Split, no_masks
from vcam_training.data.rows import chosen, concatenated
from vcam_training.data.splitting import k_folds


def fold(data: DataSet, number: int, count: int, seed: int) -> DataSet:
    """Pools training and validation, and divides them otherwise; test stays as it is.

    Over all folds each of these volumes is in the validation split once. Where validation
    stands in for a test split, it goes on doing so.

    Args:
        data: a data set.
        number: of the fold, from 1 to `count`.
        count: of folds.
        seed: of the division; the same for all folds of a cross-validation.

    Raises:
        ConfigError: no such fold, or fewer volumes or groups than folds.
    """
    if not 1 <= number <= count:
        raise ConfigError(f"Expected a fold from 1 to {count}, received {number}.")
    pool = _pooled(data.train, data.validation)
    held_out = k_folds(pool.labels, pool.groups, count, seed)[number - 1]
    validation = _part(pool, held_out)
    return replace(
        data,
        train=_part(pool, np.setdiff1d(np.arange(len(pool)), held_out)),
        validation=validation,
        test=validation if data.is_tested_on_validation else data.test,
    )


def parse_fold(text: str) -> tuple[int, int]:
    """Number and count of a fold as "2/5".

    Raises:
        ConfigError: it is none.
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"Expected a fold such as 2/5, the second of five, received {text!r}.")
    if int(count) < 2:
        raise ConfigError(f"Expected 2 folds or more, received {text!r}.")
    return int(number), int(count)


def _pooled(one: Split, other: Split) -> Split:
    shape = (len(one) + len(other), *one.volumes.shape[1:])
    findings = {*one.finding_masks, *other.finding_masks}
    return Split(
        volumes=concatenated(one.volumes, other.volumes),
        labels=np.concatenate([one.labels, other.labels]),
        known=None
        if one.known is None and other.known is None
        else np.concatenate([one.is_known, other.is_known]),
        masks=_masks(one.masks, other.masks, shape),
        finding_masks={
            at: _masks(
                *(part.finding_masks.get(at, no_masks(part.masks.shape)) for part in (one, other)),
                shape,
            )
            for at in findings
        },
        groups=_joined_groups(one, other),
        names=(*one.names, *other.names) if one.names and other.names else (),
    )


def _joined_groups(one: Split, other: Split) -> NDArray[np.str_] | None:
    if one.groups is None or other.groups is None:
        return None
    return np.concatenate([one.groups, other.groups])


def _masks(one: Any, other: Any, shape: tuple[int, ...]) -> Any:
    """Both; without memory where nothing is marked."""
    if not one.any() and not other.any():
        return no_masks(shape)
    return concatenated(one, other)


def _part(split: Split, index: NDArray[np.intp]) -> Split:
    return Split(
        volumes=chosen(split.volumes, index),
        labels=split.labels[index],
        known=None if split.known is None else split.known[index],
        masks=chosen(split.masks, index),
        finding_masks={at: chosen(masks, index) for at, masks in split.finding_masks.items()},
        groups=None if split.groups is None else split.groups[index],
        names=tuple(split.names[n] for n in index) if split.names else (),
    )
