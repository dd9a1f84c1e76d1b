"""What ends the networks: pooling and logits."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose

from vcam_training.models.head import logits
from vcam_training.models.smooth_max import SmoothMaxPooling

GRID = (12, 16, 20)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


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
