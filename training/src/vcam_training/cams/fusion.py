"""One map out of several layers: where each of them finds evidence.

A coarse layer knows what matters and not exactly where; a fine one has the edges, of
other things as well. The fused map lies on the finest layer's cells, the other maps are
interpolated between their own cell centres, and a cell is the geometric mean of all maps
where they agree in sign, and 0 where they don't or one of them is 0.
"""

import string
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import interpolation_matrix

SEPARATOR = "+"
"""Joins the names of layers into the name of their fused map."""


def fused_layer(layers: Sequence[CamLayer]) -> CamLayer:
    """Where the cells of a fused map lie: those of the finest layer.

    Args:
        layers: at least one; the fused map of one layer is its own.

    Returns:
        The finest layer's geometry, the widest receptive field, the names joined by "+".

    Raises:
        ConfigError: a layer is named twice.
    """
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise ConfigError(f"Expected different layers to fuse, received {names}. Name each once.")
    finest = layers[finest_of(layers)]
    fields = zip(*(layer.receptive_field for layer in layers), strict=True)
    return CamLayer(
        name=SEPARATOR.join(names),
        cells=finest.cells,
        offset=finest.offset,
        stride=finest.stride,
        receptive_field=tuple(max(along) for along in fields),
    )


def finest_of(layers: Sequence[CamLayer]) -> int:
    """Index of the layer with the smallest cells; the first of several."""
    return int(np.argmin([np.prod(layer.stride) for layer in layers]))


def fuse(cams: Sequence[tf.Tensor], layers: Sequence[CamLayer]) -> tf.Tensor:
    """The fused map of several layers' maps.

    Args:
        cams: float32 [B, *cells] of each layer, raw and signed.
        layers: where their cells lie.

    Returns:
        float32 [B, *cells of the finest layer], raw and signed.
    """
    if len(cams) == 1:
        return cams[0]
    finest = layers[finest_of(layers)]
    with tf.name_scope("fuse"):
        maps = tf.stack([_onto(cam, at, finest) for cam, at in zip(cams, layers, strict=True)])
        agreed = tf.reduce_all(maps > 0, axis=0) | tf.reduce_all(maps < 0, axis=0)
        # roots before the product: the product of several large maps could overflow
        roots = tf.pow(tf.abs(maps), 1.0 / len(cams))
        return tf.where(agreed, tf.reduce_prod(roots, axis=0) * tf.sign(maps[0]), 0.0)


def _onto(cam: tf.Tensor, layer: CamLayer, finest: CamLayer) -> tf.Tensor:
    """A map interpolated at the cell centres of another layer."""
    letters = string.ascii_lowercase[: len(layer.cells)]
    for axis, letter in enumerate(letters):
        # centres of the finest cells, counted in cells of this layer
        offset = (layer.offset[axis] - finest.offset[axis]) / finest.stride[axis]
        stride = layer.stride[axis] / finest.stride[axis]
        matrix = interpolation_matrix(finest.cells[axis], layer.cells[axis], offset, stride)
        along = letters.replace(letter, "Y")
        cam = tf.einsum(f"Z{letters},Y{letter}->Z{along}", cam, tf.constant(matrix))
    return cam
