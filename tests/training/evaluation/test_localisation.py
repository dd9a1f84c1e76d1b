"""Maps laid on a grid, and how well they agree with masks: impulses and known values."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from heatmap_reference import reference_heatmap
from numpy.testing import assert_allclose
from scipy.ndimage import distance_transform_edt, zoom

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import heatmap
from vcam_training.evaluation.localisation import (
    THRESHOLDS,
    best_threshold,
    cell_distances,
    centre_error,
    energy_inside,
    heatmap_on_grid,
    overlap,
    peak_error,
    stretched_heatmap,
    weighted_centre,
    zoomed_heatmap,
)

LAYERS = {
    "line": CamLayer(name="a", cells=(5,), offset=(1.5,), stride=(4.0,)),
    "plane": CamLayer(name="b", cells=(4, 3), offset=(2.0, 3.5), stride=(3.0, 5.0)),
    "volume": CamLayer(name="c", cells=(4, 3, 5), offset=(3.5, 5, -0.5), stride=(2, 3, 4.5)),
}
SIZES = (12, 16, 20)
GRID = (8, 8, 8)


def box(low: tuple[int, ...], high: tuple[int, ...], grid: tuple[int, ...] = GRID) -> np.ndarray:
    mask = np.zeros(grid, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


@pytest.mark.parametrize("name", LAYERS)
def test_the_heatmap_is_that_of_the_graph(name: str) -> None:
    layer = LAYERS[name]
    grid = SIZES[: len(layer.cells)]
    rng = np.random.default_rng(0)
    for cam in (rng.normal(size=layer.cells), -rng.random(layer.cells), np.zeros(layer.cells)):
        cam = cam.astype(np.float32)
        placed = heatmap_on_grid(cam, grid, layer)
        assert (placed.dtype, placed.shape) == (np.float32, grid)
        assert_allclose(placed, heatmap(tf.constant(cam[None]), grid, layer)[0], atol=1e-6)
        assert_allclose(placed, reference_heatmap(cam, grid, layer), atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "grid"), [((4, 3), (12, 20)), ((7, 5), (9, 30)), ((6, 6), (4, 6))]
)
def test_the_stretched_heatmap_is_that_of_tf_image_resize(
    cells: tuple[int, int], grid: tuple[int, int]
) -> None:
    cam = np.random.default_rng(1).normal(size=cells).astype(np.float32)
    positive = np.maximum(cam, 0) / cam.max()
    expected = tf.image.resize(positive[..., None], grid, method="bilinear")[..., 0]
    assert_allclose(stretched_heatmap(cam, grid), expected, atol=1e-6)


@pytest.mark.parametrize(("cells", "grid"), [((3, 4), (9, 15)), ((2, 3, 4), (8, 9, 12))])
def test_the_zoomed_heatmap_is_that_of_scipy(cells: tuple[int, ...], grid: tuple[int, ...]) -> None:
    cam = np.random.default_rng(0).normal(size=cells).astype(np.float32)
    positive = np.maximum(cam, 0) / cam.max()
    factors = [g / c for g, c in zip(grid, cells, strict=True)]
    expected = zoom(positive, factors, order=1)
    assert_allclose(zoomed_heatmap(cam, grid), expected, atol=1e-6)


def test_stretching_moves_a_map_whose_cells_leave_the_rim_out() -> None:
    """Three cells at 6, 8 and 10 of 17 voxels; stretched they are at 2⅓, 8 and 13⅔."""
    layer = CamLayer(name="x", cells=(3,), offset=(6.0,), stride=(2.0,))
    cam, mask = np.array([0, 0, 1], np.float32), box((10,), (11,), (17,))
    assert peak_error(heatmap_on_grid(cam, (17,), layer), mask) == pytest.approx(0.5)
    assert peak_error(stretched_heatmap(cam, (17,)), mask) == pytest.approx((4 + 5 + 6) / 3)


def test_overlap_of_a_hand_made_case() -> None:
    shown = np.zeros((10, 10), np.float32)
    shown[:2, :4], shown[5, :6] = 0.6, 0.3
    mask = box((0, 0), (2, 8), (10, 10))
    found = overlap(shown, mask, 0.5)  # 8 marked, all in the mask of 16
    assert (found.dice, found.iou, found.marked) == (16 / 24, 8 / 16, 8)
    lower = overlap(shown, mask, 0.3)  # 14 marked
    assert (lower.dice, lower.iou, lower.marked) == (16 / 30, 8 / 22, 14)
    assert lower.dice_chance == pytest.approx(2 * 14 * 0.16 / 30)
    assert lower.iou_chance == pytest.approx(14 * 0.16 / (30 - 14 * 0.16))


def test_dice_by_chance_is_what_voxels_marked_at_random_reach() -> None:
    rng = np.random.default_rng(0)
    mask = box((1, 1, 1), (5, 5, 5))
    dice = []
    for _ in range(2000):
        shown = np.zeros(mask.size, np.float32)
        shown[rng.choice(mask.size, 100, replace=False)] = 1
        found = overlap(shown.reshape(GRID), mask, 0.5)
        dice.append(found.dice)
    assert found.dice_chance == pytest.approx(np.mean(dice), abs=4 * np.std(dice) / 2000**0.5)


def test_energy_is_the_share_of_the_heatmaps_sum() -> None:
    shown = np.array([[0.5, 1.0], [0.25, 0.25]], np.float32)
    assert energy_inside(shown, np.array([[True, False], [True, False]])) == 0.375
    assert energy_inside(np.zeros((2, 2), np.float32), np.ones((2, 2), bool)) == 0
    even = np.ones(GRID, np.float32)
    mask = box((0, 0, 0), (2, 3, 4))
    assert energy_inside(even, mask) == pytest.approx(mask.mean())


def test_the_best_threshold_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    heatmaps = [rng.random(GRID).astype(np.float32) ** 2 for _ in range(3)]
    masks = [shown + 0.5 * rng.random(GRID) > 0.9 for shown in heatmaps]
    dice = [
        np.mean([overlap(h, m, t).dice for h, m in zip(heatmaps, masks, strict=True)])
        for t in THRESHOLDS
    ]
    threshold, best = best_threshold(iter(heatmaps), iter(masks))
    assert best == pytest.approx(max(dice))
    assert threshold == pytest.approx(float(THRESHOLDS[np.argmax(dice)]))
    assert THRESHOLDS[0] < threshold < THRESHOLDS[-1]


@pytest.mark.parametrize("value", THRESHOLDS)
def test_a_voxel_at_the_threshold_is_marked(value: np.float32) -> None:
    """Where every voxel of the object has a threshold's value, and all others are lower."""
    mask = box((2, 2, 2), (4, 4, 4))
    shown = np.where(mask, value, np.float32(value - 0.04))
    threshold, dice = best_threshold([shown], [mask])
    assert (threshold, dice) == (pytest.approx(float(value)), 1)
    assert overlap(shown, mask, threshold).dice == 1


