"""Where the cells of a target layer lie on the input grid.

The receptive field of every value is followed from the input to the target
layer. Along each axis, cell c sees the input indices lo + stride * c …
hi + stride * c, and its centre is offset + stride * c with
offset = (lo + hi) / 2. This is not the same as stretching the map over the
volume: with valid padding the outermost centres lie well inside it.

- Where paths meet (residual sums, concatenations), the union of the intervals
  counts; strides and cell counts must agree.
- With same padding TensorFlow pads the smaller half in front, so the offset
  depends on the parity of the size.
- Upsampled maps and transposed convolutions have cells between cells. Their fields
  alternate about the centre; the interval holds all of them.
- Normalisations that take statistics over the volume (`ZScore`, group and layer
  normalisation), and values that went through global pooling and come back as
  factors (squeeze-and-excitation), depend on the whole volume; they place no
  evidence and count as pointwise.
"""

import re

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams._fields import follow
from vcam_training.cams._graph import find_layer
from vcam_training.cams.layers import at_index, candidates_of, last_step, unknown

__all__ = ["LAST", "cam_layer", "find_layer"]

LAST = "last"
"""Stands for the last feature map, see `cam_layer`."""


def cam_layer(model: keras.Model, target: str | int = LAST) -> CamLayer:
    """The target layer and the place of its cells on the model's input grid.

    With "last", the target is the last feature map that a convolution made, taken
    after the normalisation, activation or sum that completes it and before the
    pooling that ends it, and that every score passes through: `conv` in
    conv(relu) → pool → batch norm → global pool; the activation in
    conv → batch norm → relu → global pool; the activation behind the sum of a
    residual block. Dropout behind it changes nothing and is left out.

    Args:
        model: Sequential or Functional, nested models allowed, [B, *grid, C] with
            known sizes to logits.
        target: name of a layer, its path ("backbone/conv5"), "last", or an index
            into the `layers.candidates` that every score passes through, as a number
            or as text: 0 is the first of them, "-1" the last. A layer whose name is
            a number wins.

    Raises:
        ConfigError: no such layer, or a layer on the way to it whose cells vcam
            can't place.
    """
    fields = follow(model)
    if target == LAST:
        step = last_step(fields)
        if step is None:
            raise ConfigError(
                "Expected a convolution whose feature map every score passes through, found "
                "none. Name the target layer."
            )
        return fields.place(step)
    if isinstance(target, int):
        return at_index(candidates_of(fields), target)
    if not fields.graph.has(target):
        found = candidates_of(fields)
        if re.fullmatch(r"-?\d+", target):
            return at_index(found, int(target))
        raise unknown(found, target)
    return fields.place(fields.graph.find(target))
