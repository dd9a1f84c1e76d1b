"""Spearman's rank correlation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 3
"""Pairs below which a correlation says nothing."""


def rank_correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float | None:
    """Pearson's correlation of ranks, equal values with their average rank.

    Args:
        a, b: [N].

    Returns:
        -1 to 1; None where either is constant, or there are fewer than three pairs.
    """
    if len(a) < _LEAST:
        return None
    first, second = _ranks(a), _ranks(b)
    spread = float(first.std() * second.std())
    if not spread:
        return None
    covariance = float(((first - first.mean()) * (second - second.mean())).mean())
    return min(1.0, max(-1.0, covariance / spread))


def _ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    average: NDArray[np.float64] = last - (counts - 1) / 2
    return average[place]
