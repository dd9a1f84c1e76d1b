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
_WIDER = {np.dtype(np.int16): np.int32, np.dtype(np.int32): np.float64}
"""Types that hold every value of another exactly, and more."""

_Plane = NDArray[np.floating[Any]]


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
    real = _real_range(voxels)
    outside, dtype = _outside(voxels, real, modality)
    wanted = np.linspace(0, spacing * (depth - 1), depth)
    at = np.interp(wanted, stack.along - stack.along[0], np.arange(slices))
    between = _bands.linear(at, slices)
    out = np.empty((depth, height, width), dtype)
    # whole numbers of 32 bits need more digits than a float32 has
    kind = np.dtype(np.float64 if voxels.data.dtype == np.int32 else np.float32)
    planes: dict[int, tuple[_Plane, _Plane]] = {}
    for n in range(depth):
        total = np.zeros((height, width), kind)
        cover = np.zeros((height, width), kind)
        for weight, k in zip(between.weights[n], between.first[n] + np.arange(2), strict=False):
            if not weight:
                continue
            if k not in planes:
                planes = {i: p for i, p in planes.items() if i >= k - 1}
                shift = (y0 - y[k], x0 - x[k])
                planes[k] = _shifted(voxels, int(k), shift, (height, width), kind)
            values, share = planes[k]
            total += weight * values
            cover += weight * share
        # a voxel is measured where at least half of it comes from measured ones
        measured = cover >= 0.5
        np.divide(total, cover, out=total, where=measured)
        # rounding must not carry a mean out of the range of what it is a mean of
        np.clip(total, *real, out=total)
        total[~measured] = outside
        out[n] = total if out.dtype.kind == "f" else np.rint(total)
    return Regular(
        voxels=Voxels(data=out, padding=(outside, outside)),
        origin=positions[0] + x0 * stack.spacing[1] * row + y0 * stack.spacing[0] * column,
        step=first.normal * spacing,
    )


def _shifted(
    voxels: Voxels, k: int, shift: tuple[float, float], shape: tuple[int, int], kind: np.dtype[Any]
) -> tuple[_Plane, _Plane]:
    """A slice on the new rows and columns, weighted by how much of it is measured."""
    plane: NDArray[Any] = voxels.data[k]
    real = _measured(plane, voxels.padding).astype(kind)
    down = _bands.linear(shift[0] + np.arange(shape[0]), plane.shape[0])
    across = _bands.linear(shift[1] + np.arange(shape[1]), plane.shape[1])
    values = across.apply(down.apply(plane.astype(kind) * real, 0), 1)
    return values, across.apply(down.apply(real, 0), 1)


def _measured(plane: NDArray[Any], padding: tuple[float, float] | None) -> NDArray[np.bool_]:
    if padding is None:
        return np.ones(plane.shape, np.bool_)
    return (plane < padding[0]) | (plane > padding[1])


def _real_range(voxels: Voxels) -> tuple[float, float]:
    """Lowest and highest measured value; those of the padding where nothing is measured."""
    if voxels.padding is None:
        return float(voxels.data.min()), float(voxels.data.max())
    real = [plane[_measured(plane, voxels.padding)] for plane in voxels.data]
    ends = [(float(values.min()), float(values.max())) for values in real if values.size]
    return (min(e[0] for e in ends), max(e[1] for e in ends)) if ends else voxels.padding


def _outside(
    voxels: Voxels, real: tuple[float, float], modality: str
) -> tuple[float, np.dtype[Any]]:
    """A value that no mean of measured ones has, and the type of voxels that holds it.

    The padding of the slices, where all measured values are on one side of it; else one less
    than everything, in a wider type where theirs ends there.
    """
    padding, dtype = voxels.padding, voxels.data.dtype
    if padding is not None and (padding == real or padding[1] < real[0] or padding[0] > real[1]):
        return padding[0], dtype
    least = min(real[0], _AIR_HU) if modality == "CT" else real[0]
    if dtype.kind == "f":
        # far from 0, one less is the same number
        below = np.nextafter(dtype.type(least), dtype.type(-np.inf))
        return min(float(dtype.type(least - 1)), float(below)), dtype
    if least - 1 < np.iinfo(dtype).min:
        dtype = np.dtype(_WIDER[dtype])
    return least - 1, dtype
