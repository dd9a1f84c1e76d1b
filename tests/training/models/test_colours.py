"""Each network of Keras gets the values that it was trained on."""

import keras
import numpy as np
import pytest
from keras.applications import convnext, densenet, efficientnet, inception_v3, mobilenet, vgg16
from numpy.testing import assert_allclose

from vcam_training.intensity import IMAGENET_MEAN, IMAGENET_STD, ImageNet
from vcam_training.models.colours import Recolour, recolour_for, takes_pixels

RGB = np.random.default_rng(0).uniform(0, 255, (2, 5, 6, 3)).astype(np.float32)
GREY = RGB[..., :1]


@pytest.mark.parametrize("module", [vgg16, mobilenet, inception_v3, efficientnet, convnext])
def test_what_preprocess_input_makes_of_rgb_values(module) -> None:
    """From what torchvision makes of them."""
    given = (RGB / 255 - IMAGENET_MEAN) / IMAGENET_STD
    recolour = recolour_for(module.preprocess_input, "colours")
    assert recolour is not None
    expected = module.preprocess_input(RGB.copy())
    assert_allclose(recolour(given), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_densenet_is_torchvisions_own_kind() -> None:
    assert recolour_for(densenet.preprocess_input, "colours") is None


def test_the_intensity_layer_is_keras_s_torch_mode() -> None:
    expected = densenet.preprocess_input(np.repeat(GREY, 3, axis=-1))
    assert_allclose(ImageNet(0, 255)(GREY), expected, rtol=1e-5, atol=1e-5)


def test_a_saved_layer_is_the_same() -> None:
    layer = recolour_for(vgg16.preprocess_input, "colours")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, Recolour)
    assert again.name == "colours"
    np.testing.assert_array_equal(again(RGB), layer(RGB))
    assert layer.compute_output_shape((None, 4, 5, 3)) == (None, 4, 5, 3)


def test_networks_that_scale_pixels_themselves() -> None:
    assert takes_pixels(efficientnet.preprocess_input)
    assert takes_pixels(convnext.preprocess_input)
    assert not takes_pixels(vgg16.preprocess_input)
    assert not takes_pixels(mobilenet.preprocess_input)
