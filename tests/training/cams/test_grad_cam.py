import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.cams.cam_methods import grad_cam
from vcam_training.cams.grad_cam import class_logits, forward
from vcam_training.cams.receptive_field import find_layer
from vcam_training.cams.target_layer import explain, explainer

CLASSES = 3
BATCH = 4


def classifier(shape, outputs=CLASSES, hidden=5):
    """conv → ReLU → global average → dense(ReLU) → dense: its gradient is easy by hand."""
    keras.utils.set_random_seed(7)
    conv = {2: layers.Conv2D, 3: layers.Conv3D}[len(shape)]
    pool = {2: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling3D}[len(shape)]
    return keras.Sequential(
        [
            keras.Input((*shape, 1)),
            conv(4, 3, activation="relu", name="features", bias_initializer="normal"),
            pool(),
            layers.Dense(hidden, activation="relu", bias_initializer="normal", name="hidden"),
            layers.Dense(outputs, name="logits"),
        ]
    )


def by_hand(model, volume, class_index, sign=1.0):
    """Grad-CAM of `classifier` in NumPy, from its weights and features."""
    features = keras.Model(model.inputs[0], model.get_layer("features").output)(volume).numpy()
    cells = tuple(range(1, features.ndim - 1))
    (w1, b1), (w2, _) = (model.get_layer(name).get_weights() for name in ("hidden", "logits"))
    active = features.mean(cells) @ w1 + b1 > 0
    maps = []
    for sample, index, on in zip(features, class_index, active, strict=True):
        of_average = w1 @ (on * w2[:, index])
        # The average hands every cell an equal share of its gradient.
        weights = sign * of_average / np.prod(sample.shape[:-1])
        maps.append(sample @ weights)
    return np.stack(maps)


def volumes(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, *shape, 1)).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 7), (6, 9, 7)])
def test_agrees_with_the_formula(shape):
    model, volume = classifier(shape), volumes(shape)
    index = np.array([0, 2, 1, 2], np.int32)
    cam = explainer(model, "features")(volume, index).numpy()
    expected = by_hand(model, volume, index)
    assert cam.dtype == np.float32
    assert (cam < 0).any(), "raw maps keep their sign"
    assert (cam > 0).any()
    np.testing.assert_allclose(cam, expected, atol=1e-5 * np.abs(expected).max())


def test_explain_is_one_batch_of_the_explainer():
    model, volume = classifier((9, 7)), volumes((9, 7))
    index = np.array([0, 2, 1, 2], np.int32)
    np.testing.assert_array_equal(
        explain(model, "features", volume, index), explainer(model, "features")(volume, index)
    )


def test_all_maps_are_the_maps_of_each_class():
    model, volume = classifier((9, 7)), volumes((9, 7))
    passed = forward(model, [find_layer(model, "features")], volume, one_logit=False)
    assert passed.logits.shape == (BATCH, CLASSES)
    np.testing.assert_allclose(passed.logits, model(volume), atol=1e-6)
    every = passed.each_class(lambda index: passed.cams(index)[0]).numpy()
    for index in range(CLASSES):
        expected = by_hand(model, volume, [index] * BATCH)
        np.testing.assert_allclose(every[:, index], expected, atol=1e-6)


def test_samples_of_a_batch_do_not_mix():
    model, volume = classifier((9, 7)), volumes((9, 7))
    index = np.array([0, 2, 1, 2], np.int32)
    together = explain(model, "features", volume, index)
    alone = explain(model, "features", volume[2:3], index[2:3])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-7)


def test_one_logit_explains_minus_z_and_z():
    model, volume = classifier((9, 7), outputs=1), volumes((9, 7))
    layer = find_layer(model, "features")
    passed = forward(model, [layer], volume, one_logit=True)
    z = model(volume).numpy()
    np.testing.assert_allclose(passed.logits, np.concatenate([-z / 2, z / 2], 1), atol=1e-6)
    np.testing.assert_allclose(passed.targets, np.concatenate([-z, z], 1), atol=1e-6)
    softmax = tf.nn.softmax(class_logits(tf.constant(z)))[:, 1]
    np.testing.assert_allclose(softmax, tf.sigmoid(z)[:, 0], atol=1e-6)
    for index, sign in ((0, -1.0), (1, 1.0)):
        [cam] = passed.cams(tf.fill([BATCH], index))
        expected = by_hand(model, volume, [0] * BATCH, sign)
        np.testing.assert_allclose(cam, expected, atol=1e-6)


