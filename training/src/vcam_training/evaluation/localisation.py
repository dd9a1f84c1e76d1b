"""Where a map lies on the model's grid, and how well it agrees with a mask.

NumPy, for any number of spatial axes, one volume at a time. Masks are bool [*grid] with
at least one voxel; heatmaps are float32 [*grid] in [0, 1].
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import interpolation_matrix

THRESHOLDS: NDArray[np.float32] = (np.arange(1, 20) / 20).astype(np.float32)
"""Heatmap values among which a threshold is chosen: 0.05, 0.10 … 0.95."""
_SAME = 1e-6
"""Heatmap values no further apart are equal: rounding must not say which is strongest."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Agreement of a mask with the voxels that a heatmap marks.

    Attributes:
        dice, iou: in [0, 1].
        marked: voxels marked.
        dice_chance: what as many voxels, marked at random, reach in expectation.
        iou_chance: the IoU of that expected intersection.
    """

    dice: float
    iou: float
    marked: int
    dice_chance: float
    iou_chance: float


def heatmap_on_grid(
    cam: NDArray[np.floating], grid: Sequence[int], layer: CamLayer
) -> NDArray[np.float32]:
    """The positive part of a cam, divided by its largest cell, on the input grid.

    The same as `vcam_training.cams.heatmap.heatmap`, for one map and without TensorFlow.

    Args:
        cam: float32 [*cells], raw and signed.
        grid: voxels along each axis.
        layer: where the cells lie.
    """
    matrices = [
        interpolation_matrix(*axis)
        for axis in zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
    ]
    return _interpolated(cam, matrices)


def stretched_heatmap(cam: NDArray[np.floating], grid: Sequence[int]) -> NDArray[np.float32]:
    """The same cam stretched over the whole grid, wherever its cells lie.

    What is usually done, for comparison: linear, half-pixel centres, as `tf.image.resize`.
    """
    matrices = [
        interpolation_matrix(voxels, cells, (voxels / cells - 1) / 2, voxels / cells)
        for voxels, cells in zip(grid, cam.shape, strict=True)
    ]
    return _interpolated(cam, matrices)


def zoomed_heatmap(cam: NDArray[np.floating], grid: Sequence[int]) -> NDArray[np.float32]:
    """The same cam zoomed so that its corner cells lie on the grid's corner voxels.

    What tf-keras-vis does, for comparison: `scipy.ndimage.zoom` of order 1.
    """
    positions = [
        np.linspace(0, cells - 1, voxels) for voxels, cells in zip(grid, cam.shape, strict=True)
    ]
    matrices = [
        np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0).astype(np.float32)
        for at, cells in zip(positions, cam.shape, strict=True)
    ]
    return _interpolated(cam, matrices)


def overlap(heatmap: NDArray[np.float32], mask: NDArray[np.bool_], threshold: float) -> Overlap:
    """Dice and IoU of the voxels at or above a threshold."""
    shown = heatmap >= np.float32(threshold)
    marked, truth = int(np.count_nonzero(shown)), int(np.count_nonzero(mask))
    both, expected = int(np.count_nonzero(shown & mask)), marked * truth / mask.size
    return Overlap(
        dice=2 * both / (marked + truth),
        iou=both / (marked + truth - both),
        marked=marked,
        dice_chance=2 * expected / (marked + truth),
        iou_chance=expected / (marked + truth - expected),
    )


def energy_inside(heatmap: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Share of the heatmap's sum inside the mask; 0 for a heatmap of zeros.

    By chance it is the mask's share of the volume. Source: H. Wang et al., Score-CAM,
    CVPR Workshops 2020 (the energy-based pointing game).
    """
    everywhere = float(heatmap.sum(dtype=np.float64))
    inside = float(heatmap.sum(dtype=np.float64, where=mask))
    return inside / everywhere if everywhere > 0 else 0.0


