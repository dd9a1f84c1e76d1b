"""The map between a scan and a model's grid along one tensor axis."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client import _bands
from vcam_client.spec import Resampling

Shift = float | NDArray[np.floating[Any]]
"""Scan voxels by which a sheared scan's indices lie off: one number, or [rows, 1]."""


@dataclass(frozen=True, kw_only=True)
class AxisMap:
    """One tensor axis: scan index = start + step · model index (+ shift, in a sheared scan).

    Attributes:
        scan_size, model_size: voxels along the axis in the scan and the model.
        start, step: scan voxels.
        extent: scan voxels that the whole scan spans along the axis, slices and rows
            shifted by a shear included; `scan_size` without one.
    """

    scan_size: int
    model_size: int
    start: float
    step: float
    extent: float

    @property
    def seen_share(self) -> float:
        """Share of the scan's extent that lies on the model's grid."""
        return min(1.0, self.model_size * self.step / self.extent)

    @property
    def filled_share(self) -> float:
        """Share of the model's grid that lies in the scan's extent."""
        return min(1.0, self.extent / (self.model_size * self.step))

    def to_model(self, resampling: Resampling, shift: Shift = 0.0) -> _bands.Bands:
        """Weights from scan voxels to model voxels."""
        centres = self.start + self.step * np.arange(self.model_size) + shift
        if resampling is Resampling.AREA and self.step > 1:
            return _bands.box_average(centres, self.step, self.scan_size)
        return _bands.linear(centres, self.scan_size)

    def to_scan(self, cells: int, offset: float, stride: float, shift: Shift = 0.0) -> _bands.Bands:
        """Weights from cells, centred at model index offset + stride · c, to scan voxels.

        Zero where the model never saw the scan, and more than half a cell
        beyond the outermost centres.
        """
        model = (np.arange(self.scan_size) - shift - self.start) / self.step
        bands = _bands.between_cells(model, cells, offset, stride)
        seen = np.abs(model - (self.model_size - 1) / 2) <= self.model_size / 2 + _bands.EDGE
        return replace(bands, weights=bands.weights * seen[..., None])
