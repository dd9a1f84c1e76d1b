"""Turns, magnifies and shifts a volume in one linear interpolation, in TensorFlow.

Keras has no such operation for volumes that is fast: `ops.image.map_coordinates` takes 30
times as long as what is here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Move:
    """Where each voxel comes from: at index = matrix · index it will have + offset.

    Attributes:
        matrix: float32 [n, n].
        offset: float32 [n].
        still_axis: axis of a volume along which nothing moves; None if there is no such
            axis.
    """

    matrix: tf.Tensor
    offset: tf.Tensor
    still_axis: int | None = None


def make_move(
    shape: Sequence[int],
    spacing: Sequence[float],
    *,
    turns: Mapping[int, tf.Tensor] | None = None,
    scale: tf.Tensor | None = None,
    shift: tf.Tensor | None = None,
) -> Move:
    """The move that turns and magnifies about the centre and shifts then.

    Args:
        shape: voxels of the volume or image.
        spacing: along its axes, in one unit of length.
        turns: degrees by the axis that stays, one after the other; an image turns about
            axis 0 only, which means in its plane. Positive as in `scipy.ndimage.rotate`.
        scale: the factor that things grow by.
        shift: float [n], voxels.
    """
    centre = tf.constant([(n - 1) / 2 for n in shape], tf.float64)
    lengths = tf.constant(spacing, tf.float64)
    turns = turns or {}
    matrix = tf.eye(len(shape), dtype=tf.float64)
    for axis, degrees in turns.items():
        matrix @= _turn(degrees, axis, len(shape))
    matrix = matrix * lengths[None, :] / lengths[:, None]
    if scale is not None:
        matrix /= tf.cast(scale, tf.float64)
    place = centre if shift is None else centre + tf.cast(shift, tf.float64)
    still = len(shape) == 3 and len(turns) == 1 and scale is None and shift is None
    return Move(
        matrix=tf.cast(matrix, tf.float32),
        offset=tf.cast(centre - tf.linalg.matvec(matrix, place), tf.float32),
        still_axis=next(iter(turns)) if still else None,
    )


def moved(volume: tf.Tensor, move: Move, padding: float) -> tf.Tensor:
    """The volume after the move.

    Args:
        volume: float32 [D, H, W] or [H, W].
        move: of as many axes.
        padding: the value outside.

    Returns:
        float32 of the same shape, between the least and the largest of voxels and padding;
        where all was padding, exactly padding.
    """
    above = volume - padding
    if volume.shape.rank == 2:
        above = _in_plane(above[None], move.matrix, move.offset)[0]
    elif move.still_axis is None:
        above = _in_space(above, move)
    else:
        plane = [axis for axis in range(3) if axis != move.still_axis]
        order = [move.still_axis, *plane]
        matrix = tf.gather(tf.gather(move.matrix, plane), plane, axis=1)
        slices = _in_plane(tf.transpose(above, order), matrix, tf.gather(move.offset, plane))
        above = tf.transpose(slices, [order.index(axis) for axis in range(3)])
    low = tf.minimum(tf.reduce_min(volume), padding)
    high = tf.maximum(tf.reduce_max(volume), padding)
    return tf.clip_by_value(above + padding, low, high)


def _turn(degrees: tf.Tensor, axis: int, axes: int) -> tf.Tensor:
    """float64 [axes, axes]: from where a voxel is to where it was."""
    first, second = (0, 1) if axes == 2 else (other for other in range(3) if other != axis)
    radians = tf.cast(degrees, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    places = [(first, first), (first, second), (second, first), (second, second)]
    return tf.tensor_scatter_nd_update(
        tf.eye(axes, dtype=tf.float64), places, [cosine, sine, -sine, cosine]
    )


def _in_plane(slices: tf.Tensor, matrix: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Slices [n, H, W], all moved alike; 0 outside. The operation wants columns first."""
    columns_first = tf.reverse(tf.concat([offset[:, None], matrix], axis=1), [0, 1])
    transform = tf.concat([tf.reshape(columns_first, [1, 6]), tf.zeros([1, 2])], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=slices[..., None],
        transforms=transform,
        output_shape=tf.shape(slices)[1:],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[..., 0]


def _in_space(volume: tf.Tensor, move: Move) -> tf.Tensor:
    """A volume [D, H, W] moved in any direction; 0 outside."""
    shape = volume.shape
    room = tf.pad(volume, [[1, 2]] * 3)
    _, rows, columns = room.shape
    cells, shares = zip(*(_along(axis, shape, move) for axis in range(3)), strict=True)
    corner = (cells[0] * rows + cells[1]) * columns + cells[2]
    voxels = tf.reshape(room, [-1])

    def between(axis: int, step: int) -> tf.Tensor:
        if axis == 3:
            return tf.gather(voxels, corner + step)
        near = between(axis + 1, step)
        stride = (rows * columns, columns, 1)[axis]
        return near + (between(axis + 1, step + stride) - near) * shares[axis]

    return between(0, 0)


def _along(axis: int, shape: Sequence[int], move: Move) -> tuple[tf.Tensor, tf.Tensor]:
    """Where all voxels come from along one axis.

    Returns:
        The cells before, int32 [D, H, W], counted from one voxel outside, and how far it is
        from there to the next ones.
    """
    steps = tf.unstack(move.matrix[axis])
    slices, rows, columns = (
        step * np.arange(n, dtype=np.float32) for step, n in zip(steps, shape, strict=True)
    )
    place = move.offset[axis] + slices[:, None, None] + rows[:, None] + columns
    place = tf.clip_by_value(place, -1.0, float(shape[axis]))
    cell = tf.floor(place)
    return tf.cast(cell, tf.int32) + 1, place - cell