def dice_by_threshold(heatmap: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64, the Dice of what is at or above each of `THRESHOLDS`."""
    seen = heatmap >= THRESHOLDS[0]
    marked, both = (_at_or_above(heatmap[where]) for where in (seen, seen & mask))
    dice: NDArray[np.float64] = 2 * both / (marked + np.count_nonzero(mask))
    return dice


class ThresholdSearch:
    """Finds the threshold with the highest mean Dice, one volume in memory at a time."""

    def __init__(self) -> None:
        self._dice = np.zeros(THRESHOLDS.size)
        self._count = 0

    def add(self, heatmap: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Takes one volume's heatmap and mask into account."""
        self.add_dice(dice_by_threshold(heatmap, mask))

    def add_dice(self, dice: NDArray[np.float64]) -> None:
        """Takes one volume into account by its `dice_by_threshold`."""
        self._dice += dice
        self._count += 1

    @property
    def best(self) -> tuple[float, float] | None:
        """Threshold and mean Dice; the middle of equally good thresholds; None without a volume."""
        if not self._count:
            return None
        mean = self._dice / self._count
        good = np.flatnonzero(mean >= mean.max() - _SAME)
        return round(float(THRESHOLDS[good[good.size // 2]]), 2), float(mean.max())


def best_threshold(
    heatmaps: Iterable[NDArray[np.float32]], masks: Iterable[NDArray[np.bool_]]
) -> tuple[float, float]:
    """The threshold out of `THRESHOLDS` with the highest mean Dice, and that Dice.

    Args:
        heatmaps, masks: of the same volumes; taken one at a time.

    Raises:
        ConfigError: there are none.
    """
    search = ThresholdSearch()
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        search.add(heatmap, mask)
    if search.best is None:
        raise ConfigError(
            "Expected at least one heatmap with a mask to choose a threshold by, received none. "
            "Give volumes that have an object."
        )
    return search.best


def peak_error(heatmap: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Voxels from the heatmap's strongest voxel to the nearest of the mask, 0 inside.

    Of several strongest voxels the mean distance; infinite for a heatmap of zeros.
    """
    highest = heatmap.max()
    if highest <= 0:
        return float("inf")
    strongest = np.argwhere(heatmap >= highest - _SAME)
    distances, _ = cKDTree(np.argwhere(mask)).query(strongest)
    return float(np.mean(distances))


def weighted_centre(cam: NDArray[np.floating], layer: CamLayer) -> NDArray[np.float64] | None:
    """Centre of mass of the positive cells, input index [axes]; None without a positive cell."""
    positive = np.maximum(cam, 0, dtype=np.float64)
    total = positive.sum()
    if total <= 0:
        return None
    mean_cell = [
        float((positive.sum(axis=_others(axis, cam.ndim)) * np.arange(n)).sum() / total)
        for axis, n in enumerate(cam.shape)
    ]
    return np.asarray(layer.offset) + np.asarray(layer.stride) * mean_cell


def centre_error(cam: NDArray[np.floating], layer: CamLayer, mask: NDArray[np.bool_]) -> float:
    """Cells from the weighted centre to the mask's centre of mass; infinite without a centre."""
    centre = weighted_centre(cam, layer)
    if centre is None:
        return float("inf")
    apart = (centre - np.argwhere(mask).mean(axis=0)) / layer.stride
    return float(np.linalg.norm(apart))


def centre_distances(mask: NDArray[np.bool_], layer: CamLayer) -> NDArray[np.float64]:
    """float64 [*cells]: from each cell's centre to the mask's centre of mass, in cells."""
    centre = np.argwhere(mask).mean(axis=0)
    apart = [
        (o + s * np.arange(n) - c) / s
        for o, s, n, c in zip(layer.offset, layer.stride, layer.cells, centre, strict=True)
    ]
    squares = np.meshgrid(*(np.square(along) for along in apart), indexing="ij")
    return np.sqrt(sum(squares, np.zeros(layer.cells)))


def cell_distances(mask: NDArray[np.bool_], layer: CamLayer) -> NDArray[np.float64]:
    """float64 [*cells]: from each cell's centre to the object, in cells; 0 inside.

    Inside means that the centre lies within half a voxel, along each axis, of a
    voxel of the mask. Infinite for cells more than two cells from its bounding box.
    """
    voxels = np.argwhere(mask)
    centres = np.stack(
        np.meshgrid(
            *[
                o + s * np.arange(n)
                for o, s, n in zip(layer.offset, layer.stride, layer.cells, strict=True)
            ],
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, mask.ndim)
    nearest = np.full(len(centres), np.inf)
    for index in np.flatnonzero(_within_reach(centres, voxels, layer)):
        gap = np.clip(np.abs(voxels - centres[index]) - 0.5, 0, None) / layer.stride
        nearest[index] = np.sqrt((gap**2).sum(axis=1).min())
    return nearest.reshape(layer.cells)


def _within_reach(
    centres: NDArray[np.float64], voxels: NDArray[np.int64], layer: CamLayer
) -> NDArray[np.bool_]:
    """Cells within two cells of the object's bounding box; the others need no distance."""
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    margin = 2 * np.asarray(layer.stride)
    near: NDArray[np.bool_] = np.all((centres >= low - margin) & (centres <= high + margin), axis=1)
    return near


def _interpolated(
    cam: NDArray[np.floating], matrices: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    result = np.maximum(cam, 0).astype(np.float32)
    largest = result.max()
    if largest > 0:
        result = result / largest
    for axis, matrix in enumerate(matrices):
        result = np.moveaxis(np.tensordot(matrix, result, (1, axis)), 0, axis)
    return np.clip(np.ascontiguousarray(result, np.float32), 0, 1)


def _at_or_above(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many values are at or above each of `THRESHOLDS`."""
    reached = np.searchsorted(THRESHOLDS, values, side="right")
    counts = np.bincount(reached, minlength=THRESHOLDS.size + 1)
    return counts[::-1].cumsum()[::-1][1:]


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(other for other in range(ndim) if other != axis)
