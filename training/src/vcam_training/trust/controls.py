"""Maps whose answer to a test is known beforehand."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer, ModelSpec
from vcam_training.cams.heatmap import interpolation_matrix

NOISE_SHARE = 0.05
"""Noise of a disturbed map, as a share of the standard deviation of its cells."""


def edge_maps(volumes: NDArray, layer: CamLayer, spec: ModelSpec) -> NDArray[np.float32]:
    """What a plain edge detector shows: it knows nothing of the model.

    The magnitude of each volume's gradient, of values inside the intensity window,
    averaged about the cells' centres with the weights that interpolate cells.

    Args:
        volumes: [n, *grid], physical values.
        layer: where the cells lie.
        spec: for the window.

    Returns:
        float32 [n, *cells], never negative.
    """
    return np.stack([_edges(volume, layer, spec) for volume in volumes])


def noisy_maps(maps: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The maps with a little Gaussian noise on each cell; see NOISE_SHARE."""
    deviation = maps.std(axis=tuple(range(1, maps.ndim)), keepdims=True)
    noise = rng.standard_normal(maps.shape) * deviation * NOISE_SHARE
    return (maps + noise).astype(np.float32)


def shuffled_cells(cam: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """One map, [*cells], with its cells in random order."""
    return rng.permutation(cam.ravel()).reshape(cam.shape)


def _edges(volume: NDArray, layer: CamLayer, spec: ModelSpec) -> NDArray[np.float32]:
    seen = volume.astype(np.float32)
    if spec.intensity.window is not None:
        seen = np.clip(seen, *spec.intensity.window)
    gradients = [np.gradient(seen, axis=axis) for axis in range(seen.ndim) if seen.shape[axis] > 1]
    cells = np.sqrt(sum(np.square(g) for g in gradients) + np.zeros_like(seen))
    for axis, (voxels, count, offset, stride) in enumerate(
        zip(volume.shape, layer.cells, layer.offset, layer.stride, strict=True)
    ):
        weights = interpolation_matrix(voxels, count, offset, stride).T
        total = weights.sum(axis=1, keepdims=True)
        average = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        cells = np.moveaxis(np.tensordot(average, cells, (1, axis)), 0, axis)
    return cells.astype(np.float32)
