"""Straight lines of positions: a fitted line with a tolerance says which slices stack up.

Nothing is rounded: a stack whose origin drifts, or whose positions are rounded, stays whole.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.frame import Frame

ON_LINE_MM = 0.1
"""Largest distance within the plane of a slice from its stack's line."""
_JOG_MM = 0.25
"""The same, of a stack that no gap gives away to be two."""
SAME_POSITION_MM = 1e-3
_SAME_POSITION = 0.02
"""Distance below which slices are at one position, as a share of the typical one."""
_EVEN = 0.02
"""Largest deviation of a slice from where equal spacing puts it, as a share of the spacing …"""
_EVEN_MM = 0.02
"""… or in millimetres: positions are often rounded to hundredths, …"""
_MOST_EVEN = 0.25
"""… but no more than this share of the spacing."""
_SEEDS = 64
"""Slices through which lines are tried, at most."""
_MOST_LINES = 32
"""Stacks side by side, at most; where the fullest has a smaller share, slices are scattered."""
_REFITS = 20
"""Times that slices are given to the nearest line and lines are fitted again, at most."""
_LEAST_ON_LINE = 3
"""Slices that a line needs to count, if only they suggest it; any two are on some line."""


def along(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Positions along the normal of the first, mm [N]."""
    return np.array([frame.position for frame in frames]) @ frames[0].normal


def same_distance(gaps: NDArray[np.float64]) -> float:
    """Distance (mm) up to which slices count as being at one position, from all distances."""
    distinct = gaps[gaps > SAME_POSITION_MM]
    typical = float(np.median(distinct)) if distinct.size else 0.0
    return max(_SAME_POSITION * typical, SAME_POSITION_MM)


def levels(frames: Sequence[Frame]) -> NDArray[np.int64]:
    """Number of the position along the normal at which each frame is, from 0, [N]."""
    places = along(frames)
    order = np.argsort(places, kind="stable")
    gaps = np.diff(places[order])
    numbers = np.zeros(len(frames), np.int64)
    numbers[order[1:]] = np.cumsum(gaps > same_distance(gaps))
    return numbers


def same_positions(frames: Sequence[Frame]) -> bool:
    """Whether some of the frames are at one position along their normal."""
    return int(levels(frames).max()) + 1 < len(frames)


def evenly_spaced(places: NDArray[np.float64]) -> bool:
    """Whether positions, in their order, are equally spaced.

    Each is compared with the fitted line and not with its neighbours, so that neither
    rounding nor a slow drift adds up.

    Args:
        places: float64 [N] along the normal, increasing, N ≥ 2.
    """
    if len(places) == 2:
        return True
    count = np.arange(len(places))
    slope, start = np.polyfit(count, places - places[0], 1)
    typical = float(np.median(np.diff(places)))
    largest = max(_EVEN * typical, min(_EVEN_MM, _MOST_EVEN * typical))
    return bool(np.abs(places - places[0] - start - slope * count).max() <= largest)


def off_line(positions: NDArray[np.float64], places: NDArray[np.float64]) -> float:
    """Largest distance (mm) of positions [N, 3] from the line fitted to them along `places`."""
    if len(positions) <= 2 or np.ptp(places) <= SAME_POSITION_MM:
        middle = positions.mean(0)
        return float(np.linalg.norm(positions - middle, axis=1).max()) if _flat(places) else 0.0
    from_start = positions - positions[0]
    design = np.stack([np.ones_like(places), places - places[0]], axis=1)
    fitted, *_ = np.linalg.lstsq(design, from_start, rcond=None)
    return float(np.linalg.norm(from_start - design @ fitted, axis=1).max())


def _flat(places: NDArray[np.float64]) -> bool:
    return bool(np.ptp(places) <= SAME_POSITION_MM)


def straight(frames: Sequence[Frame]) -> bool:
    """Whether all frames are on one straight line, tilted or not."""
    return off_line(np.array([f.position for f in frames]), along(frames)) <= ON_LINE_MM


def makes_a_stack(frames: Sequence[Frame]) -> bool:
    """Whether frames are a complete stack: one line, equal spacing, no position twice."""
    if same_positions(frames) or not straight(frames):
        return False
    return len(frames) == 1 or evenly_spaced(np.sort(along(frames)))


def by_line(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Stacks side by side; frames that are not all on lines stay together.

    A line through the slices that most others are on is taken out first, and so on,
    until each slice is on the nearest of the lines.
    """
    if straight(frames) or _jogged(frames):
        return [list(frames)]
    direction = frames[0].direction
    positions = np.array([frame.position for frame in frames])
    places = along(frames)
    across = positions @ direction.reshape(2, 3).T
    design = np.stack([np.ones_like(places), places - places.mean()], axis=1)
    left = np.argsort(places, kind="stable")
    slopes: list[NDArray[np.float64]] = [np.zeros(2)]
    found: list[NDArray[np.int64]] = []
    while left.size and len(found) < min(_MOST_LINES, len(frames) // 2):
        on = _fullest_line(places[left], across[left], slopes)
        if on is None or (not found and int(on.sum()) * _MOST_LINES < len(frames)):
            break
        found.append(left[on])
        left = left[~on]
        nearest = _on_nearest(design, across, found)
        if nearest is not None:
            parts = [np.flatnonzero(nearest == n).tolist() for n in range(len(found))]
            return [[frames[i] for i in part] for part in sorted(parts)]
    return [list(frames)]


def _jogged(frames: Sequence[Frame]) -> bool:
    """Whether an evenly spaced stack is only a little off a line: a table that was moved."""
    places = np.sort(along(frames))
    if same_positions(frames) or not evenly_spaced(places):
        return False
    return off_line(np.array([f.position for f in frames]), along(frames)) <= _JOG_MM


def _on_nearest(
    design: NDArray[np.float64], across: NDArray[np.float64], found: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64] | None:
    """Which of some lines each slice is on, once all are fitted again; None where one is on none.

    Args:
        design: [N, 2], 1 and the position along the normal.
        across: [N, 2] within the plane.
        found: slices that are on each line so far.
    """
    if len(found) < 2:
        return None
    nearest = np.full(len(across), -1)
    for n, part in enumerate(found):
        nearest[part] = n
    for _ in range(_REFITS):
        lines = [np.linalg.lstsq(design[nearest == n], across[nearest == n], rcond=None)[0]
                 for n in range(len(found))]  # fmt: skip
        away = np.stack([np.linalg.norm(across - design @ line, axis=1) for line in lines])
        before, nearest = nearest, away.argmin(axis=0)
        if (np.bincount(nearest, minlength=len(found)) < 2).any():
            return None
        if (nearest == before).all():
            break
    return nearest if float(away.min(axis=0).max()) <= ON_LINE_MM else None


def _fullest_line(
    places: NDArray[np.float64],
    across: NDArray[np.float64],
    slopes: list[NDArray[np.float64]],
) -> NDArray[np.bool_] | None:
    """Which slices are on the line that holds most; None where only chance makes lines.

    Args:
        places: [N] along the normal, increasing.
        across: [N, 2] within the plane.
        slopes: that may be assumed; the slope that is found is added.
    """
    best: NDArray[np.bool_] | None = None
    best_slope = slopes[0]
    for seed in _spread(len(places)):
        away, shift = places - places[seed], across - across[seed]
        known = [(slope, 2) for slope in slopes]
        tried = [shift[i] / away[i] for i in _partners(seed, away)]
        for slope, least in [*known, *((slope, _LEAST_ON_LINE) for slope in tried)]:
            on = np.linalg.norm(shift - away[:, None] * slope, axis=1) <= ON_LINE_MM
            count = int(on.sum())
            if count >= least and (best is None or count > int(best.sum())):
                best, best_slope = on, slope
    if best is None:
        return None
    if best.sum() >= _LEAST_ON_LINE and np.ptp(places[best]) > SAME_POSITION_MM:
        # again, with the line that is fitted to all of them
        design = np.stack([np.ones(len(places)), places], axis=1)
        fitted, *_ = np.linalg.lstsq(design[best], across[best], rcond=None)
        on = np.linalg.norm(across - design @ fitted, axis=1) <= ON_LINE_MM
        if on.sum() >= best.sum():
            best, best_slope = on, fitted[1]
    slopes.append(best_slope)
    return best


def _spread(count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, _SEEDS))})


def _partners(seed: int, away: NDArray[np.float64]) -> list[int]:
    """Slices at growing distances after a seed."""
    later = np.flatnonzero(away > SAME_POSITION_MM)
    later = later[later > seed]
    lags = [1, 2, 3, 4, 5, 6, 8, 11, 16, 23, 32, 45, 64, 128, 256, 512, 1024]
    return [int(later[lag - 1]) for lag in lags if lag <= later.size]
