"""Lays a tilted or unevenly spaced stack onto a regular grid with perpendicular axes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client import _bands
from vcam_client._dicom.pixels import Voxels
from vcam_client._dicom.stack import Stack
from vcam_client._limits import check_voxels
from vcam_client.errors import InconsistentSeriesError

_COMMON = 0.25
"""Share of the gaps that may be finer than the spacing of the new grid."""
_MOST_GROWTH = 16
"""Times as many voxels as the slices have; a tilt of 45° with gaps of two widths needs 6."""
_FEW_VOXELS = 2**24
"""Not worth a refusal, however small the slices are."""
_AIR_HU = -1024.0
"""What lies beside the slices of a CT without padding of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Regular:
    """Voxels on a regular grid.

    Attributes:
        voxels: [slices, rows, columns]; padding where no slice lies.
        origin: centre of the first voxel, LPS+ mm.
        step: from one slice to the next, along the normal.
    """

    voxels: Voxels
    origin: NDArray[np.float64]
    step: NDArray[np.float64]


def regular(stack: Stack, voxels: Voxels, modality: str, name: str) -> Regular:
    """Resamples linearly: each slice is shifted to where it lies, then slices are mixed.

    The grid keeps the pixel spacing, covers every slice, and has the spacing of
    the finest part of the stack that is no single gap.

    Args:
        voxels: [slices, rows, columns], in the order of the stack.
        name: of the scan, for messages.

    Raises:
        InputError: the grid would be larger than the limit.
        InconsistentSeriesError: it would be out of proportion to the slices.
    """
    first = stack.frames[0]
    row, column = first.direction[:3], first.direction[3:]
    positions = np.array([frame.position for frame in stack.frames])
    # where each slice's first pixel lies, in pixels along columns' and rows' index
    x = (positions - positions[0]) @ row / stack.spacing[1]
    y = (positions - positions[0]) @ column / stack.spacing[0]
    x0, y0 = float(x.min()), float(y.min())
    slices, rows, columns = voxels.data.shape
    width = columns + int(np.ceil(np.round(x.max() - x0, 3)))
    height = rows + int(np.ceil(np.round(y.max() - y0, 3)))
    spacing = float(np.quantile(np.diff(stack.along), _COMMON, method="lower"))
    depth = 1 + round(float(stack.along[-1] - stack.along[0]) / spacing)
    check_voxels((width, height, depth), name)
    count = width * height * depth
    if count > max(_FEW_VOXELS, _MOST_GROWTH * voxels.data.size):
        raise InconsistentSeriesError(
            f"The slices of {name} lie scattered: a regular grid about them has "
            f"{width}×{height}×{depth} voxels. Check their positions, or keep one series."
        )
    outside = _outside(voxels, modality)
    wanted = np.linspace(0, spacing * (depth - 1), depth)
    at = np.interp(wanted, stack.along - stack.along[0], np.arange(slices))
    between = _bands.linear(at, slices)
    out = np.empty((depth, height, width), voxels.data.dtype)
    planes: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for n in range(depth):
        total = np.zeros((height, width), np.float32)
        cover = np.zeros((height, width), np.float32)
        for weight, k in zip(between.weights[n], between.first[n] + np.arange(2), strict=False):
            if not weight:
                continue
            if k not in planes:
                planes = {i: p for i, p in planes.items() if i >= k - 1}
                shift = (y0 - y[k], x0 - x[k])
                planes[k] = _shifted(voxels, int(k), shift, (height, width))
            values, real = planes[k]
            total += weight * values
            cover += weight * real
        # a voxel is measured where at least half of it comes from measured ones
        measured = cover >= 0.5
        np.divide(total, cover, out=total, where=measured)
        total[~measured] = outside
        out[n] = total if out.dtype.kind == "f" else np.rint(total)
    return Regular(
        voxels=Voxels(data=out, padding=(outside, outside)),
        origin=positions[0] + x0 * stack.spacing[1] * row + y0 * stack.spacing[0] * column,
        step=first.normal * spacing,
    )


def _shifted(
    voxels: Voxels, k: int, shift: tuple[float, float], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A slice on the new rows and columns, weighted by how much of it is measured."""
    plane: NDArray[Any] = voxels.data[k]
    real = np.ones(plane.shape, np.float32)
    if voxels.padding is not None:
        real[(plane >= voxels.padding[0]) & (plane <= voxels.padding[1])] = 0
    down = _bands.linear(shift[0] + np.arange(shape[0]), plane.shape[0])
    across = _bands.linear(shift[1] + np.arange(shape[1]), plane.shape[1])
    values = across.apply(down.apply(plane.astype(np.float32) * real, 0), 1)
    return values, across.apply(down.apply(real, 0), 1)


def _outside(voxels: Voxels, modality: str) -> float:
    if voxels.padding is not None:
        return voxels.padding[0]
    lowest = float(voxels.data.min())
    return min(lowest, _AIR_HU) - 1 if modality == "CT" else lowest - 1
