"""Rank correlations, and maps whose answer is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from vcam_client.spec import CamLayer, Explanation
from vcam_training.trust.controls import edge_maps, noisy_maps, shuffled_cells
from vcam_training.trust.silence import without_evidence
from vcam_training.trust.similarity import rank_correlations

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("decimals", [1, 6])  # with many ties, with none
def test_as_scipy_says(decimals: int) -> None:
    a, b = (RNG.normal(size=(5, 3, 4, 2)).round(decimals) for _ in range(2))
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    assert_allclose(rank_correlations(a, b), expected, atol=1e-12)


def test_a_map_is_like_itself_and_unlike_its_negative() -> None:
    maps = RNG.normal(size=(3, 4, 4))
    assert_allclose(rank_correlations(maps, maps), 1)
    assert_allclose(rank_correlations(maps, -maps), -1)
    assert_allclose(rank_correlations(maps, np.exp(maps)), 1)  # ranks alone count


def test_constant_maps_are_like_nothing() -> None:
    maps = RNG.normal(size=(4, 4, 4)).astype(np.float32)
    flat = np.stack([np.zeros((4, 4)), np.full((4, 4), 7.0), -np.ones((4, 4)), maps[0]])
    flat[1, 0, 0] += 7e-7  # rounding
    assert_allclose(rank_correlations(maps, flat)[:3], 0)
    assert_allclose(rank_correlations(flat, flat), [0, 0, 0, 1], atol=1e-12)


def test_edges_are_where_brightness_changes(region_model, spec_of) -> None:
    image = np.zeros((1, 8, 8), np.float32)
    image[:, :, 4:] = 1
    (edges,) = edge_maps(image, spec_of(region_model).cam_layers[0], spec_of(region_model))
    assert_allclose(edges[:, 3:5], 0.5)  # the slope of a step, by central differences
    assert_allclose(np.delete(edges, [3, 4], axis=1), 0)


def test_edges_beyond_the_window_are_not_seen(region_model, spec_of) -> None:
    image = np.ones((1, 8, 8), np.float32)
    image[:, :, 4:] = 9
    spec = spec_of(region_model)
    assert not edge_maps(image, spec.cam_layers[0], spec).any()


def test_edges_are_averaged_onto_coarse_cells(weightless_model, spec_of) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32), (1, 16, 16))
    spec = spec_of(weightless_model)
    layer: CamLayer = spec.cam_layers[0]
    assert layer.cells == (8, 8)
    assert_allclose(edge_maps(ramp, layer, spec), 1 / 15, atol=1e-6)


def test_noise_is_a_twentieth_of_the_maps_own_deviation() -> None:
    maps = RNG.normal(size=(2, 100, 100)).astype(np.float32) * np.array([1, 50])[:, None, None]
    noise = noisy_maps(maps, np.random.default_rng(1)) - maps
    assert_allclose(noise.std(axis=(1, 2)) / maps.std(axis=(1, 2)), 0.05, rtol=0.05)
    assert not noisy_maps(np.zeros((1, 3, 3), np.float32), np.random.default_rng(1)).any()


def test_shuffled_cells_are_the_same_cells() -> None:
    cam = np.arange(24.0).reshape(2, 3, 4)
    shuffled = shuffled_cells(cam, np.random.default_rng(0))
    assert shuffled.shape == cam.shape
    assert not np.array_equal(shuffled, cam)
    assert np.array_equal(np.sort(shuffled.ravel()), cam.ravel())


def test_a_map_at_the_level_is_no_evidence() -> None:
    cells = np.zeros((4, 2, 2), np.float32)
    cells[:, 0, 0] = -1, 0, 2, 2.5
    level = Explanation(signature="gradcam", method="gradcam", layer="x", evidence_minimum=2.0)
    assert without_evidence(cells, level).tolist() == [True, True, True, False]
    typical = Explanation(signature="gradcam", method="gradcam", layer="x", reference_maximum=7.2)
    assert without_evidence(cells, typical).tolist() == [True, True, True, False]  # a third: 2.4
