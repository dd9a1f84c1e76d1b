"""A strided convolution 1 wide: what Conv2D gives, and a gradient that crashes nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.testing import assert_allclose

from vcam_training.models.strided_pointwise import StridedPointwiseConv2D, is_strided_pointwise

SIZES = [(16, 16), (7, 24), (9, 4), (1, 1)]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [2, (1, 2), (3, 2)])
@pytest.mark.parametrize("size", SIZES)
def test_it_computes_what_conv2d_does(size: tuple[int, int], strides, padding: str) -> None:
    plain = layers.Conv2D(8, 1, strides=strides, padding=padding)
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    expected = plain(x)
    other = StridedPointwiseConv2D.from_config(plain.get_config())
    other.build(x.shape)
    other.set_weights(plain.get_weights())
    assert_allclose(other(x), expected, rtol=1e-5, atol=1e-6)
    assert other.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize("size", [16, 24, 32, 56])
def test_the_gradient_of_its_kernel(size: int) -> None:
    """At sizes where TensorFlow 2.21's own writes beyond its memory, compared with NumPy."""
    layer = StridedPointwiseConv2D(8, 1, strides=2, use_bias=False)
    x = np.random.default_rng(0).normal(size=(1, size, size, 8)).astype(np.float32)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    (gradient,) = tape.gradient(loss, [layer.kernel.value])
    taken = x[:, ::2, ::2].reshape(-1, 8).astype(np.float64)
    expected = 2 * taken.T @ (taken @ layer.kernel.numpy()[0, 0])
    assert_allclose(gradient[0, 0], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_what_it_stands_in_for() -> None:
    assert is_strided_pointwise(layers.Conv2D(2, 1, strides=2))
    assert is_strided_pointwise(layers.Conv2D(2, (1, 1), strides=(1, 2), padding="same"))
    for other in (
        layers.Conv2D(2, 1),
        layers.Conv2D(2, 3, strides=2),
        layers.Conv2D(2, (1, 3), strides=2),
        layers.Conv2D(2, 1, strides=2, groups=2),
        layers.MaxPooling2D(1, strides=2),
        StridedPointwiseConv2D(2, 1, strides=2),
    ):
        assert not is_strided_pointwise(other)
    assert keras.saving.get_registered_name(StridedPointwiseConv2D).startswith("vcam>")
