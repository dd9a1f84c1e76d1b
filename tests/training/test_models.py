"""The networks that a config can name."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from vcam_client.errors import ConfigError
from vcam_training.intensity import Window
from vcam_training.models import NETWORKS, KerasCt, ResidualNet, SmallCnn3d
from vcam_training.models.head import logits
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
    assert {"small": SmallCnn3d, "keras_ct": KerasCt, "residual": ResidualNet} == NETWORKS


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
    for network in (SmallCnn3d(), ResidualNet(), KerasCt(filters=(1, 1, 1, 1), dense=1)):
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


def test_small_networks_head() -> None:
    for head in ("signed", "evidence"):
        model = SmallCnn3d(filters=(2, 30), head=head).build(GRID, HU, 2)
        assert (model.get_layer("logits").kernel.numpy().min() >= 0) == (head == "evidence")


def test_no_training_makes_a_weight_of_an_evidence_head_negative() -> None:
    """A class that the features speak against: its weights end at 0, its bias goes on."""
    features = keras.Input((4, 4, 3))
    model = keras.Model(features, logits(features, "average", "evidence", 2))
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(True))
    for _ in range(20):
        model.train_on_batch(np.ones((5, 4, 4, 3), np.float32), np.ones((5, 1)))
    kernel, bias = model.get_layer("logits").get_weights()
    assert (kernel[:, 0] == 0).all()
    assert (kernel[:, 1] > 0.5).all()
    assert bias[0] < 0


def test_logits_of_an_evidence_head_begin_as_about_the_mean_feature() -> None:
    features = keras.Input((4, 4, 4, 600))
    model = keras.Model(features, logits(features, "max", "evidence", 2))
    kernel, bias = model.get_layer("logits").get_weights()
    assert kernel.sum(axis=0) == pytest.approx(1, rel=0.1)
    assert kernel.min() >= 0
    assert not bias.any()


@pytest.mark.parametrize("pooling", ["max", "smooth_max", "average"])
@pytest.mark.parametrize("grid", [(3, 4), (3, 4, 5)])
def test_heads_in_two_and_three_dimensions(pooling: str, grid: tuple[int, ...]) -> None:
    """Pooling takes the wanted statistic of all cells."""
    features = keras.Input((*grid, 2))
    model = keras.Model(features, logits(features, pooling, "signed", 2))
    model.get_layer("logits").set_weights([np.eye(2), np.array([0.0, 7.0])])
    values = np.random.default_rng(0).normal(size=(3, *grid, 2)).astype(np.float32)
    flat = values.reshape(3, -1, 2)
    pooled = {
        "max": flat.max(axis=1),
        "smooth_max": np.log(np.exp(flat).mean(axis=1)),
        "average": flat.mean(axis=1),
    }
    assert_allclose(model(values), pooled[pooling] + (0, 7), rtol=1e-5, atol=1e-6)


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
    model = network.build(grid, HU, 1)
    layer = cam_layer(model, network.target_layer)
    axes = len(grid)
    assert (layer.cells, layer.offset, layer.stride) == (cells, (offset,) * axes, (stride,) * axes)
    assert layer.name == f"stage{len(network.filters)}_block{network.blocks}_relu2"


@pytest.mark.parametrize("grid", [(32, 32), (16, 16, 16)])
def test_every_layer_of_a_residual_network_is_used(grid: tuple[int, ...]) -> None:
    """The logit moves with every weight, and without a bias in front of a normalisation."""
    model = ResidualNet(filters=(4, 6, 6), blocks=2).build(grid, HU, 1)
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
    model = ResidualNet(filters=(4,), shrink=1, blocks=3, pooling="max").build((8, 8), (0, 1), 1)
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
        ({"filters": ()}, "at least one filter count"),
        ({"filters": (4, 0)}, "at least one filter count"),
        ({"blocks": 0}, "blocks ≥ 1"),
        ({"shrink": 0}, "shrink ≥ 1"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "head out of .* received 'two'"),
    ],
)
def test_residual_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ResidualNet(**settings)


def test_residual_network_on_a_grid_too_small() -> None:
    with pytest.raises(ConfigError, match="at least 16 voxels along each axis"):
        ResidualNet().build((15, 32), HU, 1)


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
        ({"head": "two"}, "head out of .* received 'two'"),
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
        SmallCnn3d(filters=(2, 3), head="evidence"),
        ResidualNet(filters=(2, 3)),
        KerasCt(filters=(8, 8, 8, 8), dense=16),
    ],
)
def test_a_saved_model_gives_the_same_output(
    network: SmallCnn3d | KerasCt | ResidualNet, tmp_path
) -> None:
    grid = (46, 46, 46)
    model = network.build(grid, HU, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    volumes = random_volumes(grid)
    expected = np.asarray(model(volumes, training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(loaded(volumes, training=False), expected)
    assert cam_layer(loaded, network.target_layer) == cam_layer(model, network.target_layer)
