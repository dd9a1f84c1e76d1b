"""Small models whose maps and scores are known, and what a report on them needs."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.spec import (
    Activation,
    ExplainDefault,
    Fit,
    Grid,
    Intensity,
    ModelSpec,
    SliceAggregation,
)
from vcam_training.cams.target_layer import target_layer
from vcam_training.data.dataset import Split

SIDE = 8


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., ModelSpec]:
    """The spec of a 2-D or 3-D model of two classes."""

    def make(model: keras.Model, **changes: object) -> ModelSpec:
        grid = tuple(model.inputs[0].shape[1:-1])
        values = {
            "name": "known",
            "labels": ("nothing", "object"),
            "activation": Activation.SOFTMAX,
            "explain_default": ExplainDefault.POSITIVE_CLASS,
            "grid": Grid(shape=grid, axes=(), fit=Fit.STRETCH),
            "intensity": Intensity(window=(0.0, 1.0)),
            "cam_layers": (target_layer(model).place,),
            "slice_aggregation": SliceAggregation.NONE if len(grid) == 2 else None,
        }
        return ModelSpec(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def region_model() -> keras.Model:
    """One logit: 12 times the mean brightness of the upper left quarter, less 6.

    The map's cells are the pixels.
    """
    image = x = keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(x)
    x = layers.Flatten()(x)
    logit = layers.Dense(1, name="logit")
    model = keras.Model(image, logit(x))
    weights = np.zeros((SIDE, SIDE), np.float32)
    weights[: SIDE // 2, : SIDE // 2] = 12 / (SIDE // 2) ** 2
    logit.set_weights([weights.reshape(-1, 1), np.array([-6.0], np.float32)])
    return model


def region_score(image: np.ndarray) -> float:
    """What `region_model` says of an image, in NumPy."""
    logit = 12 * image[: SIDE // 2, : SIDE // 2].mean() - 6
    return float(1 / (1 + np.exp(-logit)))


@pytest.fixture(scope="session")
def score_of_region() -> Callable[[np.ndarray], float]:
    return region_score


@pytest.fixture(scope="session")
def deep_model() -> keras.Model:
    """Two classes, three convolutions with weights of seed 3; maps of 8×8 cells."""
    keras.utils.set_random_seed(3)
    image = x = keras.Input((16, 16, 1))
    for number, stride in enumerate((1, 2, 1), start=1):
        x = layers.Conv2D(
            6, 3, strides=stride, padding="same", activation="relu", name=f"conv{number}"
        )(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, name="logits")(x))


@pytest.fixture(scope="session")
def weightless_model() -> keras.Model:
    """Its map is the brightness of the pixels, whatever its weights are drawn to be."""
    image = x = keras.Input((16, 16, 1))
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(x)
    x = layers.GlobalAveragePooling2D()(x)
    positive = keras.initializers.RandomUniform(0.5, 1.0)
    return keras.Model(image, layers.Dense(1, kernel_initializer=positive, name="logit")(x))


@pytest.fixture(scope="session")
def squares() -> Callable[..., Split]:
    """Noise with a bright square of 4² pixels in every other image, which is its mask."""

    def make(count: int, seed: int, side: int = 16) -> Split:
        rng = np.random.default_rng(seed)
        images = rng.uniform(0.0, 0.3, (count, side, side)).astype(np.float32)
        masks = np.zeros(images.shape, bool)
        labels = np.arange(count, dtype=np.int32) % 2
        for n in np.flatnonzero(labels):
            i, j = rng.integers(0, side - 4, 2)
            masks[n, i : i + 4, j : j + 4] = True
        images[masks] += 0.6
        return Split(volumes=images, labels=labels, masks=masks)

    return make
