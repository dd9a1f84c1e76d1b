"""Batches in an order and with an augmentation that depend on seed and epoch alone.

So a run that was interrupted goes on with the batches it would have had.
Augmentation happens here, in physical units, before the network's intensity layer.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vcam_training.config import SYMMETRIC, Config
from vcam_training.data.dataset import Split

MIRROR_AXIS = -1
"""Tensor axis that runs from one side of the patient to the other (S, P, L)."""


def steps_per_epoch(config: Config, split: Split) -> int:
    """Batches of an epoch; the last one may be smaller."""
    return -(-len(split) // config.batch_size)


def batches(
    config: Config, split: Split, epoch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    """One epoch in random order.

    Args:
        config: augmentation, batch size and seed.
        split: what to draw from.
        epoch: from 0; another epoch, another order.

    Yields:
        float32 [B, *grid, 1] in physical units, int32 [B].
    """
    rng = np.random.default_rng([config.seed, epoch])
    padding = config.data.grid.padding_value
    order = rng.permutation(len(split))
    for at in range(0, len(order), config.batch_size):
        chosen = order[at : at + config.batch_size]
        volumes = split.volumes[chosen].astype(np.float32)
        if config.augmentation in SYMMETRIC:
            volumes = np.stack([symmetry(rng, volume) for volume in volumes])
        elif config.augmentation == "chest":
            volumes = np.stack([mirror(rng, volume) for volume in volumes])
            volumes = np.stack([shift(rng, volume, config.shift, padding) for volume in volumes])
        yield volumes[..., None], split.labels[chosen]


def symmetry(rng: np.random.Generator, volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """One of the 8 ways to lay a square [N, N], or 48 a cube [N, N, N], onto itself."""
    turned = volume.transpose(rng.permutation(volume.ndim))
    return turned[tuple(slice(None, None, step) for step in rng.choice((-1, 1), volume.ndim))]


def mirror(rng: np.random.Generator, volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirrored left to right, half of the time; [D, H, W]."""
    return np.flip(volume, MIRROR_AXIS) if rng.random() < 0.5 else volume


def shift(
    rng: np.random.Generator, volume: NDArray[np.float32], reach: int, padding: float
) -> NDArray[np.float32]:
    """Moved by up to `reach` whole voxels along each axis; what comes in is padding."""
    moved = np.full_like(volume, padding)
    steps = rng.integers(-reach, reach + 1, volume.ndim)
    source = tuple(
        slice(max(0, -s), n - max(0, s)) for s, n in zip(steps, volume.shape, strict=True)
    )
    target = tuple(
        slice(max(0, s), n - max(0, -s)) for s, n in zip(steps, volume.shape, strict=True)
    )
    moved[target] = volume[source]
    return moved
