import keras
import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training.intensity import IMAGENET_MEAN, IMAGENET_STD, Bands, ImageNet, Window, ZScore

GRIDS = [(5, 6), (4, 5, 6)]


def values(grid, batch=2):
    return np.random.default_rng(0).normal(100, 30, (batch, *grid, 1)).astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS)
def test_window_clips_and_scales(grid):
    x = values(grid)
    x.flat[:3] = [-2000, 50, 3000]
    result = Window(-1000, 400)(x).numpy()
    np.testing.assert_allclose(result, (np.clip(x, -1000, 400) + 1000) / 1400, atol=1e-6)
    assert (result.min(), result.max()) == (0, 1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("padding", [0.0, -1024.0])
def test_z_score_leaves_padding_out(grid, padding):
    x = values(grid)
    x[0, :2] = padding
    result = ZScore(padding)(x).numpy()
    for sample, scored in zip(x.astype(np.float64), result, strict=True):
        seen = sample != padding
        mean, deviation = sample[seen].mean(), sample[seen].std()
        expected = np.where(seen, (sample - mean) / deviation, 0)
        np.testing.assert_allclose(scored, expected, atol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 1000.1, -3.3e6, 1e-20])
def test_z_score_of_a_constant_volume_is_zero(constant):
    x = np.full((2, 8, 8, 1), constant, np.float32)
    x[1, :4] = 0
    np.testing.assert_array_equal(ZScore(0)(x), np.zeros_like(x))


def test_z_score_keeps_its_digits_far_from_zero():
    x = values((16, 16))
    far = (x + 2.0**17).astype(np.float32)
    expected = (far - far.mean((1, 2), keepdims=True, dtype=np.float64)) / far.std(
        (1, 2), keepdims=True, dtype=np.float64
    )
    np.testing.assert_allclose(ZScore(0)(far), expected, atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_imagenet(grid):
    x = values(grid)
    x.flat[:2] = [-10, 5000]
    scaled = np.clip(x, 0, 200) / 200
    expected = np.concatenate(
        [(scaled - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], axis=-1
    )
    np.testing.assert_allclose(ImageNet(0, 200)(x), expected, atol=1e-5)


def test_bands_are_disjoint_and_cover_their_range():
    x = np.array([-1.0, 0, 0.5, 10, 20, 20.5], np.float32).reshape(1, 2, 3, 1)
    result = Bands((0, 10, 20))(x).numpy().reshape(6, 2)
    np.testing.assert_array_equal(result, [[0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("layer", "channels"),
    [(Window(-1, 2), 1), (ZScore(-3), 1), (ImageNet(0, 9), 3), (Bands((0, 1, 2, 5)), 3)],
)
def test_a_saved_model_keeps_its_intensity(layer, channels, tmp_path):
    model = keras.Sequential([keras.Input((5, 6, 1)), layer])
    assert model.output_shape == (None, 5, 6, channels)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(values((5, 6))), model(values((5, 6))))


@pytest.mark.parametrize("layer", [Window, ImageNet])
@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (float("nan"), 1)])
def test_an_empty_window_is_refused(layer, bounds):
    with pytest.raises(ConfigError, match="low < high"):
        layer(*bounds)


@pytest.mark.parametrize("edges", [(), (1,), (1, 1), (2, 1), (0, 2, 1)])
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(ConfigError, match="ascending band edges"):
        Bands(edges)
