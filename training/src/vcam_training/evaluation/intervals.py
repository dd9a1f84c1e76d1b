"""Figures with 95 % intervals, and the area under the ROC curve.

Proportions have Wilson's interval; means and areas a percentile bootstrap, seeded, so
that the same values give the same interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
_CHANCE = 0.5
"""Area of scores without skill."""
_SAME = 1e-12
"""Share of a variance below which values of a resample are all alike."""


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
    """Its 95 % percentile bootstrap interval; positives and negatives are resampled apart.

    Without one pair in the wrong order, or in the right one, every resample is like that,
    and says nothing. Then it is Wilson's interval of as many pairs, none of them wrong,
    as there are positives or negatives, whichever are fewer: no two share a volume.
    """
    found, missed = np.asarray(positives, float), np.asarray(negatives, float)
    if (area := auc(found, missed)) in (0, 1):
        return _of_pairs(area, min(found.size, missed.size))
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


def mean_auc_interval(
    scores: NDArray,
    labels: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean area of several columns.

    Whole rows are resampled: what one volume shows hangs together. A column that has one
    kind of label only in a resample is left out of its mean. Where all areas are 1, or
    all 0, the interval is that of `auc_interval` for the column with the fewest pairs.

    Args:
        scores: [n, K], finite.
        labels: bool [n, K], both kinds in each column.
        known: bool [n, K], which labels are; None for all.
        seed: of the resampling.
    """
    rows = _known_rows(labels, known)
    pairs = [(scores[at, k], labels[at, k]) for k, at in enumerate(rows)]
    seen = {auc(column[there], column[~there]) for column, there in pairs}
    if seen in ({0.0}, {1.0}):
        fewest = min(min(there.sum(), (~there).sum()) for _, there in pairs)
        return _of_pairs(seen.pop(), int(fewest))
    columns = [(at, _Sorted.of(*pair)) for at, pair in zip(rows, pairs, strict=True)]
    areas = []
    for counts in _resampled_counts(len(scores), seed):
        each = [area for at, column in columns if (area := column.area(counts[at])) is not None]
        areas.append(np.mean(each) if each else _CHANCE)
    return percentile_interval(np.array(areas))


def _known_rows(
    labels: NDArray[np.bool_], known: NDArray[np.bool_] | None
) -> list[NDArray[np.intp]]:
    """The rows of each column whose label is known."""
    if known is None:
        return [np.arange(len(labels))] * labels.shape[1]
    return [np.flatnonzero(column) for column in known.T]


def _of_pairs(area: float, pairs: int) -> tuple[float, float]:
    """The interval of an area of 0 or 1."""
    return wilson_interval(round(area * pairs), pairs)


def r2_interval(errors: ArrayLike, truths: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of R², the share of variance that is explained.

    Args:
        errors: [n], answer less truth.
        truths: [n], not all alike. Resamples where they are count as 0.
        seed: of the resampling.
    """
    squares = np.asarray(errors, np.float64) ** 2
    truth = np.asarray(truths, np.float64)
    about = truth - truth.mean()
    found = []
    for counts in _resampled_counts(len(about), seed):
        spread = counts @ about**2 - (counts @ about) ** 2 / len(about)
        is_known = spread > _SAME * (about**2).sum()
        found.append(1 - counts @ squares / spread if is_known else 0.0)
    return percentile_interval(np.array(found))


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
    return _metric(name, auc(positives, negatives), interval, count, split, _CHANCE)


def mean_auc_metric(
    name: str,
    scores: NDArray,
    labels: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
    *,
    split: str = "test",
) -> Metric:
    """A mean area of several columns as a Metric; arguments as for `mean_auc_interval`."""
    areas = [
        auc(scores[at, k][labels[at, k]], scores[at, k][~labels[at, k]])
        for k, at in enumerate(_known_rows(labels, known))
    ]
    interval = mean_auc_interval(scores, labels, known)
    return _metric(name, float(np.mean(areas)), interval, len(scores), split, _CHANCE)


def r2_metric(
    name: str, errors: ArrayLike, truths: ArrayLike, *, split: str = "test", chance: float | None
) -> Metric:
    """R² as a Metric; arguments as for `r2_interval`."""
    given, truth = np.asarray(errors, np.float64), np.asarray(truths, np.float64)
    value = r2(given, truth)
    return _metric(name, value, r2_interval(given, truth), truth.size, split, chance)


def r2(errors: ArrayLike, truths: ArrayLike) -> float:
    """1 less the mean squared error over the variance of the truth, which must not be 0."""
    truth = np.asarray(truths, np.float64)
    return float(1 - (np.asarray(errors, np.float64) ** 2).mean() / truth.var())


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


def _resampled_counts(count: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """int [n] in turn, how often each of n is in a resample; RESAMPLES of them."""
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield np.bincount(rng.integers(count, size=count), minlength=count)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sorted:
    """Scores of one column in ascending order, ready for one resample after the other.

    Attributes:
        order: int [n].
        positives: int [p], where in that order the positives are.
        start, end: int [p], where scores like each positive's begin and end.
        start_positive, end_positive: the same among the positives.
    """

    order: NDArray[np.intp]
    positives: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    start_positive: NDArray[np.intp]
    end_positive: NDArray[np.intp]

    @classmethod
    def of(cls, scores: NDArray, labels: NDArray[np.bool_]) -> "_Sorted":
        order = np.argsort(scores, kind="stable")
        ascending, positives = scores[order], np.flatnonzero(labels[order])
        own = ascending[positives]
        return cls(
            order=order,
            positives=positives,
            start=np.searchsorted(ascending, own, "left"),
            end=np.searchsorted(ascending, own, "right"),
            start_positive=np.searchsorted(own, own, "left"),
            end_positive=np.searchsorted(own, own, "right"),
        )

    def area(self, counts: NDArray[np.intp]) -> float | None:
        """The area of a resample, int [n]; None where a kind is not in it."""
        in_order = counts[self.order]
        weights = in_order[self.positives]
        before, before_positive = (np.append(0, np.cumsum(w)) for w in (in_order, weights))
        below = before[self.start] - before_positive[self.start_positive]
        up_to = before[self.end] - before_positive[self.end_positive]
        pairs = int(before_positive[-1] * (before[-1] - before_positive[-1]))
        return float(weights @ (below + up_to)) / 2 / pairs if pairs else None


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
