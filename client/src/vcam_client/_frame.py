"""How a stored scan lies along the axes of a tensor."""

from dataclasses import dataclass

import numpy as np

from vcam_client._axis_map import AxisMap, Shift
from vcam_client._shear import Shear


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a stored scan lies along tensor axes.

    Attributes:
        axes: the map along each tensor axis.
        shear: how far slices and rows lie shifted.
        flip: whether each tensor axis runs against the stored one.
    """

    axes: tuple[AxisMap, AxisMap, AxisMap]
    shear: Shear
    flip: tuple[bool, bool, bool]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Voxels of the scan along each tensor axis."""
        return self.axes[0].scan_size, self.axes[1].scan_size, self.axes[2].scan_size

    def shifts(self, n: int) -> tuple[Shift, Shift]:
        """What slice n lies off along rows and columns, in scan voxels.

        The shifts of single rows, [rows, 1], come in the order in which rows are stored.
        """
        rows, columns = self.shear.shifts(n, self.sizes)
        if self.flip[self.shear.order[1]] and isinstance(columns, np.ndarray):
            columns = columns[::-1]
        return rows, columns
