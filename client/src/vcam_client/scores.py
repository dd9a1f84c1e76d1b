"""Scores: percentages, the class explained by default, slices into one."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import ExplainDefault, ModelSpec, SliceAggregation

_HUNDREDTHS = 10_000
"""Hundredths of a percent in the whole."""


def percentages(scores: NDArray[np.float64], *, exclusive: bool) -> list[float]:
    """Percentages with two decimals.

    Args:
        scores: [K], in [0, 1].
        exclusive: the classes exclude each other: the percentages sum to exactly
            100.00 (largest remainder); else each is rounded by itself.
    """
    if not exclusive:
        return [round(100 * float(s), 2) for s in scores]
    exact = _HUNDREDTHS * scores / scores.sum()
    units = np.floor(exact).astype(int)
    missing = _HUNDREDTHS - int(units.sum())
    for n in np.argsort(-(exact - units), kind="stable")[:missing]:
        units[n] += 1
    return [int(u) / 100 for u in units]


def default_class(scores: NDArray[np.float64], spec: ModelSpec) -> int:
    """Index of the class explained where the caller names none."""
    if spec.explain_default is ExplainDefault.POSITIVE_CLASS:
        return 1
    if spec.explain_default is ExplainDefault.TARGET:
        return 0
    return int(np.argmax(scores))


def aggregate(scores: NDArray[np.float64], spec: ModelSpec) -> NDArray[np.float64]:
    """Scores of a volume from those of its slices.

    MEAN averages. MAX takes the highest score of each label; for exclusive
    classes, so that the scores still sum to one, the scores of the slice with
    the highest positive score (a model with a positive class), or the highest
    scores divided by their sum.

    Args:
        scores: [slices, K].

    Returns:
        [K].
    """
    if spec.slice_aggregation is SliceAggregation.MEAN:
        mean: NDArray[np.float64] = scores.mean(axis=0)
        return mean
    if spec.explain_default is ExplainDefault.POSITIVE_CLASS:
        row: NDArray[np.float64] = scores[int(np.argmax(scores[:, 1]))]
        return row
    highest: NDArray[np.float64] = scores.max(axis=0)
    return highest / highest.sum() if spec.exclusive else highest
