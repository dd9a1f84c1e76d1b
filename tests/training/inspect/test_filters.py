"""The picture of a network's first kernels."""

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.inspecting.filters import filters_image

SIDE = 8  # pixels of a weight
GAP = 4


def model_of(convolution, channels: int) -> keras.Model:
    inner = keras.Sequential([keras.Input((*[8] * convolution.rank, channels)), convolution])
    outer = keras.Input((*[8] * convolution.rank, channels))
    return keras.Model(outer, layers.Flatten()(inner(layers.ReLU()(outer))))


def set_kernel(convolution, kernel: np.ndarray) -> None:
    convolution.set_weights([kernel.astype(np.float32)])


def test_each_weight_has_its_shade() -> None:
    convolution = layers.Conv2D(2, 3, use_bias=False)
    model = model_of(convolution, 1)
    kernel = np.zeros((3, 3, 1, 2))
    kernel[1, 1, 0, 0], kernel[0, 2, 0, 0] = 2.0, -2.0
    kernel[:, :, 0, 1] = 1.0
    set_kernel(convolution, kernel)
    picture = filters_image(model)
    assert (picture.dtype, picture.shape[0], picture.shape[-1]) == (np.uint8, 1, 3)
    tile = picture[0, GAP : GAP + 3 * SIDE, GAP : GAP + 3 * SIDE]
    weights = tile[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE, 0].astype(int)
    assert weights.tolist() == [[128, 128, 0], [128, 255, 128], [128, 128, 128]]
    second = picture[0, GAP, 2 * GAP + 3 * SIDE, 0]
    assert second == 191  # half of the largest, on the same scale


def test_slices_of_a_kernel_in_space_lie_side_by_side() -> None:
    convolution = layers.Conv3D(1, (2, 3, 4), use_bias=False)
    model = model_of(convolution, 1)
    kernel = np.zeros((2, 3, 4, 1, 1))
    kernel[1, 0, 0] = 1.0
    set_kernel(convolution, kernel)
    picture = filters_image(model)[0]
    assert picture.shape == (3 * SIDE + 2 * GAP, 2 * 4 * SIDE + 1 + 2 * GAP, 3)
    assert picture[GAP, GAP, 0] == 128
    assert picture[GAP, GAP + 4 * SIDE + 1, 0] == 255


def test_three_inputs_of_an_image_are_colours() -> None:
    convolution = layers.Conv2D(1, 1, use_bias=False)
    model = model_of(convolution, 3)
    set_kernel(convolution, np.array([1.0, 0.0, -1.0]).reshape(1, 1, 3, 1))
    assert filters_image(model)[0, GAP, GAP].tolist() == [255, 128, 0]


@pytest.mark.parametrize(("inputs", "tiles"), [(2, 2), (4, 4), (7, 1)])
def test_other_inputs_lie_below_each_other_or_are_averaged(inputs: int, tiles: int) -> None:
    model = model_of(layers.Conv2D(1, 3, use_bias=False), inputs)
    picture = filters_image(model)[0]
    assert picture.shape[0] == tiles * 3 * SIDE + (tiles - 1) + 2 * GAP


def test_a_network_without_a_convolution() -> None:
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ConfigError, match="Expected a convolution"):
        filters_image(keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inputs))))
