"""DenseNet: Keras's layers and numbers, counts of the paper, settings."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.applications.densenet import DenseNet as OfKeras
from numpy.testing import assert_allclose
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.intensity import ImageNet
from vcam_training.models import DenseNet
from vcam_training.running.transfer import start_from


def test_its_weights_and_numbers_are_those_of_keras(tmp_path: Path) -> None:
    """Taken over by name; odd sizes, which pooling rounds down."""
    keras.utils.set_random_seed(0)
    theirs = OfKeras([1, 2, 1, 1], include_top=False, weights=None, input_shape=(67, 45, 3))
    for layer in theirs.layers:  # statistics that are not 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(0.5 + layer.moving_variance)
            layer.moving_mean.assign(layer.moving_mean - 0.1)
    theirs.save(tmp_path / "dense.keras")
    ours = DenseNet(blocks=(1, 2, 1, 1)).build((67, 45), ImageNet(0, 255, dtype="float32"), 2)
    taken, count = start_from(ours, tmp_path / "dense.keras")
    assert taken == count - 1  # all but the logits
    features = keras.Model(ours.input, ours.get_layer("relu").output)
    grey = np.random.default_rng(0).uniform(0, 255, (2, 67, 45, 1)).astype(np.float32)
    expected = np.asarray(theirs(ours.layers[1](grey)))
    assert np.ptp(expected) > 0
    assert_allclose(features(grey), expected, rtol=1e-4, atol=1e-5)


def test_by_default_it_is_densenet_121() -> None:
    """7,037,504 weights before the top with three channels, as in Keras."""
    model = DenseNet().build((32, 32), hu(), 14)
    assert model.count_params() == 7_037_504 - 2 * 7 * 7 * 64 + 14 * 1025


@pytest.mark.parametrize("grid", [(16, 24), (8, 16, 24)])
def test_channels_and_cells(grid: tuple[int, ...]) -> None:
    network = DenseNet(growth=3, blocks=(2, 3), stem="cifar", bottleneck=0, compression=0.7)
    model = network.build(grid, hu(), 2)
    assert model.get_layer("conv1_conv").output.shape[1:] == (*grid, 6)
    assert model.get_layer("conv2_block2_concat").output.shape[-1] == 6 + 2 * 3
    assert model.get_layer("pool2_pool").output.shape[-1] == 8  # 0.7 · 12, rounded down
    assert model.get_layer("relu").output.shape[-1] == 8 + 3 * 3
    assert not [layer for layer in model.layers if layer.name.endswith("_1_conv")]
    layer = cam_layer(model, "last")
    axes = len(grid)
    assert layer.name == "relu"
    assert layer.cells == tuple(n // 2 for n in grid)
    assert (layer.offset, layer.stride) == ((0.5,) * axes, (2,) * axes)


def test_the_stem_for_large_images_has_cells_of_4_voxels() -> None:
    model = DenseNet(growth=2, blocks=(1, 1)).build((32, 32, 32), hu(), 2)
    layer = cam_layer(model, "conv2_block1_concat")
    assert (layer.cells, layer.stride) == ((8,) * 3, (4,) * 3)


def test_a_layer_reads_all_before_it() -> None:
    """With convolutions that give nothing, the first features come through unchanged."""
    network = DenseNet(growth=2, blocks=(3,), stem="cifar")
    model = network.build((8, 8), hu(), 2)
    for layer in model.layers:
        if layer.name.endswith("_2_conv"):
            layer.set_weights([np.zeros_like(layer.kernel)])
    ends = [model.get_layer(name).output for name in ("conv1_conv", "conv2_block3_concat")]
    noise = np.random.default_rng(0).uniform(*HU, (2, 8, 8, 1)).astype(np.float32)
    before, after = keras.Model(model.input, ends)(noise)
    assert np.any(before)
    np.testing.assert_array_equal(after[..., :4], before)
    assert not np.any(after[..., 4:])


def test_dropout_follows_each_new_map() -> None:
    model = DenseNet(growth=2, blocks=(1, 2), stem="cifar", dropout=0.2).build((8, 8), hu(), 2)
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in found] == [0.2] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth": 0}, "received growth=0"),
        ({"blocks": ()}, r"received blocks=\(\)"),
        ({"compression": 0.0}, "0 < compression ≤ 1"),
        ({"compression": 1.1}, "received 1.1 and 4"),
        ({"bottleneck": -1}, "bottleneck ≥ 0"),
        ({"stem": "wide"}, "stem out of .'imagenet', 'cifar'.* received 'wide'"),
        ({"dropout": -0.1}, "0 ≤ dropout < 1"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "received 'two'"),
    ],
)
def test_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DenseNet(**settings)


def test_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match=r"at least 32 voxels along each axis, received .* 31×64"):
        DenseNet().build((31, 64), hu(), 1)
