"""Batches of a split as `tf.data`, in an order that depends on seed and epoch alone.

So a run that was interrupted goes on with the batches it would have had. Volumes are
taken from their array, which may lie on disk, one batch ahead of the training step.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.spec import Grid
from vcam_training.augment import augmenter
from vcam_training.augmentation import Augmentation
from vcam_training.data.dataset import Split

_AHEAD = 2
"""Batches that are made while the network is trained on another one."""


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Batches of an epoch; the last one may be smaller."""
    return -(-len(split) // batch_size)


def training_batches(
    split: Split,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    *,
    grid: Grid,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """One epoch in random order, augmented.

    Args:
        split: what to draw from.
        targets: float32 [n, outputs], what logits are compared with.
        weights: float32 [n], of each volume in the loss; None for 1.
        grid: of the volumes.
        augmentation: how they are varied.
        batch_size: volumes of a batch.
        seed: of the run.
        epoch: from 0; another epoch, another order and other changes.

    Returns:
        Batches of float32 [B, *grid, 1] in physical units, float32 [B, outputs] and, with
        weights, float32 [B].
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(split))
    seeds = rng.integers(2**31, size=(len(split), 2)).astype(np.int32)
    parts = [order, seeds, targets[order]] + ([] if weights is None else [weights[order]])
    data = tf.data.Dataset.from_tensor_slices(tuple(parts))
    data = data.map(lambda index, *rest: (_volume(split, index), *rest))
    if not augmentation.is_none:
        change = augmenter(augmentation, grid)
        data = data.map(
            lambda volume, seed, *rest: (change(volume, seed, None)[0], seed, *rest),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    data = data.map(lambda volume, seed, *rest: (volume[..., None], *rest))
    return data.batch(batch_size).prefetch(_AHEAD)


def plain_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Volumes in order, as they are: batches of float32 [B, *grid, 1]."""
    data = tf.data.Dataset.range(len(split)).map(lambda index: _volume(split, index)[..., None])
    return data.batch(batch_size).prefetch(_AHEAD)


def _volume(split: Split, index: tf.Tensor) -> tf.Tensor:
    """float32 [*grid]."""

    def read(number: NDArray) -> NDArray[np.float32]:
        return np.asarray(split.volumes[number], np.float32)

    volume = tf.numpy_function(read, [index], tf.float32)
    return tf.ensure_shape(volume, split.volumes.shape[1:])
