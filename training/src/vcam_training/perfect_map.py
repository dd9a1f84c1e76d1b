"""How well a perfect map could show an object, given only the cells it is read on.

A perfect map is the object's mask, box-averaged onto the cells and interpolated
back between their centres. Its Dice at the best threshold is the ceiling for any
explanation read there: coarse cells can't show small objects, whatever was learned.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer
from vcam_training.heatmap import interpolation_matrix

_PHASES = 5
"""Placements of a ball within a cell's half width, along each axis."""
_DECIMALS = 6
"""Values that differ by less are one level: rounding errors must not rank voxels."""


def perfect_map_dice(mask: NDArray[np.bool_], layer: CamLayer) -> float:
    """Dice of a mask and its perfect map at the best threshold.

    Args:
        mask: bool [*grid], at least one voxel.
        layer: where the cells lie on that grid.

    Returns:
        0 … 1.
    """
    perfect = mask.astype(np.float64)
    geometry = zip(mask.shape, layer.cells, layer.offset, layer.stride, strict=True)
    for axis, (voxels, cells, offset, stride) in enumerate(geometry):
        onto_cells = _box_average(voxels, cells, offset, stride)
        back = interpolation_matrix(voxels, cells, offset, stride).astype(np.float64)
        perfect = np.moveaxis(np.tensordot(back @ onto_cells, perfect, (1, axis)), 0, axis)
    return _best_dice(mask.ravel(), perfect.ravel())


def worst_ball_dice(radius: float | Sequence[float], layer: CamLayer, grid: Sequence[int]) -> float:
    """The lowest Dice of a ball over its placements relative to the cells.

    Args:
        radius: voxels of the grid, one number or one for each axis.
        layer: where the cells lie.
        grid: voxels along each axis; the ball is placed about the middle cell.
    """
    radii = np.broadcast_to(np.asarray(radius, np.float64), (len(grid),))
    steps = [np.linspace(0, stride / 2, _PHASES) for stride in layer.stride]
    middle = [
        o + s * (n // 2) for o, s, n in zip(layer.offset, layer.stride, layer.cells, strict=True)
    ]
    return min(
        perfect_map_dice(_ball(grid, np.add(middle, phase), radii), layer)
        for phase in itertools.product(*steps)
    )


def _box_average(voxels: int, cells: int, offset: float, stride: float) -> NDArray[np.float64]:
    """[cells, voxels]: share of each voxel in the box, one stride wide, about a cell's centre."""
    index = np.arange(voxels)
    centre = (offset + stride * np.arange(cells))[:, None]
    low = np.maximum(index - 0.5, centre - stride / 2)
    high = np.minimum(index + 0.5, centre + stride / 2)
    overlap = np.clip(high - low, 0, None)
    return overlap / stride


def _ball(
    grid: Sequence[int], centre: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(0, n) for n in grid)]
    distance2 = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return np.asarray(distance2 <= 1)


def _best_dice(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    score = np.round(score, _DECIMALS)
    shown = np.flatnonzero(score > 0)
    order = shown[np.argsort(-score[shown], kind="stable")]
    ranked = score[order]
    found = np.cumsum(truth[order])
    dice = 2 * found / (np.arange(1, ranked.size + 1) + truth.sum())
    is_threshold = np.append(ranked[1:] < ranked[:-1], True)[: ranked.size]
    return float(dice[is_threshold].max(initial=0.0))
