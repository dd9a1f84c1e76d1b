"""The plain network: cells, biases, normalisation, pooling."""

import keras
import numpy as np
import pytest
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.models import PlainCnn
from vcam_training.models.smooth_max import SmoothMaxPooling

GRID = (12, 16, 20)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def layer_types(model: keras.Model) -> list[type]:
    return [type(layer) for layer in model.layers]


@pytest.mark.parametrize(
    ("network", "cells", "offset", "stride"),
    [
        (PlainCnn(filters=(2, 3), pools=0), (12, 16, 20), 0.0, 1),
        (PlainCnn(filters=(2, 3), pools=1), (6, 8, 10), 0.5, 2),
        (PlainCnn(filters=(2, 3, 4), pools=2), (3, 4, 5), 1.5, 4),
        (PlainCnn(filters=(2, 3), pools=1, shrink=2), (3, 4, 5), 1.5, 4),
        (PlainCnn(filters=(2,), pools=0, shrink=4), (3, 4, 5), 1.5, 4),
    ],
)
def test_plain_networks_cells_cover_the_grid(
    network: PlainCnn, cells: tuple[int, ...], offset: float, stride: int
) -> None:
    layer = cam_layer(network.build(GRID, hu(), 2), network.target_layer)
    assert (layer.cells, layer.offset, layer.stride) == (cells, (offset,) * 3, (stride,) * 3)
    assert layer.name == f"relu{len(network.filters)}"


def test_plain_networks_outputs_and_filters() -> None:
    model = PlainCnn(filters=(2, 3, 5)).build(GRID, hu(), 4)
    assert model.output_shape == (None, 4)
    assert [model.get_layer(f"conv{n}").filters for n in (1, 2, 3)] == [2, 3, 5]


@pytest.mark.parametrize("use_bias", [False, True])
def test_plain_networks_biases(use_bias: bool) -> None:
    model = PlainCnn(filters=(2, 3), use_bias=use_bias).build(GRID, hu(), 2)
    assert [model.get_layer(f"conv{n}").use_bias for n in (1, 2)] == [use_bias] * 2
    assert model.get_layer("logits").use_bias


@pytest.mark.parametrize("batch_norm", [False, True])
def test_plain_networks_batch_norm_stands_before_the_relu(batch_norm: bool) -> None:
    model = PlainCnn(filters=(2, 3), batch_norm=batch_norm).build(GRID, hu(), 2)
    assert (keras.layers.BatchNormalization in layer_types(model)) == batch_norm
    if batch_norm:
        names = [layer.name for layer in model.layers]
        assert names.index("conv1") < names.index("norm1") < names.index("relu1")


@pytest.mark.parametrize(
    ("pooling", "kind"),
    [
        ("max", keras.layers.GlobalMaxPooling3D),
        ("smooth_max", SmoothMaxPooling),
        ("average", keras.layers.GlobalAveragePooling3D),
    ],
)
def test_plain_networks_pooling(pooling: str, kind: type) -> None:
    model = PlainCnn(filters=(2, 3), pooling=pooling).build(GRID, hu(), 2)
    assert layer_types(model)[-2] is kind


def test_plain_networks_head() -> None:
    for head in ("signed", "evidence"):
        model = PlainCnn(filters=(2, 30), head=head).build(GRID, hu(), 2)
        assert (model.get_layer("logits").kernel.numpy().min() >= 0) == (head == "evidence")


def test_air_lights_nothing_up_without_biases() -> None:
    model = PlainCnn(filters=(4, 4)).build(GRID, hu(), 2)
    features = keras.Model(model.input, model.get_layer("relu2").output)
    air = np.full((1, *GRID, 1), HU[0], np.float32)
    assert not np.any(features(air))
    assert np.any(features(air + 500))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": ()}, r"whole numbers ≥ 1, received filters=\(\)"),
        ({"filters": (4, 0)}, r"whole numbers ≥ 1, received filters=\(4, 0\)"),
        ({"filters": (4, 4), "pools": 3}, "0 to 2 pools"),
        ({"pools": -1}, "0 to 4 pools"),
        ({"shrink": 0}, "received shrink=0"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "head out of .* received 'two'"),
    ],
)
def test_plain_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PlainCnn(**settings)


def test_plain_network_on_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match="at least 16 voxels along each axis"):
        PlainCnn(shrink=2, pools=3).build((15, 32, 32), hu(), 1)
