"""Each method is what its paper says, and what tf-keras-vis makes of the same model.

tf-keras-vis works with Keras 3.15 but for layers inside nested models, which it can't
reach; there it explains the same layers in a row. It takes any function of the output as
score, so the first class of a model with one logit is −z. It has no HiResCAM.
"""

import warnings
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from cam_reference import reference_cams
from keras import layers

from vcam_client.errors import ConfigError
from vcam_serving.session import Servable
from vcam_training.cams.cam_methods import LARGEST_EXPONENT, METHODS
from vcam_training.cams.target_layer import explainer, method_of

with warnings.catch_warnings():  # it imports from a namespace that SciPy has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam

PEERS = {"gradcam": Gradcam, "gradcam_plus_plus": GradcamPlusPlus, "layercam": Layercam}
GOLDEN = ("ct", "mr", "radiograph", "slices", "regression", "findings", "bright")
TOLERANCE = 1e-4
"""Of the largest magnitude of a map."""

BATCH = 3


def assert_cam(actual, expected):
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all()
    for one, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())


def by_keras_vis(method, model, layer, volume, score, **options):
    peer = PEERS[method](model, clone=False)
    cam = peer(
        score,
        tf.constant(volume, tf.float32),
        penultimate_layer=layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
        **options,
    )
    return np.asarray(cam)


# From features and gradients alone.


def features_and_gradients(cells, seed=1):
    generator = np.random.default_rng(seed)
    features, gradients = generator.normal(size=(2, BATCH, *cells, 5)).astype(np.float32)
    gradients[..., 1] = 0  # a channel without influence
    gradients[0, 0] = 0  # cells without influence
    features[..., 2] = 0  # a dead channel
    gradients[..., 3] = np.abs(gradients[..., 3])
    gradients[..., 4] = -np.abs(gradients[..., 4])
    return features, gradients, np.array([-3.0, 0.5, 12.0], np.float32)


@pytest.mark.parametrize("cells", [(4, 6), (3, 4, 5)])
@pytest.mark.parametrize("method", METHODS)
def test_the_formula(method, cells):
    features, gradients, scores = features_and_gradients(cells)
    cam = METHODS[method](*map(tf.constant, (features, gradients, scores))).numpy()
    assert cam.dtype == np.float32
    assert_cam(cam, reference_cams(method, features, gradients, scores))


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_is_an_empty_map(method):
    features, gradients, scores = features_and_gradients((4, 6))
    cam = METHODS[method](*map(tf.constant, (features, gradients * 0, scores)))
    np.testing.assert_array_equal(cam, np.zeros((BATCH, 4, 6)))


def test_methods_differ():
    """So that equality with each reference says which method it is."""
    arguments = [tf.constant(a) for a in features_and_gradients((4, 6))]
    maps = {name: method(*arguments).numpy() for name, method in METHODS.items()}
    for name, cam in maps.items():
        others = [other for key, other in maps.items() if key != name]
        for other in others:
            assert np.abs(cam - other).max() > 0.01 * np.abs(cam).max()


@pytest.mark.parametrize(("score", "counted"), [(1e4, 40.0), (-1e4, -40.0), (39.0, 39.0)])
def test_the_factor_of_grad_cam_plus_plus_is_bounded(score, counted):
    assert LARGEST_EXPONENT == 40.0
    features, gradients, _ = features_and_gradients((4, 6))
    given = np.full(BATCH, score, np.float32)
    cam = METHODS["gradcam_plus_plus"](*map(tf.constant, (features, gradients, given))).numpy()
    expected = reference_cams("gradcam_plus_plus", features, gradients, np.full(BATCH, counted))
    assert_cam(cam, expected)


def test_an_alpha_without_a_value_counts_as_nothing():
    """g ΣA = −2 makes its denominator 0."""
    features = np.full((1, 1, 2, 1), -1.0, np.float32)
    gradients = np.array([1.0, 0.5], np.float32).reshape(1, 1, 2, 1)
    cam = METHODS["gradcam_plus_plus"](
        tf.constant(features), tf.constant(gradients), tf.zeros(1)
    ).numpy()
    np.testing.assert_allclose(cam, np.full((1, 1, 2), -0.5), rtol=1e-6)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"gradcam, .*layercam, received 'cam'"):
        method_of("cam")


# In networks whose gradients differ from cell to cell.


def head_in_numpy(model):
    """features float64 [*cells, C] -> outputs [K], the network behind its target layer."""
    (w1, b1), (w2, b2) = (model.get_layer(name).get_weights() for name in ("hidden", "logits"))
    first, second = (w1.astype(np.float64), b1), (w2.astype(np.float64), b2)
    return lambda values: np.tanh(values.reshape(-1) @ first[0] + first[1]) @ second[0] + second[1]


@cache
def network(shape, outputs, activation):
    keras.utils.set_random_seed(4)
    conv = {2: layers.Conv2D, 3: layers.Conv3D}[len(shape)]
    return keras.Sequential(
        [
            keras.Input((*shape, 1)),
            conv(3, 3, activation="relu"),
            conv(4, 2, strides=2, activation=activation, name="target"),
            layers.Flatten(),
            layers.Dense(6, activation="tanh", bias_initializer="normal", name="hidden"),
            layers.Dense(outputs, bias_initializer="normal", name="logits"),
        ]
    )


