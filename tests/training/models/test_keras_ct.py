"""The network of Keras's example on CT scans."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose
from tiny_networks import HU, hu

from vcam_client.errors import ConfigError
from vcam_training.models import KerasCt
from vcam_training.models.keras_ct import MINIMUM_SIZE

GRID = (12, 16, 20)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def random_volumes(grid: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*HU, (2, *grid, 1)).astype(np.float32)


def test_keras_ct_is_the_network_of_the_keras_example() -> None:
    model = KerasCt().build((64, 128, 128), hu(), 1)
    assert model.count_params() == 1_352_897
    assert model.input_shape == (None, 64, 128, 128, 1)
    assert model.output_shape == (None, 1)
    last = model.get_layer("norm4").output.shape
    assert last == (None, 2, 6, 6, 256)


def test_keras_ct_gives_logits() -> None:
    """No sigmoid: a thousand times the last weights, a thousand times the logit."""
    model = KerasCt(filters=(8, 8, 8, 8), dense=16).build((46, 46, 46), hu(), 1)
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
    assert network.build(tuple(grid), hu(), 1).output_shape == (None, 1)
    grid[axis] -= 1
    with pytest.raises(ConfigError, match=r"at least 46 voxels .*received a grid of .*45"):
        network.build(tuple(grid), hu(), 1)
