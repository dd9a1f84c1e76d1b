"""Where to cut between two groups of values: Youden's J."""

import numpy as np
from numpy.typing import ArrayLike

_SAME = 1e-12
"""Values of J that differ by less are equal: rounding must not choose the cut."""


def best_cuts(positives: ArrayLike, negatives: ArrayLike) -> list[tuple[float, float]]:
    """Between which neighbouring values a cut tells the groups apart best.

    What is at or above a cut counts as positive. J is the share of positives there less
    the share of negatives there. Source: W. J. Youden, Index for rating diagnostic tests,
    Cancer 3 (1950).

    Args:
        positives, negatives: finite values, at least one each.

    Returns:
        The largest value below and the smallest at or above each of the equally good
        cuts, ascending; none where no cut is better than chance.
    """
    found, missed = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    known = np.unique(np.concatenate([found, missed]))
    sensitivity = 1 - np.searchsorted(np.sort(found), known[1:]) / found.size
    false_alarms = 1 - np.searchsorted(np.sort(missed), known[1:]) / missed.size
    youden = sensitivity - false_alarms
    if not youden.size or youden.max() <= _SAME:
        return []
    best = np.flatnonzero(youden >= youden.max() - _SAME)
    return [(float(known[at]), float(known[at + 1])) for at in best]