def by_finite_differences(head, features, column, sign):
    """float64 gradients of sign · output[column], by central differences."""
    step = 1e-4
    gradients = np.zeros(features.shape)
    for at in np.ndindex(*features.shape):
        moved = features.astype(np.float64)
        moved[at] += step
        above = head(moved)[column]
        moved[at] -= 2 * step
        gradients[at] = sign * (above - head(moved)[column]) / (2 * step)
    return gradients


def classes_of(model, *, one_logit):
    """(class, output, sign) of each class."""
    if one_logit:
        return [(0, 0, -1.0), (1, 0, 1.0)]
    return [(k, k, 1.0) for k in range(model.output_shape[1])]


@pytest.mark.parametrize("activation", ["relu", None], ids=["relu", "signed features"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("shape", [(11, 9), (6, 7, 8)])
@pytest.mark.parametrize("method", METHODS)
def test_in_a_network(method, shape, outputs, activation):
    model, one_logit = network(shape, outputs, activation), outputs == 1
    volume = np.random.default_rng(1).normal(size=(BATCH, *shape, 1)).astype(np.float32)
    features = keras.Model(model.inputs[0], model.get_layer("target").output)(volume).numpy()
    assert (features < 0).any() == (activation is None)
    head = head_in_numpy(model)
    explain = explainer(model, "target", method=method, one_logit=one_logit)
    for index, column, sign in classes_of(model, one_logit=one_logit):
        cam = explain(volume, np.full(BATCH, index, np.int32)).numpy()
        slopes = np.stack([by_finite_differences(head, one, column, sign) for one in features])
        scores = [sign * head(one.astype(np.float64))[column] for one in features]
        assert (slopes.std(axis=tuple(range(1, slopes.ndim - 1))) > 0).any()
        assert_cam(cam, reference_cams(method, features, slopes, scores))
        if method in PEERS:
            theirs = by_keras_vis(
                method, model, "target", volume, lambda o, c=column, s=sign: s * o[:, c]
            )
            assert_cam(np.maximum(cam, 0), theirs)
        if method == "gradcam":
            signed = by_keras_vis(
                method,
                model,
                "target",
                volume,
                lambda o, c=column, s=sign: s * o[:, c],
                activation_modifier=None,
            )
            assert_cam(cam, signed)


# In every golden servable: all end in global average pooling and a dense layer.


@pytest.fixture(scope="module")
def served(golden):
    servables = {name: Servable(one.path) for name, one in golden.items()}
    yield servables
    for servable in servables.values():
        servable.close()


def in_a_row(model):
    """The same layers without nesting, copied."""
    steps = []
    for layer in model.layers:
        inner = layer.layers if isinstance(layer, keras.Model) else [layer]
        steps += [step for step in inner if not isinstance(step, layers.InputLayer)]
    copies = [type(step).from_config(step.get_config()) for step in steps]
    flat = keras.Sequential([keras.Input(model.input_shape[1:]), *copies])
    flat.set_weights(model.get_weights())
    return flat


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("method", METHODS)
def test_in_golden_servables(golden, served, name, method):
    one = golden[name]
    spec, model = one.spec, one.model
    one_logit = spec.exclusive and model.output_shape[1] == 1
    low, high = spec.intensity.window or (0.0, 300.0)
    noise = np.random.default_rng(5).uniform(low, high, (BATCH, *spec.grid.shape, 1))
    volume = noise.astype(spec.intensity.dtype)
    physical = volume.astype(np.float32)

    pooling, dense = model.layers[-2:]
    features = keras.Model(model.inputs[0], pooling.input)(physical).numpy()
    kernel, bias = dense.get_weights()
    explain = explainer(model, spec.default_layer.name, method=method, one_logit=one_logit)
    nested = any(isinstance(layer, keras.Model) for layer in model.layers)
    flat = in_a_row(model) if nested else model
    layer = flat.get_layer(spec.default_layer.name)
    for index, column, sign in classes_of(model, one_logit=one_logit):
        chosen = np.full(BATCH, index, np.int32)
        inputs = {"volume": volume, "class_index": chosen}
        cam = served[name].run(method, inputs, ["cam"])["cam"]
        # the average hands every cell an equal share
        share = sign * kernel[:, column] / np.prod(features.shape[1:-1])
        slopes = np.broadcast_to(share, features.shape)
        averages = features.astype(np.float64).mean(tuple(range(1, features.ndim - 1)))
        scores = sign * (averages @ kernel[:, column] + bias[column])
        expected = reference_cams(method, features, slopes, scores)
        assert_cam(cam, expected)
        assert_cam(explain(physical, chosen).numpy(), expected)
        if method in PEERS:
            theirs = by_keras_vis(
                method, flat, layer, physical, lambda o, c=column, s=sign: s * o[:, c]
            )
            assert_cam(np.maximum(cam, 0), theirs)
