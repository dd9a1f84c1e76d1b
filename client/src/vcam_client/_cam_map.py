"""The raw map of a model, and what becomes of it on the scan's grid and on the model's."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam_client import _bands
from vcam_client.evidence import Finding, finding
from vcam_client.grid import Placement
from vcam_client.spec import CamLayer

Voxel = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class CamMap:
    """Cells and where they lie.

    Attributes:
        cells: float32 [*cells], raw and signed, three tensor axes.
        layer: their geometry on the model's grid, three axes.
        placement: how the scan lies on that grid.
        nothing: magnitude up to which a cell is no evidence.
        contrast: whether the model saw anything but one value.
    """

    cells: NDArray[np.float32]
    layer: CamLayer
    placement: Placement
    nothing: float
    contrast: bool = True

    @property
    def finding(self) -> Finding:
        """Whether the map is evidence for the class, else why not."""
        return finding(self.cells, self.nothing, contrast=self.contrast)

    @property
    def speaks_for(self) -> bool:
        """Whether the largest cell is evidence."""
        return self.finding is Finding.EVIDENCE

    @property
    def speaks_against(self) -> bool:
        """Whether the smallest cell is, by the same measure."""
        return finding(-self.cells, self.nothing, contrast=self.contrast) is Finding.EVIDENCE

    @property
    def positive(self) -> NDArray[np.float32]:
        """float32 [*cells] in [0, 1]; zeros without evidence."""
        if not self.speaks_for:
            return np.zeros_like(self.cells)
        positive: NDArray[np.float32] = np.maximum(self.cells, 0) / self.cells.max()
        return positive

    @property
    def signed(self) -> NDArray[np.float32]:
        """float32 [*cells] in [-1, 1]; either sign is 0 where it is no evidence."""
        low = float(self.cells.min()) if self.speaks_against else 0.0
        high = float(self.cells.max()) if self.speaks_for else 0.0
        return np.clip(self.cells, low, high) / np.float32(max(high, -low) or 1)

    def on_scan(
        self, cells: NDArray[np.float32], dtype: DTypeLike, strongest: float
    ) -> NDArray[Any]:
        """[I, J, K] on the scan's grid: cells of magnitude 1 at the value `strongest`."""
        if cells.any():
            return self.placement.map_on_scan(cells * np.float32(strongest), self.layer, dtype)
        tensor = [axis.scan_size for axis in self.placement.axes]
        shape = [tensor[self.placement.order.index(axis)] for axis in range(3)]
        return np.zeros(shape, dtype, order="F")

    def on_model_grid(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 on the model's grid, three tensor axes."""
        out: NDArray[np.floating[Any]] = cells
        for axis, along in enumerate(self.placement.axes):
            offset, stride = self.layer.offset[axis], self.layer.stride[axis]
            bands = _bands.between_cells(
                np.arange(along.model_size), self.layer.cells[axis], offset, stride
            )
            out = bands.apply(out, axis)
        return out.astype(np.float32, copy=False)

    def strongest(self, cells: NDArray[np.float32]) -> Voxel | None:
        """Scan index (i, j, k) of the centre of the strongest of some cells; None if all are 0."""
        if not cells.any():
            return None
        cell = np.unravel_index(int(np.argmax(np.abs(cells))), cells.shape)
        return self.placement.cell_on_scan(tuple(float(c) for c in cell), self.layer)

    def cell_to_scan(self) -> NDArray[np.float64]:
        """float64 [4, 4]: index of a cell to scan index (i, j, k)."""
        return self._scan_index_of(self.layer)

    def model_to_scan(self) -> NDArray[np.float64]:
        """float64 [4, 4]: index on the model's grid, tensor axes, to scan index (i, j, k)."""
        voxels = replace(self.layer, offset=(0.0, 0.0, 0.0), stride=(1.0, 1.0, 1.0))
        return self._scan_index_of(voxels)

    def _scan_index_of(self, layer: CamLayer) -> NDArray[np.float64]:
        # affine, shear or not: known from the origin and a step along each axis
        corners = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        at = np.array([self.placement.cell_on_scan(corner, layer) for corner in corners])
        return np.vstack([np.column_stack([(at[1:] - at[0]).T, at[0]]), [0, 0, 0, 1]])
