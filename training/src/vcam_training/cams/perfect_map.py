"""How well a perfect map could show an object, given only the cells it is read on.

A perfect map is the object's mask, box-averaged onto the cells and interpolated
back between their centres. Its Dice at the best threshold is the ceiling for any
explanation read there: coarse cells can't show small objects, whatever was learned.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import interpolation_matrix

_PHASES = 5
"""Placements of a ball within a cell's half width, along each axis."""
_LEVELS = 10**6
"""Steps from 0 to 1 that are told apart: rounding errors must not rank voxels."""


def perfect_map_dice(mask: NDArray[np.bool_], layer: CamLayer) -> float:
    """Dice of a mask and its perfect map at the best threshold.

    Args:
        mask: bool [*grid].
        layer: where the cells lie on that grid.

    Returns:
        0 … 1; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    spans = [
        _span(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        for axis in range(mask.ndim)
    ]
    part = _Part(inside=mask[tuple(spans)], spans=tuple(spans))
    return _dice(part, _there_and_back(mask.shape, layer))


def worst_ball_dice(radius: float | Sequence[float], layer: CamLayer, grid: Sequence[int]) -> float:
    """The lowest Dice of a ball over its placements relative to the cells.

    Args:
        radius: voxels of the grid, one number or one for each axis. A ball has at
            least the voxel nearest to its centre.
        layer: where the cells lie.
        grid: voxels along each axis; the ball is placed between the middle cell's centre
            and half way to the next.
    """
    radii = np.broadcast_to(np.asarray(radius, np.float64), (len(grid),)).tolist()
    axes = list(zip(grid, layer.cells, layer.offset, layer.stride, radii, strict=True))
    middle = [offset + stride * ((cells - 1) // 2) for _, cells, offset, stride, _ in axes]
    steps = [np.linspace(0, stride / 2, _PHASES) for stride in layer.stride]
    there_and_back = _there_and_back(grid, layer)
    return min(
        _dice(_ball(grid, np.add(middle, phase), radii), there_and_back)
        for phase in itertools.product(*steps)
        if _is_first_of_its_kind(phase, axes)
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The part of a grid around an object.

    Attributes:
        inside: bool, the object within the spans; nothing of it lies outside.
        spans: voxels along each axis of the grid.
    """

    inside: NDArray[np.bool_]
    spans: tuple[slice, ...]


def _is_first_of_its_kind(phase: Sequence[float], axes: Sequence[object]) -> bool:
    """Whether swapping axes that are alike leads to no earlier placement, with the same Dice."""
    pairs = itertools.combinations(range(len(axes)), 2)
    return all(phase[a] <= phase[b] for a, b in pairs if axes[a] == axes[b])


def _there_and_back(grid: Sequence[int], layer: CamLayer) -> list[NDArray[np.float64]]:
    """[voxels, voxels] for each axis: what a voxel of the mask adds to each of its map."""
    geometry = zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
    return [
        interpolation_matrix(*axis).astype(np.float64) @ _box_average(*axis) for axis in geometry
    ]


def _box_average(voxels: int, cells: int, offset: float, stride: float) -> NDArray[np.float64]:
    """[cells, voxels]: share of each voxel in the box, one stride wide, about a cell's centre."""
    index = np.arange(voxels)
    centre = (offset + stride * np.arange(cells))[:, None]
    low = np.maximum(index - 0.5, centre - stride / 2)
    high = np.minimum(index + 0.5, centre + stride / 2)
    overlap = np.clip(high - low, 0, None)
    return overlap / stride


def _ball(grid: Sequence[int], centre: NDArray[np.float64], radii: NDArray[np.float64]) -> _Part:
    spans = tuple(
        slice(int(np.clip(np.floor(c - r), 0, n - 1)), int(np.clip(np.ceil(c + r), 0, n - 1)) + 1)
        for n, c, r in zip(grid, centre, radii, strict=True)
    )
    axes = np.ogrid[spans]
    distance2 = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    inside = np.asarray(distance2 <= 1)
    nearest = np.clip(np.rint(centre).astype(int), 0, np.subtract(grid, 1))
    inside[tuple(nearest - [span.start for span in spans])] = True
    return _Part(inside=inside, spans=spans)


def _dice(part: _Part, there_and_back: Sequence[NDArray[np.float64]]) -> float:
    """Computed in the box around the object and its map; outside both are 0."""
    score, margins = part.inside.astype(np.float64), []
    for axis, (matrix, span) in enumerate(zip(there_and_back, part.spans, strict=True)):
        touched = matrix[:, span].any(axis=1)
        touched[span] = True
        box = _span(touched)
        score = np.moveaxis(np.moveaxis(score, axis, -1) @ matrix[box, span].T, -1, axis)
        margins.append((span.start - box.start, box.stop - span.stop))
    return _best_dice(np.pad(part.inside, margins).ravel(), score.ravel())


def _span(chosen: NDArray[np.bool_]) -> slice:
    first, last = np.flatnonzero(chosen)[[0, -1]]
    return slice(int(first), int(last) + 1)


def _best_dice(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    level = np.rint(score * _LEVELS).astype(np.int32)
    shown = level > 0
    # Level and truth in one number: sorting alone is much faster than sorting an order.
    ranked = np.sort(2 * level[shown] + truth[shown])[::-1]
    found = np.cumsum(ranked & 1)
    dice = 2 * found / (np.arange(1, ranked.size + 1) + truth.sum())
    is_threshold = np.append(ranked[1:] >> 1 < ranked[:-1] >> 1, True)[: ranked.size]
    return float(dice[is_threshold].max(initial=0.0))
