"""The residual network: cells, sums, nothing that leads nowhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.intensity import Window
from vcam_training.models import ResidualNet

GRID = (12, 16, 20)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def random_volumes(grid: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*HU, (2, *grid, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("network", "grid", "cells", "offset", "stride"),
    [
        (ResidualNet(filters=(2, 3, 4)), (64, 96), (4, 6), 7.5, 16),
        (ResidualNet(filters=(2, 3), blocks=2), (64, 96), (8, 12), 3.5, 8),
        (ResidualNet(filters=(2,), shrink=1), (12, 16), (12, 16), 0.0, 1),
        (ResidualNet(filters=(2, 2), shrink=2), GRID, (3, 4, 5), 1.5, 4),
    ],
)
def test_residual_networks_cells_cover_the_grid(
    network: ResidualNet,
    grid: tuple[int, ...],
    cells: tuple[int, ...],
    offset: float,
    stride: int,
) -> None:
    model = network.build(grid, hu(), 1)
    layer = cam_layer(model, network.target_layer)
    axes = len(grid)
    assert (layer.cells, layer.offset, layer.stride) == (cells, (offset,) * axes, (stride,) * axes)
    assert layer.name == f"stage{len(network.filters)}_block{network.blocks}_relu2"


@pytest.mark.parametrize("grid", [(32, 32), (16, 16, 16)])
def test_every_layer_of_a_residual_network_is_used(grid: tuple[int, ...]) -> None:
    """The logit moves with every weight, and without a bias in front of a normalisation."""
    model = ResidualNet(filters=(4, 6, 6), blocks=2).build(grid, hu(), 1)
    volumes = random_volumes(grid)
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(model(volumes, training=True) ** 2)
    gradients = tape.gradient(score, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(gradient).max() > 0, variable.path
    for layer in model.layers:
        assert layer.name == "volume" or layer.output is model.output or _read_by(model, layer)
        if layer.name != "logits":
            assert not getattr(layer, "use_bias", False), layer.name
    projections = [layer.name for layer in model.layers if layer.name.endswith("_projection")]
    assert projections == ["stage2_block1_projection"]  # only where channels change


def _read_by(model: keras.Model, layer: keras.Layer) -> bool:
    return any(node.operation in model.layers for node in layer._outbound_nodes)


def test_a_residual_block_adds_to_what_it_was_given() -> None:
    """With convolutions that give nothing, every block passes on its input."""
    model = ResidualNet(filters=(4,), shrink=1, blocks=3, pooling="max").build(
        (8, 8), Window(0, 1), 1
    )
    for layer in model.layers:
        if "block" in layer.name and "_conv" in layer.name and "norm" not in layer.name:
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    ends = [model.get_layer(name).output for name in ("stem_relu", "stage1_block3_relu2")]
    before, after = keras.Model(model.input, ends)(np.random.default_rng(0).random((2, 8, 8, 1)))
    assert np.any(before)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": ()}, r"whole numbers ≥ 1, received filters=\(\)"),
        ({"filters": (4, 0)}, r"whole numbers ≥ 1, received filters=\(4, 0\)"),
        ({"blocks": 0}, "received blocks=0"),
        ({"dropout": 1.0}, "0 ≤ dropout < 1, received 1.0"),
        ({"shrink": 0}, "received shrink=0"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "head out of .* received 'two'"),
    ],
)
def test_residual_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ResidualNet(**settings)


def test_residual_network_on_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match="at least 16 voxels along each axis"):
        ResidualNet().build((15, 32), hu(), 1)
