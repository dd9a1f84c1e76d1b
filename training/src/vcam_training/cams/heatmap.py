"""From a cam on its cells to a heatmap on the model's input grid, in the graph."""

import string
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.grid import cell_weights
from vcam_client.spec import CamLayer


def interpolation_matrix(
    voxels: int, cells: int, offset: float, stride: float
) -> NDArray[np.float32]:
    """Linear interpolation along one axis between centres at offset + stride * cell.

    The weights are the client's, so that the served heatmap and its map agree on every
    voxel: see `vcam_client.grid.cell_weights`.

    Returns:
        float32 [voxels, cells], the weight of each cell in each voxel.
    """
    return cell_weights(voxels, cells, offset, stride).astype(np.float32)


def heatmap(cam: tf.Tensor, grid: Sequence[int], layer: CamLayer) -> tf.Tensor:
    """The positive part of a cam, divided by its largest cell, on the input grid.

    Args:
        cam: float32 [B, *cells], raw and signed.
        grid: voxels along each axis of the input.
        layer: where the cells lie.

    Returns:
        float32 [B, *grid] in [0, 1]; zero where the cam has nothing positive.
    """
    letters = string.ascii_lowercase[: len(grid)]
    geometry = zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
    with tf.name_scope("heatmap"):
        positive = tf.nn.relu(cam)
        largest = tf.reduce_max(positive, axis=list(range(1, len(grid) + 1)), keepdims=True)
        result = tf.math.divide_no_nan(positive, largest)
        for letter, (voxels, cells, offset, stride) in zip(letters, geometry, strict=True):
            matrix = tf.constant(interpolation_matrix(voxels, cells, offset, stride))
            along = letters.replace(letter, "Y")
            result = tf.einsum(f"Z{letters},Y{letter}->Z{along}", result, matrix)
        return tf.clip_by_value(result, 0.0, 1.0)
