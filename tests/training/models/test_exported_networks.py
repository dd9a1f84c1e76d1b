"""Each network can be exported, verified and served, in two and three dimensions."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.applications import densenet
from numpy.testing import assert_allclose
from tiny_networks import EVERY_NETWORK, HU, WRITTEN_HERE

from vcam_client.spec import (
    Activation,
    ExplainDefault,
    Fit,
    Grid,
    Intensity,
    ModelSpec,
    SliceAggregation,
)
from vcam_serving.session import Servable
from vcam_serving.verify import MODEL_FILE
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.exporting.export import export
from vcam_training.intensity import ImageNet


def spec_of(
    model: keras.Model, target: str = "last", window: tuple[float, float] = HU
) -> ModelSpec:
    shape = model.input_shape[1:-1]
    return ModelSpec(
        name="tiny",
        labels=tuple("abc"[: model.output_shape[1]]),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(shape=shape, fit=Fit.STRETCH, padding_value=window[0]),
        intensity=Intensity(units="HU", dtype="float32", window=window),
        slice_aggregation=SliceAggregation.NONE if len(shape) == 2 else None,
        cam_layers=(cam_layer(model, target),),
    )


@contextlib.contextmanager
def served(version: Path) -> Iterator[Servable]:
    servable = Servable(version)
    try:
        yield servable
    finally:
        servable.close()


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_it_is_exported_and_served(name: str, tmp_path: Path) -> None:
    """Verification compares each signature with the Keras model; then once more, here."""
    tiny = EVERY_NETWORK[name]
    spec = spec_of(tiny.model, tiny.network.target_layer)
    volumes = tiny.volumes(2, seed=3)
    with served(export(tiny.model, spec, tmp_path)) as servable:
        answer = servable.run(
            "gradcam", {"volume": volumes, "class_index": np.array([0, 1], np.int32)}
        )
        scores = servable.run("scores", {"volume": volumes})
    expected = np.asarray(tiny.model(volumes, training=False))
    assert_allclose(scores["logits"], expected, rtol=1e-4, atol=1e-5)
    assert answer["cam"].shape == (2, *spec.default_layer.cells)
    assert answer["heatmap"].shape == (2, *tiny.grid)
    assert np.ptp(answer["cam"]) > 0


def test_what_was_trained_in_mixed_precision_is_served_in_float32(tmp_path: Path) -> None:
    """Half-precision scores would differ between devices by more than verification allows."""
    tiny = WRITTEN_HERE["plain 3-D"]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = tiny.build()
    finally:
        keras.config.set_dtype_policy(before)
    version = export(model, spec_of(model), tmp_path)
    kept = keras.models.load_model(version / MODEL_FILE)
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}
    assert any(layer.compute_dtype == "float16" for layer in model.layers)
    volumes = tiny.volumes()
    with served(version) as servable:
        found = servable.run("scores", {"volume": volumes})["logits"]
    exact = tiny.build()
    exact.set_weights(model.get_weights())
    assert_allclose(found, exact(volumes, training=False), rtol=1e-4, atol=1e-5)


def test_the_served_graph_preprocesses_as_keras_does(tmp_path: Path) -> None:
    """A network whose logits are the means of what it sees: Keras's own torch mode for DenseNet."""
    inputs = keras.Input((6, 5, 1))
    x = ImageNet(0.0, 255.0, dtype="float32", name="imagenet")(inputs)
    x = keras.layers.Conv2D(3, 1, name="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))
    model.get_layer("same").set_weights([np.eye(3)[None, None], np.zeros(3)])
    model.get_layer("logits").set_weights([np.eye(3), np.zeros(3)])
    grey = np.random.default_rng(0).uniform(0, 255, (4, 6, 5, 1)).astype(np.float32)
    with served(export(model, spec_of(model, "same", (0.0, 255.0)), tmp_path)) as servable:
        found = servable.run("scores", {"volume": grey})["logits"]
    seen = densenet.preprocess_input(np.repeat(grey, 3, axis=-1))
    assert_allclose(found, seen.mean(axis=(1, 2)), rtol=1e-5, atol=1e-5)
