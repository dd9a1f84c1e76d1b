"""Inputs and networks at the edge of what float32 holds: maps stay finite, and honest."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from vcam_client.spec import Activation
from vcam_serving.session import Servable
from vcam_serving.verify import all_class_signatures
from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.heatmap import heatmap
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explain

GOLDEN = ("ct", "mr", "radiograph", "slices", "regression", "findings", "bright")
SHAPE = (10, 8)
BATCH = 2


@pytest.fixture(scope="module")
def served(golden):
    servables = {name: Servable(one.path) for name, one in golden.items()}
    yield servables
    for servable in servables.values():
        servable.close()


def volume(seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, *SHAPE, 1)).astype(np.float32)


def network(*, head=1.0, features=1.0, bias=0.0, normalise=False, activation="relu"):
    """conv → (batch norm) → flatten → dense, its features and its head scaled."""
    keras.utils.set_random_seed(1)
    norm = [layers.BatchNormalization(name="norm")] if normalise else []
    model = keras.Sequential(
        [
            keras.Input((*SHAPE, 1)),
            layers.Conv2D(3, 3, activation=activation, name="target"),
            *norm,
            layers.Flatten(),
            layers.Dense(3, name="logits"),
        ]
    )
    kernel, _ = model.get_layer("target").get_weights()
    model.get_layer("target").set_weights([kernel * features, np.full(3, bias, np.float32)])
    kernel, zeros = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * np.float32(head), zeros])
    return model


def maps(model, method, given=None):
    """float32 [K, B, *cells], finite, with finite heatmaps in [0, 1]."""
    given = volume() if given is None else given
    found = []
    for index in range(model.output_shape[1]):
        cam = explain(model, "target", given, np.full(len(given), index), method=method)
        shown = heatmap(cam, SHAPE, cam_layer(model, "target")).numpy()
        assert np.isfinite(cam.numpy()).all()
        assert np.isfinite(shown).all()
        assert shown.min() >= 0
        assert shown.max() <= 1
        found.append(cam.numpy())
    return np.stack(found)


@pytest.mark.parametrize("name", GOLDEN)
def test_scans_of_one_value(golden, served, name):
    spec = golden[name].spec
    low, high = spec.intensity.window or (-300.0, 300.0)
    values = np.array([spec.grid.padding_value, low, high, (low + high) / 2, 0.0])
    shape = (len(values), *spec.grid.shape, 1)
    given = np.broadcast_to(values.reshape(-1, *[1] * spec.grid.ndim, 1), shape)
    given = given.astype(spec.intensity.dtype)
    index = np.full(len(values), -1, np.int32)
    requests = {
        "serving_default": {"volume": given},
        **{e.signature: {"volume": given, "class_index": index} for e in spec.explanations},
        **{every: {"volume": given} for every in all_class_signatures(spec)},
    }
    assert len(requests) == 2 + len(METHODS)
    for signature, inputs in requests.items():
        for output, array in served[name].run(signature, inputs).items():
            assert np.isfinite(array).all(), (signature, output)
            if output == "heatmap" or (
                output == "scores" and spec.activation is not Activation.IDENTITY
            ):
                assert array.min() >= 0
                assert array.max() <= 1 + 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_dead_features_are_an_empty_map(method):
    model = network(bias=-1e3)
    np.testing.assert_array_equal(maps(model, method), np.zeros((3, BATCH, 8, 6)))
    shown = heatmap(tf.zeros((1, 8, 6)), SHAPE, cam_layer(model, "target"))
    np.testing.assert_array_equal(shown, np.zeros((1, *SHAPE)))


@pytest.mark.parametrize("method", METHODS)
def test_dead_gradients_are_an_empty_map(method):
    model = network(head=0.0)
    np.testing.assert_array_equal(maps(model, method), np.zeros((3, BATCH, 8, 6)))


@pytest.mark.parametrize("size", [20.0, 1e4])
@pytest.mark.parametrize("method", METHODS)
def test_saturated_scores_have_maps(method, size):
    """A softmax has no gradient there; logits have."""
    given = volume()
    largest = np.abs(network()(given).numpy()).max()
    model = network(head=size / largest)
    logits = model(given).numpy()
    assert np.abs(logits).max() == pytest.approx(size, rel=1e-4)
    assert tf.nn.softmax(logits).numpy().max() > 0.999
    found = maps(model, method)
    assert (np.abs(found).reshape(3 * BATCH, -1).max(axis=1) > 0).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e15])
@pytest.mark.parametrize("method", METHODS)
def test_maps_do_not_depend_on_how_features_are_scaled(method, scale):
    """Features times s, their weights divided by s: the same network, the same maps."""
    expected = maps(network(), method)
    found = maps(network(features=scale, head=1 / scale), method)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [1e-20, 1e15])
@pytest.mark.parametrize("method", METHODS)
def test_features_of_any_size(method, scale):
    found = maps(network(features=scale), method)
    logits = network(features=scale)(volume()).numpy()
    assert np.isfinite(logits).all()
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_normalisation_without_variance(method):
    model = network(normalise=True)
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    model.get_layer("norm").set_weights([gamma, beta, mean, variance * 0])
    assert np.abs(maps(model, method)).max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_samples_at_the_edge_do_not_spoil_their_neighbours(method):
    given = volume()
    given[1] = 1e6
    together = maps(network(), method, given)[:, 0]
    alone = maps(network(), method, given[:1])[:, 0]
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())
