"""How alike two maps are, cell by cell."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALIKE = 1e-6
"""Range of a map's cells, as a share of the largest magnitude, up to which it is constant."""


def rank_correlations(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """float64 [n]: Spearman's rank correlation of each pair of maps.

    Ties get their mean rank. A map that is constant, zero above all, orders nothing:
    its correlation with any other counts as 0.

    Args:
        a, b: [n, *cells], raw and signed.
    """
    if not len(a):
        return np.zeros(0)
    first, second = _standardised(a), _standardised(b)
    return (first * second).mean(axis=1)


def _standardised(maps: NDArray) -> NDArray[np.float64]:
    """float64 [n, cells]: ranks of mean 0 and deviation 1, or all 0 for a constant map."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    ranks = stats.rankdata(flat, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    deviation = ranks.std(axis=1, keepdims=True)
    spread = np.ptp(flat, axis=1, keepdims=True)
    varies = spread > ALIKE * np.abs(flat).max(axis=1, keepdims=True)
    return np.divide(ranks, deviation, out=np.zeros_like(ranks), where=varies & (deviation > 0))
