"""What holds for each network that a config can name."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from tiny_networks import APPLICATION, EVERY_NETWORK, WRITTEN_HERE, Tiny, hu

from vcam_client.errors import ConfigError
from vcam_training.cams.layers import candidates
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explain
from vcam_training.config import Config, load
from vcam_training.intensity import Window
from vcam_training.learning.precision import in_float32
from vcam_training.models import NETWORKS

Half = tuple[Tiny, str, keras.Model]


@pytest.fixture(params=EVERY_NETWORK)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return EVERY_NETWORK[request.param]


@pytest.fixture(params=WRITTEN_HERE)
def own(request: pytest.FixtureRequest) -> Tiny:
    return WRITTEN_HERE[request.param]


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module", params=EVERY_NETWORK)
def half(request: pytest.FixtureRequest) -> Half:
    """Each network in one of both, every kind in both."""
    tiny = EVERY_NETWORK[request.param]
    policy = "mixed_bfloat16" if len(tiny.grid) == 2 else "mixed_float16"
    with precision(policy):
        return tiny, policy, tiny.build()


def test_every_kind_is_tested_here() -> None:
    assert {type(one.network) for one in EVERY_NETWORK.values()} == set(NETWORKS.values())


def test_a_run_s_config_keeps_its_settings(tiny: Tiny) -> None:
    config = replace(load("solids", tiny=True), model=tiny.network)
    assert Config.from_json_dict(json.loads(json.dumps(config.to_json_dict()))) == config


def test_physical_values_in_and_logits_out(tiny: Tiny) -> None:
    model = tiny.model
    assert model.input_shape == (None, *tiny.grid, 1)
    assert model.output_shape == (None, 2)
    assert model.layers[1].name == "intensity"
    spread = np.ptp(model(tiny.volumes(4), training=False), axis=0)
    assert (spread > 0).all()


def test_the_same_seed_gives_the_same_weights(own: Tiny) -> None:
    for one, other in zip(own.model.weights, own.build().weights, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one, other)
    another = own.build(seed=1)
    assert np.any(another.get_layer("logits").kernel != own.model.get_layer("logits").kernel)


def test_a_saved_model_gives_the_same_output_and_the_same_cells(tiny: Tiny, tmp_path: Path) -> None:
    tiny.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    volumes = tiny.volumes()
    expected = np.asarray(tiny.model(volumes, training=False))
    np.testing.assert_array_equal(loaded(volumes, training=False), expected)
    target = tiny.network.target_layer
    assert cam_layer(loaded, target) == cam_layer(tiny.model, target)


def test_the_target_layer_has_a_place_and_a_map(tiny: Tiny) -> None:
    layer = cam_layer(tiny.model, tiny.network.target_layer)
    found = explain(tiny.model, layer.name, tiny.volumes(), [0, 1])
    assert found.shape == (2, *layer.cells)
    assert np.ptp(found) > 0
    assert layer.name in [one.layer.name for one in candidates(tiny.model)]


def test_cells_see_what_the_rules_say(own: Tiny) -> None:
    """What a voxel's change reaches, measured: no cell whose field it is not in."""
    layer = cam_layer(own.model, own.network.target_layer)
    features = keras.Model(own.model.input, own.model.get_layer(layer.name).output)
    volume = own.volumes(1)
    voxel = tuple(n // 3 for n in own.grid)
    changed = volume.copy()
    changed[(0, *voxel)] = 300 - changed[(0, *voxel)]
    moved = np.any(np.asarray(features(volume)) != np.asarray(features(changed)), axis=(0, -1))
    reached = np.ones(layer.cells, bool)
    for axis, (offset, stride, field, at) in enumerate(
        zip(layer.offset, layer.stride, layer.receptive_field, voxel, strict=True)
    ):
        centres = offset + stride * np.arange(layer.cells[axis])
        inside = np.abs(centres - at) <= (field - 1) / 2
        reached &= np.expand_dims(inside, [a for a in range(len(voxel)) if a != axis])
    assert moved.any()
    assert not (moved & ~reached).any()


def test_a_grid_too_small_is_refused(tiny: Tiny) -> None:
    small = (1, *tiny.grid[1:])
    with pytest.raises(ConfigError, match=r"(?s)Expected .* received .*1×.* Set "):
        tiny.network.build(small, hu(colours=tiny.colours), 2)


@pytest.mark.parametrize("grid", [(64,), (64, 64, 64, 64)])
def test_a_grid_of_another_kind_is_refused(tiny: Tiny, grid: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="Expected a grid with 2 "):
        tiny.network.build(grid, hu(), 2)


def test_applications_are_for_images() -> None:
    with pytest.raises(ConfigError, match=r"2 axes for VGG16, received .* for volumes"):
        APPLICATION.network.build((32, 32, 32), hu(colours=True), 2)


def test_a_step_in_mixed_precision(half: Half) -> None:
    """Features in half the bits; logits, loss and weights in float32."""
    tiny, policy, model = half
    assert model.get_layer("logits").compute_dtype == "float32"
    assert any(layer.compute_dtype == policy.removeprefix("mixed_") for layer in model.layers)
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    with tf.GradientTape() as tape:
        logits = model(tiny.volumes(4), training=True)
        loss = tf.reduce_mean(logits**2)
    assert logits.dtype == tf.float32
    values = [weight.value for weight in model.trainable_weights]
    gradients = tape.gradient(loss, values)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, f"{weight.path} has no share in the logits"
    before = model.get_weights()
    keras.optimizers.SGD(0.1).apply(gradients, model.trainable_weights)
    after = model.get_weights()
    assert all(np.isfinite(one).all() for one in after)
    assert any(np.any(one != other) for one, other in zip(before, after, strict=True))


def test_in_float32_it_is_the_same_network(half: Half) -> None:
    """The same weights, names and cells; about the same logits in half the bits."""
    tiny, _, model = half
    exact = in_float32(model)
    assert in_float32(exact) is exact
    for one, other in zip(exact.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.set_weights(tiny.model.get_weights())
    exact.set_weights(tiny.model.get_weights())
    volumes = tiny.volumes()
    expected = np.asarray(tiny.model(volumes, training=False))
    np.testing.assert_array_equal(exact(volumes, training=False), expected)
    rounded = np.asarray(model(volumes, training=False))
    assert np.any(rounded != expected)
    assert_allclose(rounded, expected, atol=0.1 * np.abs(expected).max())
    target = tiny.network.target_layer
    assert cam_layer(exact, target) == cam_layer(model, target) == cam_layer(tiny.model, target)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_compiled_training_in_mixed_precision(policy: str) -> None:
    """With Keras's own loss scaling, which leaves out steps until its scale fits."""
    tiny = WRITTEN_HERE["plain 3-D"]
    with precision(policy):
        model = tiny.build()
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    before = model.get_layer("logits").kernel.numpy()
    for _ in range(2):
        assert np.isfinite(model.train_on_batch(tiny.volumes(4), np.eye(2)[[0, 1, 1, 0]]))
    assert np.any(model.get_layer("logits").kernel.numpy() != before)


def test_physical_values_beyond_float16() -> None:
    tiny = WRITTEN_HERE["plain"]
    with precision("mixed_float16"):
        window = Window(0.0, 2e5, name="intensity", dtype="float32")
        model = tiny.network.build(tiny.grid, window, 2)
    volumes = np.array([1.0e5, 1.5e5], np.float32).reshape(2, 1, 1, 1) * np.ones((*tiny.grid, 1))
    logits = np.asarray(model(volumes))
    assert np.isfinite(logits).all()
    assert_allclose(logits[1] / logits[0], 1.5, rtol=1e-2)  # there are no biases