def test_of_equally_good_thresholds_the_middle() -> None:
    mask = box((2, 2, 2), (4, 4, 4))
    assert best_threshold([mask.astype(np.float32)], [mask]) == (0.5, 1.0)


def test_no_volume_to_choose_a_threshold_by() -> None:
    with pytest.raises(ConfigError, match="Give volumes that have an object"):
        best_threshold([], [])


def test_the_peaks_distance_by_the_distance_transform() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = rng.random(GRID) < 0.02
        mask[0, 0, 0] = True
        shown = rng.random(GRID).astype(np.float32) * 0.9
        at = tuple(rng.integers(8, size=3))
        shown[at] = 1
        assert peak_error(shown, mask) == pytest.approx(distance_transform_edt(~mask)[at])


def test_the_peaks_distance_of_several_peaks_and_of_none() -> None:
    mask = box((0,), (2,), (10,))
    two = np.zeros(10, np.float32)
    two[[1, 5]] = 1
    assert peak_error(two, mask) == (0 + 4) / 2
    assert peak_error(np.zeros(10, np.float32), mask) == np.inf


def test_the_weighted_centre_lies_where_the_cells_do() -> None:
    layer = LAYERS["plane"]
    for cell in product(*map(range, layer.cells)):
        cam = np.full(layer.cells, -5.0, np.float32)
        cam[cell] = 2
        expected = np.array(layer.offset) + np.array(layer.stride) * cell
        assert_allclose(weighted_centre(cam, layer), expected)
    cam = np.zeros(layer.cells, np.float32)
    cam[0, 1], cam[2, 1] = 1, 3
    assert_allclose(weighted_centre(cam, layer), (2 + 3 * 1.5, 8.5))
    assert weighted_centre(-cam, layer) is None


def test_the_centres_distance_is_counted_in_cells() -> None:
    layer = LAYERS["plane"]
    cam = np.zeros(layer.cells, np.float32)
    cam[1, 1] = 1  # at (5, 8.5)
    mask = box((2, 8), (3, 10), (12, 16))  # about (2, 8.5)
    assert centre_error(cam, layer, mask) == pytest.approx(1)
    assert centre_error(-cam, layer, mask) == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_cell_distances_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = CamLayer(name="x", cells=(3, 4, 5), offset=(2.5, 1.0, 0.5), stride=(3.0, 2.0, 2.0))
    mask = box((2, 3, 1), (6, 6, 5)) & (rng.random(GRID) < 0.4)
    found = cell_distances(mask, layer)
    for cell in product(*map(range, layer.cells)):
        centre = np.array(layer.offset) + np.array(layer.stride) * cell
        gaps = [np.maximum(np.abs(v - centre) - 0.5, 0) / layer.stride for v in np.argwhere(mask)]
        expected = min(np.linalg.norm(gap) for gap in gaps)
        if expected <= 1:
            assert found[cell] == pytest.approx(expected)
        else:
            assert found[cell] > 1


def test_a_cells_centre_within_half_a_voxel_is_inside() -> None:
    mask = box((2, 2, 2), (3, 3, 3))
    for offset, distance in ((2.0, 0.0), (2.5, 0.0), (3.0, 0.5 / 2 * np.sqrt(3)), (4.5, np.inf)):
        layer = CamLayer(name="x", cells=(1,) * 3, offset=(offset,) * 3, stride=(2.0,) * 3)
        found = float(cell_distances(mask, layer)[0, 0, 0])
        assert found == pytest.approx(distance) if np.isfinite(distance) else found > 1
