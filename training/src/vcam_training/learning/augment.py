"""Augmentation as TensorFlow operations; the same seed changes a volume in the same way."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import tensorflow as tf

from vcam_client.spec import Grid
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.moving import Move, make_move, moved

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor | None]]

_INSIDE = 0.5
"""Share of a moved voxel that a mask must fill to mark it."""


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
        volume: tf.Tensor, seed: tf.Tensor, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        draws = _Draws.of(seed)
        volume = _placed(volume, augmentation, grid, grid.padding_value, draws)
        if mask is not None:
            mask = _placed(tf.cast(mask, tf.float32), augmentation, grid, 0.0, draws) >= _INSIDE
            mask = tf.ensure_shape(mask, grid.shape)
        volume = _revalued(volume, augmentation, grid.padding_value, draws)
        return tf.ensure_shape(volume, grid.shape), mask

    return change


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """What is drawn for a volume: float32 from 0 to below 1, for each axis or one alone."""

    order: tf.Tensor
    flips: tf.Tensor
    mirror: tf.Tensor
    turn: tf.Tensor
    scale: tf.Tensor
    shift: tf.Tensor
    gain: tf.Tensor
    offset: tf.Tensor
    noise: tf.Tensor
    """int32 [2], a seed."""

    @classmethod
    def of(cls, seed: tf.Tensor) -> "_Draws":
        """Everything for one volume; what is not needed costs nothing."""
        names = [one.name for one in fields(cls) if one.name != "noise"]
        numbers = tf.unstack(tf.random.stateless_uniform((len(names), 3), seed))
        return cls(noise=tf.random.fold_in(seed, 1), **dict(zip(names, numbers, strict=True)))


def _placed(
    volume: tf.Tensor, augmentation: Augmentation, grid: Grid, padding: float, draws: _Draws
) -> tf.Tensor:
    """Elsewhere on the grid; masks too, as numbers."""
    if augmentation.symmetries:
        volume = _symmetry(volume, draws)
    if augmentation.mirror:
        volume = _mirror(volume, augmentation.mirror, draws.mirror)
    if augmentation.turns or augmentation.scale:
        volume = tf.ensure_shape(volume, grid.shape)
        volume = moved(volume, _random_move(augmentation, grid, draws), padding)
    elif augmentation.shift:
        volume = _shift(volume, augmentation.shift, padding, draws.shift)
    return volume


def _symmetry(volume: tf.Tensor, draws: _Draws) -> tf.Tensor:
    """One of the ways to lay a square, or a cube, onto itself."""
    axes = range(volume.shape.rank)
    order = _chosen(list(itertools.permutations(axes)), draws.order[0])
    return _mirror(tf.transpose(volume, order), axes, draws.flips)


def _mirror(volume: tf.Tensor, axes: Sequence[int], drawn: tf.Tensor) -> tf.Tensor:
    flipped = drawn[: len(axes)] < 0.5
    return tf.reverse(volume, tf.boolean_mask(tf.constant(list(axes)), flipped))


def _shift(volume: tf.Tensor, reach: int, padding: float, drawn: tf.Tensor) -> tf.Tensor:
    """Moved by whole voxels."""
    axes = volume.shape.rank
    steps = tf.cast(drawn[:axes] * (2 * reach + 1), tf.int32)
    room = tf.pad(volume, [[reach, reach]] * axes, constant_values=padding)
    return tf.slice(room, steps, tf.shape(volume))


def _random_move(augmentation: Augmentation, grid: Grid, draws: _Draws) -> Move:
    scale, shift = augmentation.scale, augmentation.shift
    axes = augmentation.rotate_axes(grid)
    return make_move(
        grid.shape,
        grid.spacing_mm or (1.0,) * grid.ndim,
        turns={axis: _angle(augmentation, draws.turn[axis]) for axis in axes},
        scale=1 + _either_way(scale, draws.scale[0]) if scale else None,
        shift=_either_way(shift, draws.shift[: grid.ndim]) if shift else None,
    )


def _angle(augmentation: Augmentation, drawn: tf.Tensor) -> tf.Tensor:
    """Degrees."""
    if not augmentation.angles:
        return _either_way(augmentation.rotate, drawn)
    return _chosen([sign * angle for angle in augmentation.angles for sign in (1.0, -1.0)], drawn)


def _revalued(
    volume: tf.Tensor, augmentation: Augmentation, padding: float, draws: _Draws
) -> tf.Tensor:
    """With other values, but for those of the padding."""
    changed = volume
    if augmentation.gain:
        factor = 1 + _either_way(augmentation.gain, draws.gain[0])
        changed = padding + (changed - padding) * factor
    if augmentation.offset:
        changed += _either_way(augmentation.offset, draws.offset[0])
    if augmentation.noise:
        noise = tf.random.stateless_normal(tf.shape(volume), draws.noise)
        changed += augmentation.noise * noise
    return changed if changed is volume else tf.where(volume == padding, volume, changed)


def _either_way(most: float, drawn: tf.Tensor) -> tf.Tensor:
    """From −most to most."""
    return (2 * drawn - 1) * most


def _chosen(values: Sequence, drawn: tf.Tensor) -> tf.Tensor:
    return tf.constant(values)[tf.cast(drawn * len(values), tf.int32)]
