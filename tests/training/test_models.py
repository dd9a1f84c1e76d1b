"""The networks that a config can name."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose

from vcam_client.errors import ConfigError
from vcam_training.intensity import Window
from vcam_training.models import NETWORKS, KerasCt, SmallCnn3d
from vcam_training.models.keras_ct import MINIMUM_SIZE
from vcam_training.models.smooth_max import SmoothMaxPooling
from vcam_training.receptive_field import cam_layer

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

HU = (-1000.0, 400.0)
GRID = (12, 16, 20)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def layer_types(model: keras.Model) -> list[type]:
    return [type(layer) for layer in model.layers]


def random_volumes(grid: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*HU, (2, *grid, 1)).astype(np.float32)


def test_networks_by_name() -> None:
    assert {"small": SmallCnn3d, "keras_ct": KerasCt} == NETWORKS


def test_keras_ct_is_the_network_of_the_keras_example() -> None:
    model = KerasCt().build((64, 128, 128), HU, 1)
    assert model.count_params() == 1_352_897
    assert model.input_shape == (None, 64, 128, 128, 1)
    assert model.output_shape == (None, 1)
    last = model.get_layer("norm4").output.shape
    assert last == (None, 2, 6, 6, 256)


def test_keras_ct_gives_logits() -> None:
    """No sigmoid: a thousand times the last weights, a thousand times the logit."""
    model = KerasCt(filters=(8, 8, 8, 8), dense=16).build((46, 46, 46), HU, 1)
    volumes = random_volumes((46, 46, 46))
    before = model(volumes, training=False)
    logits = model.get_layer("logits")
    logits.set_weights([1000 * weight for weight in logits.get_weights()])
    after = model(volumes, training=False)
    assert_allclose(after, 1000 * np.asarray(before), rtol=1e-3)
    assert np.abs(after).max() > 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_keras_ct_needs_46_voxels_along_each_axis(axis: int) -> None:
    network = KerasCt(filters=(1, 1, 1, 1), dense=1)
    grid = [MINIMUM_SIZE] * 3
    assert network.build(tuple(grid), HU, 1).output_shape == (None, 1)
    grid[axis] -= 1
    with pytest.raises(ConfigError, match=r"at least 46 voxels .*received a grid of .*45"):
        network.build(tuple(grid), HU, 1)


def test_the_first_layer_is_the_window() -> None:
    for network in (SmallCnn3d(), KerasCt(filters=(1, 1, 1, 1), dense=1)):
        model = network.build((46, 46, 46), HU, 1)
        window = model.layers[1]
        assert isinstance(window, Window)
        values = np.array([-2000, -1000, -300, 400, 3000], np.float32).reshape(1, 5, 1, 1, 1)
        assert_allclose(np.ravel(window(values)), [0, 0, 0.5, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("network", "cells", "offset", "stride"),
    [
        (SmallCnn3d(filters=(2, 3), pools=0), (12, 16, 20), 0.0, 1),
        (SmallCnn3d(filters=(2, 3), pools=1), (6, 8, 10), 0.5, 2),
        (SmallCnn3d(filters=(2, 3, 4), pools=2), (3, 4, 5), 1.5, 4),
        (SmallCnn3d(filters=(2, 3), pools=1, shrink=2), (3, 4, 5), 1.5, 4),
        (SmallCnn3d(filters=(2,), pools=0, shrink=4), (3, 4, 5), 1.5, 4),
    ],
)
def test_small_networks_cells_cover_the_grid(
    network: SmallCnn3d, cells: tuple[int, ...], offset: float, stride: int
) -> None:
    layer = cam_layer(network.build(GRID, HU, 2), network.target_layer)
    assert (layer.cells, layer.offset, layer.stride) == (cells, (offset,) * 3, (stride,) * 3)
    assert layer.name == f"relu{len(network.filters)}"


def test_small_networks_outputs_and_filters() -> None:
    model = SmallCnn3d(filters=(2, 3, 5)).build(GRID, HU, 4)
    assert model.output_shape == (None, 4)
    assert [model.get_layer(f"conv{n}").filters for n in (1, 2, 3)] == [2, 3, 5]


@pytest.mark.parametrize("use_bias", [False, True])
def test_small_networks_biases(use_bias: bool) -> None:
    model = SmallCnn3d(filters=(2, 3), use_bias=use_bias).build(GRID, HU, 2)
    assert [model.get_layer(f"conv{n}").use_bias for n in (1, 2)] == [use_bias] * 2
    assert model.get_layer("logits").use_bias


@pytest.mark.parametrize("batch_norm", [False, True])
def test_small_networks_batch_norm_stands_before_the_relu(batch_norm: bool) -> None:
    model = SmallCnn3d(filters=(2, 3), batch_norm=batch_norm).build(GRID, HU, 2)
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
def test_small_networks_pooling(pooling: str, kind: type) -> None:
    model = SmallCnn3d(filters=(2, 3), pooling=pooling).build(GRID, HU, 2)
    assert layer_types(model)[-2] is kind


def test_air_lights_nothing_up_without_biases() -> None:
    model = SmallCnn3d(filters=(4, 4)).build(GRID, HU, 2)
    features = keras.Model(model.input, model.get_layer("relu2").output)
    air = np.full((1, *GRID, 1), HU[0], np.float32)
    assert not np.any(features(air))
    assert np.any(features(air + 500))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": ()}, "at least one filter count"),
        ({"filters": (4, 0)}, "at least one filter count"),
        ({"filters": (4, 4), "pools": 3}, "0 to 2 pools"),
        ({"pools": -1}, "0 to 4 pools"),
        ({"shrink": 0}, "shrink ≥ 1"),
        ({"pooling": "median"}, "received 'median'"),
    ],
)
def test_small_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SmallCnn3d(**settings)


def test_small_network_on_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match="at least 16 voxels along each axis"):
        SmallCnn3d(shrink=2, pools=3).build((15, 32, 32), HU, 1)


def test_smooth_max_lies_between_mean_and_maximum() -> None:
    features = np.random.default_rng(0).normal(0, 3, (4, 5, 6, 7, 3)).astype(np.float32)
    pooled = np.asarray(SmoothMaxPooling()(features))
    assert pooled.shape == (4, 3)
    assert (pooled > features.mean(axis=(1, 2, 3))).all()
    assert (pooled < features.max(axis=(1, 2, 3))).all()


def test_smooth_max_is_the_log_of_the_mean_exponential() -> None:
    features = np.array([0.0, 1.0, 2.0, 3.0], np.float32).reshape(1, 2, 2, 1, 1)
    assert_allclose(SmoothMaxPooling()(features), [[np.log(np.mean(np.exp([0, 1, 2, 3])))]])
    constant = np.full((1, 3, 3, 3, 2), 1000.0, np.float32)  # no overflow
    assert_allclose(SmoothMaxPooling()(constant), np.full((1, 2), 1000), rtol=1e-6)


def test_smooth_max_pools_in_two_dimensions_too() -> None:
    layer = SmoothMaxPooling()
    assert layer.compute_output_shape((None, 4, 5, 7)) == (None, 7)
    assert layer(np.zeros((2, 4, 5, 7), np.float32)).shape == (2, 7)


@pytest.mark.parametrize(
    "network",
    [
        SmallCnn3d(filters=(2, 3), pooling="smooth_max", batch_norm=True, shrink=2, pools=1),
        SmallCnn3d(filters=(2, 3), pooling="max", use_bias=True),
        SmallCnn3d(filters=(2, 3), pooling="average"),
        KerasCt(filters=(8, 8, 8, 8), dense=16),
    ],
)
def test_a_saved_model_gives_the_same_output(network: SmallCnn3d | KerasCt, tmp_path) -> None:
    grid = (46, 46, 46)
    model = network.build(grid, HU, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    volumes = random_volumes(grid)
    expected = np.asarray(model(volumes, training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(loaded(volumes, training=False), expected)
    assert cam_layer(loaded, network.target_layer) == cam_layer(model, network.target_layer)
