"""Augmentation as TensorFlow operations; the same seed changes a volume in the same way."""

import itertools
from collections.abc import Callable, Sequence

import tensorflow as tf

from vcam_client.spec import Grid
from vcam_training.augmentation import Augmentation

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor | None]]


def augmenter(augmentation: Augmentation, grid: Grid) -> Augment:
    """A function of one volume, for `tf.data`.

    Args:
        augmentation: how volumes are varied.
        grid: of the volumes; what comes in from outside is its padding value.

    Returns:
        volume float32 [*grid], seed int32 [2], mask bool [*grid] or None -> both, changed
        alike.

    Raises:
        ConfigError: the grid can't be changed so.
    """
    augmentation.check(grid)

    def change(
        volume: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        if augmentation.symmetries:
            volume = _symmetry(volume, seed)
        if augmentation.mirror:
            volume = _mirror(volume, augmentation.mirror, seed + 1)
        if augmentation.shift:
            volume = _shift(volume, augmentation.shift, grid.padding_value, seed + 2)
        return tf.ensure_shape(volume, grid.shape), mask

    return change


def _symmetry(volume: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the ways to lay a square, or a cube, onto itself."""
    axes = volume.shape.rank
    orders = tf.constant(list(itertools.permutations(range(axes))))
    chosen = tf.random.stateless_uniform((), seed, 0, len(orders), tf.int32)
    return _mirror(tf.transpose(volume, orders[chosen]), range(axes), seed + 1000)


def _mirror(volume: tf.Tensor, axes: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    flipped = tf.random.stateless_uniform((len(axes),), seed) < 0.5
    return tf.reverse(volume, tf.boolean_mask(tf.constant(list(axes)), flipped))


def _shift(volume: tf.Tensor, reach: int, padding: float, seed: tf.Tensor) -> tf.Tensor:
    """Moved by whole voxels."""
    steps = tf.random.stateless_uniform((volume.shape.rank,), seed, 0, 2 * reach + 1, tf.int32)
    room = tf.pad(volume, [[reach, reach]] * volume.shape.rank, constant_values=padding)
    return tf.slice(room, steps, volume.shape)
