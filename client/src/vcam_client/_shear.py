"""Scans whose voxel axes are not perpendicular: tilted gantries, affine registrations.

A model's grid is orthogonal. It follows the scan's slices: their columns keep
their direction, rows are made perpendicular to columns, the stack is made
perpendicular to both. Along the stack every slice then lies shifted by a constant
more than the one before, and within a slice, where rows lean too, every row.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client._axis_map import Shift

TOLERANCE_DEG = 0.1
"""Angle up to which two axes count as perpendicular.

Far above what headers lose by rounding (direction cosines with four decimals are off
by less than 0.01°), far below any tilt that is meant: a stack of 300 mm that leans by
it is 0.26 mm off at either end, a fraction of a model voxel.
"""

_SAME_SPACING = 1.01
"""Ratio of two spacings up to which neither axis is the wider one."""


@dataclass(frozen=True, kw_only=True)
class Shear:
    """How far slices and rows of a scan lie shifted; indices counted from its centre.

    Attributes:
        order: the tensor axes that are the stack, the rows and the columns.
        rows_per_slice, columns_per_slice: scan voxels by which each slice lies further
            along rows and columns than the one before.
        columns_per_row: scan voxels by which each row lies further along columns.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    rows_per_slice: float = 0.0
    columns_per_slice: float = 0.0
    columns_per_row: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.rows_per_slice or self.columns_per_slice or self.columns_per_row)

    def extents(self, sizes: tuple[int, int, int]) -> tuple[float, float, float]:
        """Scan voxels that a scan of `sizes` spans along each orthogonal tensor axis."""
        stack, rows, _ = (sizes[t] for t in self.order)
        extents = [float(n) for n in sizes]
        extents[self.order[1]] += abs(self.rows_per_slice) * stack
        extents[self.order[2]] += abs(self.columns_per_slice) * stack
        extents[self.order[2]] += abs(self.columns_per_row) * rows
        return extents[0], extents[1], extents[2]

    def shifts(self, slice_index: float, sizes: tuple[int, int, int]) -> tuple[Shift, Shift]:
        """What a slice's scan indices lie off along rows, and along columns.

        Returns:
            Scan voxels: one number, and one number or, where rows lean, float64 [rows, 1].
        """
        stack, rows, _ = (sizes[t] for t in self.order)
        slices = slice_index - (stack - 1) / 2
        columns: Shift = -self.columns_per_slice * slices
        if self.columns_per_row:
            lean = self.columns_per_row * (np.arange(rows) - (rows - 1) / 2)
            columns = (columns - lean)[:, None]
        return -self.rows_per_slice * slices, columns

    def scan_index(
        self, straight: tuple[float, float, float], sizes: tuple[int, int, int]
    ) -> tuple[float, float, float]:
        """Scan index, tensor axes, of a point at start + step · model index."""
        stack, rows, columns = self.order
        index = list(straight)
        slices = index[stack] - (sizes[stack] - 1) / 2
        index[rows] -= self.rows_per_slice * slices
        index[columns] -= self.columns_per_slice * slices
        index[columns] -= self.columns_per_row * (index[rows] - (sizes[rows] - 1) / 2)
        return index[0], index[1], index[2]


def shear_of(
    axes: NDArray[np.float64], *, slices_alone: bool
) -> tuple[Shear, tuple[float, float, float]]:
    """How a scan leans, and its spacing along perpendicular axes.

    The stack is the axis with the widest spacing, the rows that of the other two;
    among equals, the earlier tensor axis. So the storage order of a scan doesn't matter.

    Args:
        axes: float64 [3, 3], columns: millimetres from voxel to voxel along each tensor axis.
        slices_alone: every slice is an image of its own (2-D models): the stack is the
            first tensor axis, and slices are not shifted.

    Returns:
        The shear, and millimetres between planes of voxels along each tensor axis.
    """
    spacing = [math.sqrt(sum(float(x) ** 2 for x in axes[:, t])) for t in range(3)]
    stack = 0 if slices_alone else _widest(spacing, [0, 1, 2])
    rows = _widest(spacing, [t for t in range(3) if t != stack])
    columns = 3 - stack - rows
    unit = {t: [float(x) / spacing[t] for x in axes[:, t]] for t in range(3)}
    along_columns = unit[columns]
    row_lean = _dot(unit[rows], along_columns)
    upright = _minus(unit[rows], row_lean, along_columns)
    row_height = math.sqrt(_dot(upright, upright))
    along_rows = [x / row_height for x in upright]
    slice_leans = [_dot(unit[stack], along_rows), _dot(unit[stack], along_columns)]
    if slices_alone:
        slice_leans = [0.0, 0.0]
    limit = math.sin(math.radians(TOLERANCE_DEG))
    if max(abs(lean) for lean in (row_lean, *slice_leans)) <= limit:
        return Shear(), (spacing[0], spacing[1], spacing[2])
    # the cosine that is left keeps each voxel's length
    row_lean, *slice_leans = (x if abs(x) > limit else 0.0 for x in (row_lean, *slice_leans))
    heights = list(spacing)
    heights[rows] *= math.sqrt(1 - row_lean**2)
    heights[stack] *= math.sqrt(1 - slice_leans[0] ** 2 - slice_leans[1] ** 2)
    shear = Shear(
        order=(stack, rows, columns),
        rows_per_slice=spacing[stack] * slice_leans[0] / heights[rows],
        columns_per_slice=spacing[stack] * slice_leans[1] / heights[columns],
        columns_per_row=spacing[rows] * row_lean / heights[columns],
    )
    return shear, (heights[0], heights[1], heights[2])


def _widest(spacing: list[float], candidates: list[int]) -> int:
    """The first of the axes whose spacing is not clearly finer than the widest."""
    widest = max(spacing[t] for t in candidates)
    return next(t for t in candidates if spacing[t] * _SAME_SPACING >= widest)


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _minus(a: list[float], scale: float, b: list[float]) -> list[float]:
    return [x - scale * y for x, y in zip(a, b, strict=True)]
