"""Divides a data set into parts: at random, stratified by label, no group in two parts.

Exclusive classes without groups are divided exactly: each class, and the whole, in the
shares asked for, to the next whole number. Everything else is dealt out one group after
the other, those with the rarest labels first and of these the largest ones, each to the
part that its labels (each finding for itself, not combinations of findings) bring nearest
to its shares, after K. Sechidis et al., On the stratification of multi-label data, ECML
PKDD 2011. A label of as many groups as there are parts is in each of them, unless the
parts that lack it are full. Targets of a regression are stratified by fifths of each.

The same labels, groups, shares and seed give the same parts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError

_QUANTILES = 5
"""Strata of each target of a regression."""

Parts = tuple[NDArray[np.intp], ...]


def split(
    labels: NDArray, groups: Sequence[str] | NDArray | None, shares: Sequence[float], seed: int
) -> Parts:
    """Divides samples into parts.

    Args:
        labels: int [n] of exclusive classes, bool [n, K] of findings, or float [n, K] of
            targets; see `task.Task`.
        groups: [n], such as patients, that stay together; None where each sample is a
            group of its own.
        shares: of each part, 1 together; a part with a share of 0 stays empty.
        seed: another one, other parts.

    Returns:
        Indices of each part, ascending.

    Raises:
        ConfigError: shares that are none, or too few samples or groups for the parts.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"Expected shares of 0 or more that are 1 together, received {tuple(shares)}."
        )
    ids = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count, wanted = (int(ids.max()) + 1 if len(ids) else 0), sum(share > 0 for share in shares)
    if count < wanted:
        kind = "samples" if groups is None else "groups, such as patients"
        raise ConfigError(
            f"Expected at least {wanted} {kind}, for {wanted} parts of the data, received {count}. "
            "Set fewer parts, or give more data."
        )
    rng = np.random.default_rng(seed)
    targets = np.asarray(shares, np.float64)
    if labels.ndim == 1 and count == len(labels):
        part = _exact(labels, targets, rng)
    else:
        part = _dealt(_strata(labels), ids, targets, rng)
    return tuple(np.flatnonzero(part == number) for number in range(len(shares)))


def k_folds(
    labels: NDArray, groups: Sequence[str] | NDArray | None, count: int, seed: int
) -> Parts:
    """The held-out part of each of `count` folds; together they are all samples.

    Args:
        labels, groups, seed: as for `split`.
        count: of folds, 2 or more.

    Raises:
        ConfigError: fewer than two folds, or fewer samples or groups than folds.
    """
    if count < 2:
        raise ConfigError(f"Expected 2 folds or more, received {count}.")
    return split(labels, groups, (1 / count,) * count, seed)


def _exact(
    labels: NDArray, shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """The part of each sample; counts of each class and of all are rounded up or down.

    What is left of a class after rounding down goes to the parts that all classes so far
    have given least, so that rounding doesn't add up.
    """
    part = np.empty(len(labels), np.intp)
    owed = np.zeros(len(shares))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        ideal = len(members) * shares
        counts = np.floor(ideal + 1e-9).astype(np.intp)
        owed += ideal - counts
        # A share without a fraction is whole already; among the others, the tie is random.
        order = np.lexsort((rng.random(len(shares)), -owed.round(9), ideal - counts < 1e-9))
        more = order[: len(members) - counts.sum()]
        counts[more] += 1
        owed[more] -= 1
        part[members] = np.repeat(np.arange(len(shares)), counts)
    return part


def _dealt(
    strata: NDArray[np.float64],
    groups: NDArray[np.intp],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """The part of each sample; each group goes where it leaves the labels nearest the shares.

    How far off a part is: the sum of (there - wanted)² / wanted over labels and samples.
    """
    sizes = np.bincount(groups).astype(np.float64)
    # A group's labels, and its samples as one more, which keeps parts to their sizes.
    units = np.zeros((len(sizes), strata.shape[1] + 1))
    np.add.at(units, groups, np.column_stack([strata, np.ones(len(groups))]))
    totals = units.sum(axis=0)
    units, totals = units[:, totals > 0], totals[totals > 0]
    open_parts = np.flatnonzero(shares > 0)
    wanted = shares[open_parts, None] * totals
    there = np.zeros_like(wanted)

    rarest = np.where(units > 0, totals, np.inf).min(axis=1)
    order = np.lexsort((rng.random(len(sizes)), -sizes, rarest))
    left = (units > 0).sum(axis=0)
    chosen = np.empty(len(sizes), np.intp)
    for done, unit in enumerate(order):
        empty = there[:, -1] == 0
        # The last groups are for parts that have none yet.
        allowed = empty if empty.sum() >= len(order) - done else there[:, -1] < wanted[:, -1]
        if not allowed.any():
            allowed[:] = True
        # The last groups with a label are for parts that don't have it yet.
        for label in np.flatnonzero(units[unit]):
            lacking = allowed & (there[:, label] == 0)
            if lacking.any() and left[label] <= (there[:, label] == 0).sum():
                allowed = lacking
        left -= units[unit] > 0
        gap = ((there + units[unit] - wanted) ** 2 - (there - wanted) ** 2) / wanted
        cost = np.where(allowed, gap.sum(axis=1), np.inf)
        best = np.flatnonzero(cost <= cost.min() + 1e-9)
        chosen[unit] = rng.choice(best)
        there[chosen[unit]] += units[unit]
    return open_parts[chosen][groups]


def _strata(labels: NDArray) -> NDArray[np.float64]:
    """float64 [n, S]: the labels of each sample, one column for each."""
    if labels.ndim == 1:
        return (labels[:, None] == np.unique(labels)).astype(np.float64)
    if labels.dtype == bool:
        return labels.astype(np.float64)
    ranks = labels.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    fifths = ranks * _QUANTILES // len(labels)
    return (
        np.concatenate([column[:, None] == np.arange(_QUANTILES) for column in fifths.T], 1) * 1.0
    )
