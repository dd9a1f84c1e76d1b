"""The kernels of a network's first convolution as one picture, for TensorBoard."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.cams._graph import flatten

MOST_FILTERS = 64
MOST_INPUTS = 4
"""Inputs of a filter that are shown apart; of more, their mean."""
_PIXELS = 8
"""Side of a weight in the picture."""
_GAP = 4
_BACKGROUND = 255
_COLOURS = 3
"""Inputs that are shown as red, green and blue."""
_CONVOLUTIONS = (layers.Conv2D, layers.Conv3D)


def filters_image(model: keras.Model) -> NDArray[np.uint8]:
    """Each filter of the first convolution as a tile, all on one scale.

    Grey is 0, white the largest weight there is and black its negative. A filter in space
    is shown as its slices along the first axis, from left to right; several inputs below
    each other, except three of an image, which are red, green and blue.

    Args:
        model: a training model.

    Returns:
        uint8 [1, H, W, 3], as `tf.summary.image` takes it.

    Raises:
        ConfigError: the model has no convolution in two or three dimensions.
    """
    kernel = first_kernel(model)
    largest = max(float(np.abs(kernel).max()), 1e-12)
    shades = np.rint(127.5 + 127.5 * kernel / largest).astype(np.uint8)
    tiles = [_tile(shades[..., k]) for k in range(min(MOST_FILTERS, shades.shape[-1]))]
    columns = math.ceil(math.sqrt(len(tiles) * tiles[0].shape[0] / tiles[0].shape[1]))
    columns = max(1, min(columns, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    high, wide = (size + _GAP for size in tiles[0].shape[:2])
    picture = np.full((rows * high + _GAP, columns * wide + _GAP, 3), _BACKGROUND, np.uint8)
    for at, tile in enumerate(tiles):
        top, left = at // columns * high + _GAP, at % columns * wide + _GAP
        picture[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return picture[None]


def first_kernel(model: keras.Model) -> NDArray[np.float32]:
    """float32 [*width, C_in, C_out] of the first convolution.

    Raises:
        ConfigError: there is none in two or three dimensions.
    """
    found = _first_convolution(model)
    if found is None:
        raise ConfigError(
            f"Expected a convolution in two or three dimensions in {model.name!r}, found none."
        )
    kernel: NDArray[np.float32] = keras.ops.convert_to_numpy(found.kernel)
    return kernel.astype(np.float32)


def has_filters(model: keras.Model) -> bool:
    """Whether there is a convolution that `filters_image` can show."""
    return _first_convolution(model) is not None


def _first_convolution(model: keras.Model) -> Any:
    operations = (step.operation for step in flatten(model).steps)
    return next((one for one in operations if isinstance(one, _CONVOLUTIONS)), None)


def _tile(kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [rows, columns, 3] of one filter, [*width, C_in]."""
    inputs = kernel.shape[-1]
    if kernel.ndim == 3 and inputs == _COLOURS:
        return _enlarged(kernel)
    if inputs > MOST_INPUTS:
        kernel = np.rint(kernel.mean(axis=-1, keepdims=True)).astype(np.uint8)
    parts = [_in_grey(kernel[..., one]) for one in range(kernel.shape[-1])]
    return _joined(parts, axis=0)


def _in_grey(kernel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of one input, [*width]: slices of a volume side by side."""
    slices = [kernel] if kernel.ndim == 2 else list(kernel)
    return _joined([_enlarged(np.repeat(one[..., None], 3, axis=-1)) for one in slices], axis=1)


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)


def _joined(parts: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Parts with a thin line between them."""
    line = list(parts[0].shape)
    line[axis] = 1
    spaced = [part for one in parts for part in (np.full(line, _BACKGROUND, np.uint8), one)]
    return np.concatenate(spaced[1:], axis=axis)
