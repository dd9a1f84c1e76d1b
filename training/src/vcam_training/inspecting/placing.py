"""Values of a layer's cells on the model's grid."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import interpolation_matrix


def on_grid(
    values: NDArray[np.floating], grid: tuple[int, ...], place: CamLayer
) -> NDArray[np.float32]:
    """Interpolated between the cells' centres, signed; 0 where there are no cells.

    Args:
        values: [*cells].
        grid: voxels along each axis.
        place: of the cells.

    Returns:
        float32 [*grid].
    """
    found = values.astype(np.float32)
    for axis, voxels in enumerate(grid):
        matrix = interpolation_matrix(
            voxels, place.cells[axis], place.offset[axis], place.stride[axis]
        )
        found = np.moveaxis(np.tensordot(matrix, found, axes=(1, axis)), 0, axis)
    return found


def centres(which: NDArray[np.bool_], place: CamLayer) -> NDArray[np.float64]:
    """float64 [n, axes]: voxel index of the centre of each cell that is marked, [*cells]."""
    return np.array(place.offset) + np.array(place.stride) * np.argwhere(which)
