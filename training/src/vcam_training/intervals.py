"""Figures with 95 % intervals, and the area under the ROC curve.

Proportions have Wilson's interval; means and areas a percentile bootstrap, seeded, so
that the same values give the same interval.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcam_client.spec import Metric

Z_95 = 1.959964
"""Normal quantile of a two-sided 95 % interval."""
RESAMPLES = 2000
"""Bootstrap samples of an interval."""
_BOUNDS = (2.5, 97.5)
_VALUES_AT_ONCE = 1_000_000
"""Resampled values in memory at one time."""


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion.

    Source: E. B. Wilson, Probable inference, J. Am. Stat. Assoc. 22 (1927).
    """
    share, z2 = successes / count, Z_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def mean_interval(values: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean.

    Args:
        values: [n], at least one, finite.
        seed: of the resampling.

    Source: B. Efron, Bootstrap methods, Ann. Stat. 7 (1979).
    """
    given = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    each = max(1, _VALUES_AT_ONCE // given.size)
    means = [
        given[rng.integers(given.size, size=(min(each, RESAMPLES - at), given.size))].mean(axis=1)
        for at in range(0, RESAMPLES, each)
    ]
    return percentile_interval(np.concatenate(means))


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive is above a negative; ties count half.

    Args:
        positives, negatives: scores, at least one each.
    """
    return _auc(*_counts(np.asarray(positives, float), np.asarray(negatives, float)))


def auc_interval(
    positives: ArrayLike, negatives: ArrayLike, *, seed: int = 0
) -> tuple[float, float]:
    """Its 95 % percentile bootstrap interval; positives and negatives are resampled apart."""
    found, missed = np.asarray(positives, float), np.asarray(negatives, float)
    rng = np.random.default_rng(seed)
    known = np.unique(np.concatenate([found, missed]))
    ranks = [np.searchsorted(known, values) for values in (found, missed)]
    areas = [
        _auc(
            *(
                np.bincount(rank[rng.integers(rank.size, size=rank.size)], minlength=known.size)
                for rank in ranks
            )
        )
        for _ in range(RESAMPLES)
    ]
    return percentile_interval(np.array(areas))


def percentile_interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Where the middle 95 % of bootstrap figures lie."""
    lower, upper = np.percentile(resampled, _BOUNDS)
    return float(lower), float(upper)


def share_metric(
    name: str, hits: ArrayLike, *, split: str = "test", chance: float | None = None
) -> Metric:
    """A proportion as a Metric.

    Args:
        name: of the figure.
        hits: bool [n], at least one.
        split: where it was measured.
        chance: the same by chance.
    """
    given = np.asarray(hits, bool)
    lower, upper = wilson_interval(int(given.sum()), given.size)
    return _metric(name, given.mean(), (lower, upper), given.size, split, chance)


def mean_metric(
    name: str, values: ArrayLike, *, split: str = "test", chance: float | None = None
) -> Metric:
    """A mean as a Metric; values [n], at least one, finite."""
    given = np.asarray(values, np.float64)
    return _metric(name, given.mean(), mean_interval(given), given.size, split, chance)


def auc_metric(
    name: str,
    positives: Sequence[float] | NDArray,
    negatives: Sequence[float] | NDArray,
    *,
    split: str = "test",
) -> Metric:
    """An area under the ROC curve as a Metric; by chance it is one half."""
    interval = auc_interval(positives, negatives)
    count = len(positives) + len(negatives)
    return _metric(name, auc(positives, negatives), interval, count, split, 0.5)


def _metric(
    name: str,
    value: float,
    interval: tuple[float, float],
    count: int,
    split: str,
    chance: float | None,
) -> Metric:
    return Metric(
        name=name,
        value=float(value),
        lower=interval[0],
        upper=interval[1],
        count=count,
        split=split,
        chance=None if chance is None else float(chance),
    )


def _counts(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many positives and negatives have each score, ascending."""
    known = np.unique(np.concatenate([positives, negatives]))
    found, missed = (
        np.bincount(np.searchsorted(known, values), minlength=known.size)
        for values in (positives, negatives)
    )
    return found, missed


def _auc(positives: NDArray[np.intp], negatives: NDArray[np.intp]) -> float:
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))
