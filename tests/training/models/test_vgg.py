"""VGG: Keras's layers, weights and numbers; cells of any convolution; heads."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.layers import candidates
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.config import load, override
from vcam_training.intensity import ImageNet
from vcam_training.models import Vgg
from vcam_training.running.transfer import start_from

NARROW = ((2, 2), (2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))


@pytest.fixture(scope="module")
def of_keras() -> keras.Model:
    """VGG16 with its top, weights of Keras's own kind; narrower dense layers than 4096."""
    keras.utils.set_random_seed(1)
    convolutions = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(32, 64, 3)
    )
    x = keras.layers.Flatten()(convolutions.output)
    x = keras.layers.Dense(6, activation="relu", name="fc1")(x)
    x = keras.layers.Dense(5, activation="relu", name="fc2")(x)
    return keras.Model(convolutions.input, x)


def test_its_weights_and_numbers_are_those_of_keras(of_keras: keras.Model, tmp_path: Path) -> None:
    """Taken over by name, layer by layer."""
    model = Vgg(dense=(6, 5)).build((32, 64), ImageNet(0, 255, dtype="float32"), 2)
    of_keras.save(tmp_path / "vgg.keras")
    assert start_from(model, tmp_path / "vgg.keras") == (15, 16)  # all but the logits
    features = keras.Model(model.input, model.get_layer("fc2").output)
    grey = np.random.default_rng(0).uniform(0, 255, (2, 32, 64, 1)).astype(np.float32)
    seen = model.get_layer(index=1)(grey)
    expected = np.asarray(of_keras(seen))
    assert np.ptp(expected) > 0
    assert_allclose(features(grey), expected, rtol=1e-4, atol=1e-6)


def test_by_default_it_is_vgg_16() -> None:
    """138,357,544 parameters with 224 × 224 × 3 values and a thousand classes."""
    model = Vgg(blocks=NARROW).build((224, 224), hu(), 1)
    convolutions = [n for n in (layer.name for layer in model.layers) if "_conv" in n]
    assert convolutions == [
        f"block{block}_conv{n + 1}"
        for block, count in enumerate((2, 2, 3, 3, 3), start=1)
        for n in range(count)
    ]
    channels = [3, *(n for block in Vgg().blocks for n in block)]
    weights = sum(9 * i * o + o for i, o in itertools.pairwise(channels))
    assert weights == 14_714_688
    units = [7 * 7 * 512, *Vgg().dense, 1000]
    weights += sum(i * o + o for i, o in itertools.pairwise(units))
    assert weights == 138_357_544


@pytest.mark.parametrize("grid", [(32, 64), (32, 32, 64)])
def test_a_map_can_be_read_on_each_of_13_convolutions(grid: tuple[int, ...]) -> None:
    model = Vgg(blocks=NARROW, dense=(3,)).build(grid, hu(), 2)
    found = candidates(model)
    assert len(found) == 13
    assert not any(one.bypassed for one in found)
    for one in found:
        step = 2 ** (int(one.layer.name[5]) - 1)  # block 1 … 5
        assert one.layer.stride == (step,) * len(grid)
        assert one.layer.offset == ((step - 1) / 2,) * len(grid)
        assert one.layer.cells == tuple(n // step for n in grid)
    assert cam_layer(model).name == "block5_conv3"


@pytest.mark.parametrize(
    ("pooling", "same"), [("flatten", False), ("average", True), ("max", True)]
)
def test_flattened_cells_count_where_they_lie(pooling: str, same: bool) -> None:
    """A head on flattened cells tells left from right; a pooled one doesn't."""
    model = Vgg(blocks=((4,),), dense=(8,), pooling=pooling).build((8, 12), hu(), 1)
    images = np.full((2, 8, 12, 1), HU[0], np.float32)
    images[0, 2:4, 2:4] = images[1, 2:4, 8:10] = HU[1]
    left, right = np.asarray(model(images))[:, 0]
    assert left != 0
    assert (left == pytest.approx(right, rel=1e-5)) == same


def test_without_hidden_layers() -> None:
    model = Vgg(blocks=((4,), (6,)), dense=(), pooling="average").build((8, 8, 8), hu(), 3)
    assert [layer.name for layer in model.layers][-2:] == ["global_average", "logits"]
    assert model.get_layer("logits").kernel.shape == (6, 3)


def test_dropout_and_batch_norm() -> None:
    network = Vgg(blocks=((2,), (3, 3)), dense=(4, 5), dropout=0.5, batch_norm=True)
    model = network.build((8, 8), hu(), 1)
    names = [layer.name for layer in model.layers]
    for name in ("block1_{}1", "block2_{}1", "block2_{}2"):
        places = [names.index(name.format(kind)) for kind in ("conv", "norm", "relu")]
        assert places == list(range(places[0], places[0] + 3))
        assert not model.get_layer(name.format("conv")).use_bias
    assert names[-5:] == ["fc1", "dropout1", "fc2", "dropout2", "logits"]
    assert cam_layer(model).name == "block2_relu2"
    plain = Vgg(blocks=((2,), (3, 3)), dense=(4, 5)).build((8, 8), hu(), 1)
    kinds = {type(layer) for layer in plain.layers}
    assert not kinds & {keras.layers.Dropout, keras.layers.BatchNormalization}


def test_many_layers_keep_the_strength_of_what_they_see() -> None:
    """He's initialisation: 13 layers on, values are still about as large."""
    keras.utils.set_random_seed(0)
    blocks = tuple((16,) * len(block) for block in NARROW)
    model = Vgg(blocks=blocks, dense=()).build((32, 32), hu(), 1)
    features = keras.Model(model.input, model.get_layer("block5_conv3").output)
    noise = np.random.default_rng(0).uniform(*HU, (2, 32, 32, 1)).astype(np.float32)
    assert 0.05 < np.asarray(features(noise)).std() < 5


def test_blocks_can_be_set_by_text() -> None:
    config = override(load("solids"), ["model=vgg", "model.blocks=8,8;16,16,16", "model.dense="])
    assert config.model == Vgg(blocks=((8, 8), (16, 16, 16)), dense=())
    assert override(config, ["model.blocks=4,4"]).model.blocks == ((4, 4),)
    with pytest.raises(ConfigError, match=r"model\.blocks to be a value of type .*'8,x'"):
        override(config, ["model.blocks=8,x"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": ()}, "at least one block"),
        ({"blocks": ((4,), ())}, r"received blocks=\(\)"),
        ({"blocks": ((4, 0),)}, r"received blocks=\(4, 0\)"),
        ({"blocks": (("4", "4"),)}, r"received blocks=\('4', '4'\)"),
        ({"dense": (4, 0)}, r"received dense=\(4, 0\)"),
        ({"dropout": 1.0}, "0 ≤ dropout < 1"),
        ({"pooling": "median"}, "out of .'flatten', 'max'.* received 'median'"),
    ],
)
def test_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Vgg(**settings)


def test_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match=r"at least 32 voxels along each axis, received .* 31×64"):
        Vgg().build((31, 64), hu(), 1)
