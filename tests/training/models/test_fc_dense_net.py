"""The encoder of FC-DenseNet: the counts of its paper, cells, settings."""

import keras
import numpy as np
import pytest
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.models import FcDenseNet

CHANNELS = (112, 192, 304, 464, 656)
"""Behind the blocks on the way down, table 2 of the paper; 896 behind the bottleneck."""


def test_channels_are_those_of_the_paper() -> None:
    model = FcDenseNet().build((64, 32), hu(), 14)
    assert model.get_layer("conv").output.shape[1:] == (64, 32, 48)
    for number, channels in enumerate(CHANNELS, start=1):
        pooled = model.get_layer(f"transition{number}_pool").output.shape
        assert pooled[1:] == (64 // 2**number, 32 // 2**number, channels)
    assert model.get_layer("bottleneck_layer15_concat").output.shape[-1] == 896
    assert model.get_layer("logits").kernel.shape == (896, 14)
    convolutions = [layer for layer in model.layers if layer.name.endswith("conv")]
    assert len(convolutions) == 1 + (4 + 5 + 7 + 10 + 12) + 5 + 15
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.2] * (len(convolutions) - 1)


@pytest.mark.parametrize(
    ("grid", "cells", "offset"),
    [((8, 12), (2, 3), (1.5, 1.5)), ((11, 9, 10), (3, 3, 3), (1.5, 1.5, 1.5))],
)
def test_cells_cover_the_grid(
    grid: tuple[int, ...], cells: tuple[int, ...], offset: tuple[float, ...]
) -> None:
    """Sizes that pooling meets are rounded up: the last corner counts."""
    model = FcDenseNet(filters=2, growth=1, blocks=(1, 1), bottleneck=1).build(grid, hu(), 2)
    layer = cam_layer(model)
    assert layer.name == "bottleneck_layer1_concat"
    assert (layer.cells, layer.offset, layer.stride) == (cells, offset, (4,) * len(grid))
    for n, first, count in zip(grid, layer.offset, cells, strict=True):
        assert first - 2 < 0
        assert first + 4 * (count - 1) + 2 > n - 1
    features = keras.Model(model.input, model.get_layer(layer.name).output)
    volume = np.full((1, *grid, 1), HU[0], np.float32)
    before = np.asarray(features(volume))
    volume[(0, *(n - 1 for n in grid))] = HU[1]
    assert np.any(np.asarray(features(volume)) != before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 0}, "received filters=0"),
        ({"growth": 0}, "received growth=0"),
        ({"blocks": (4, 0)}, r"received blocks=\(4, 0\)"),
        ({"bottleneck": 0}, "received bottleneck=0"),
        ({"dropout": 1.0}, "0 ≤ dropout < 1"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "received 'two'"),
    ],
)
def test_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FcDenseNet(**settings)


def test_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match=r"at least 32 voxels along each axis, received .* 31×64"):
        FcDenseNet().build((31, 64), hu(), 1)
