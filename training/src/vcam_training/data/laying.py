"""Lays a scan and its mask onto a model's grid, as the client lays scans."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import InputError
from vcam_client.grid import place
from vcam_client.spec import Grid, SliceAggregation
from vcam_client.volume import Volume

_SAME_PLACE_MM = 1e-2
"""How far a mask's corners may lie from its scan's."""


def lay(volume: Volume, grid: Grid, dtype: str) -> NDArray:
    """A scan on the grid, [*grid]; a 2-D grid takes scans of one slice.

    Raises:
        IncompatibleScanError: it doesn't fit.
    """
    one = SliceAggregation.NONE if grid.ndim == 2 else None
    placed = place(volume, grid, one).to_model(volume.data, dtype, padding=volume.padding)
    return placed.reshape(grid.shape)


def lay_mask(mask: Volume, scan: Volume, grid: Grid) -> NDArray[np.bool_]:
    """Bool [*grid]: voxels of the grid half of which or more a mask marks.

    Raises:
        InputError: the mask has another shape or place than its scan.
    """
    if mask.shape != scan.shape:
        raise InputError(
            f"Expected a mask of {_by(scan.shape)} voxels as its scan, received {_by(mask.shape)}."
        )
    corners = np.array([(i, j, k, 1) for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)
    corners[:, :3] *= np.array(scan.shape) - 1
    off = float(abs(corners @ (mask.affine - scan.affine).T).max())
    if off > _SAME_PLACE_MM:
        raise InputError(
            f"Expected a mask in the place of its scan, received one whose corners lie up to "
            f"{off:.3g} mm off."
        )
    marked = replace(mask, data=(mask.data != 0).astype(np.uint8), padding=None)
    return lay(marked, replace(grid, padding_value=0.0), "float32") >= 0.5


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
