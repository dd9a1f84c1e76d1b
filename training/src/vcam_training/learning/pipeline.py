"""Batches of a split as `tf.data`, in an order that depends on seed and epoch alone.

So a run that was interrupted goes on with the batches it would have had. Volumes are
taken from their array, which may lie on disk, a batch at a time and ahead of the training
step.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.spec import Grid
from vcam_training.data.dataset import Split
from vcam_training.learning.augment import augmenter
from vcam_training.learning.augmentation import Augmentation

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
    order, seeds = _drawn(split, seed, epoch)
    rest = (targets[order],) if weights is None else (targets[order], weights[order])
    change = augmenter(augmentation, grid)

    def vary(volume: tf.Tensor, seed: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (change(_as_float(volume), seed, None)[0][..., None], *rest)

    read = _reader(split.volumes)
    data = _in_batches((order, seeds, *rest), batch_size)
    if augmentation.is_none:
        data = data.map(lambda indices, _, *rest: (_as_float(read(indices))[..., None], *rest))
        return _ahead(data)
    data = data.map(lambda indices, *rest: (read(indices), *rest))
    return _ahead(_one_by_one(data, vary, len(split)).batch(batch_size))


def masked_batches(
    split: Split,
    *,
    grid: Grid,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """The volumes of `training_batches` with their masks, changed alike.

    Args:
        split, grid, augmentation, batch_size, seed, epoch: as there.

    Returns:
        Batches of float32 [B, *grid, 1] in physical units and bool [B, *grid].
    """
    change = augmenter(augmentation, grid)

    def vary(volume: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        changed, mask = change(_as_float(volume), seed, mask)
        return changed[..., None], mask

    read, read_masks = _reader(split.volumes), _reader(split.masks)
    data = _in_batches(_drawn(split, seed, epoch), batch_size)
    data = data.map(lambda indices, seeds: (read(indices), read_masks(indices), seeds))
    return _ahead(_one_by_one(data, vary, len(split)).batch(batch_size))


def plain_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Volumes in order, as they are: batches of float32 [B, *grid, 1]."""
    read = _reader(split.volumes)
    data = _in_batches(np.arange(len(split)), batch_size)
    return _ahead(data.map(lambda indices: _as_float(read(indices))[..., None]))


def _drawn(split: Split, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Order of an epoch, and the seeds of its changes, int32 [n, 2]."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(split))
    return order, rng.integers(2**31, size=(len(split), 2)).astype(np.int32)


def _in_batches(parts: object, batch_size: int) -> tf.data.Dataset:
    """Of what is known of each volume before it is read."""
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def _reader(values: NDArray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Indices [B] -> values [B, *grid] of an array that may lie on disk, in its own dtype."""
    native = values.dtype.newbyteorder("=")

    def read(indices: NDArray[np.int64]) -> NDArray:
        return np.asarray(values[indices], native)

    def take(indices: tf.Tensor) -> tf.Tensor:
        taken = tf.numpy_function(read, [indices], tf.as_dtype(native))
        return tf.ensure_shape(taken, (None, *values.shape[1:]))

    return take


def _as_float(volumes: tf.Tensor) -> tf.Tensor:
    return tf.cast(volumes, tf.float32)


def _one_by_one(data: tf.data.Dataset, vary: Callable, count: int) -> tf.data.Dataset:
    """Each volume of batches varied, several at a time, in order."""
    data = data.unbatch().apply(tf.data.experimental.assert_cardinality(count))
    return data.map(vary, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _ahead(data: tf.data.Dataset) -> tf.data.Dataset:
    """Made ahead; replicas share each batch."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.prefetch(_AHEAD).with_options(options)