def test_the_first_class_is_the_method_applied_to_minus_z():
    """A method that isn't linear tells that from the negated map."""
    seen = {}

    def rectified(features, gradients, target):
        seen["target"] = target
        return tf.reduce_sum(tf.nn.relu(gradients) * features, -1)

    model, volume = classifier((9, 7), outputs=1), volumes((9, 7))
    passed = forward(model, [find_layer(model, "features")], volume, one_logit=True)
    first = passed.cams(tf.zeros(BATCH, tf.int32), rectified)[0].numpy()
    np.testing.assert_allclose(seen["target"], -model(volume)[:, 0], atol=1e-6)
    second = passed.cams(tf.ones(BATCH, tf.int32), rectified)[0].numpy()
    assert (first >= 0).all()
    assert (second >= 0).all()
    assert not np.allclose(first, -second)


def test_nested_layers_are_explained_like_flat_ones():
    flat = classifier((9, 7))
    backbone = keras.Sequential([keras.Input((9, 7, 1)), flat.get_layer("features")], name="inner")
    head = keras.Sequential([keras.Input((7, 5, 4)), *flat.layers[1:]], name="head")
    inputs = keras.Input((9, 7, 1))
    nested = keras.Model(inputs, head(backbone(inputs)))
    volume, index = volumes((9, 7)), np.array([0, 2, 1, 2], np.int32)
    expected = by_hand(flat, volume, index)
    for name in ("features", "inner/features", "inner"):
        np.testing.assert_allclose(explain(nested, name, volume, index), expected, atol=1e-6)


def test_the_layer_is_left_as_it_was():
    model, volume = classifier((9, 7)), volumes((9, 7))
    layer = find_layer(model, "features")
    explain(model, "features", volume, np.zeros(BATCH, np.int32))
    assert "call" not in vars(layer)
    with pytest.raises(ValueError, match="incompatible"):
        forward(model, [layer], tf.zeros((1, 9, 7, 8)), one_logit=False)
    assert "call" not in vars(layer)


def test_a_layer_that_is_not_called_once_is_refused():
    model, volume = classifier((9, 7)), volumes((9, 7))
    with pytest.raises(ConfigError, match="called 0 times"):
        forward(model, [layers.Conv2D(1, 3)], volume, one_logit=False)
    inputs = keras.Input((9, 7, 1))
    twice = layers.Conv2D(1, 3, padding="same")
    x = layers.Flatten()(twice(twice(inputs)))
    with pytest.raises(ConfigError, match="called 2 times"):
        forward(keras.Model(inputs, layers.Dense(1)(x)), [twice], volume, one_logit=False)


def test_scores_that_ignore_the_layer_give_a_zero_map():
    inputs = keras.Input((9, 7, 1))
    x = layers.Conv2D(2, 3, name="features")(inputs)
    x = layers.GlobalAveragePooling2D()(x * 0.0)
    cam = explain(keras.Model(inputs, layers.Dense(2)(x)), "features", volumes((9, 7)), [1] * BATCH)
    np.testing.assert_array_equal(cam, np.zeros((BATCH, 7, 5)))


def test_half_precision_models_give_float32_maps():
    model = classifier((9, 7))
    half = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "mixed_float16"}
        ),
    )
    half.set_weights(model.get_weights())
    volume, index = volumes((9, 7)), np.array([0, 2, 1, 2], np.int32)
    cam = explain(half, "features", volume, index).numpy()
    expected = by_hand(model, volume, index)
    assert cam.dtype == np.float32
    np.testing.assert_allclose(cam, expected, atol=0.02 * np.abs(expected).max())


def test_weights_are_means_of_gradients_over_cells():
    generator = np.random.default_rng(3)
    features, gradients = generator.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    expected = np.einsum("bdhc,bc->bdh", features, gradients.mean((1, 2)))
    cam = grad_cam(tf.constant(features), tf.constant(gradients), tf.zeros(2))
    np.testing.assert_allclose(cam, expected, atol=1e-6)
