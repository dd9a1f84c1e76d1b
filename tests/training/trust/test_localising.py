"""Maps and masks of known agreement."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from vcam_client.spec import CamLayer
from vcam_training.data.dataset import Split
from vcam_training.trust.cases import Cases, negative_cases, positive_cases
from vcam_training.trust.figures import DICE, LEAST_LARGE, NEAR, localisation_figures
from vcam_training.trust.localising import (
    PEERS,
    PLACED,
    equivalent_radius,
    is_large,
    localise,
    thresholds,
)

GRID = (16, 16)
LAYER = CamLayer(name="x", cells=(3, 3), offset=(5.5, 5.5), stride=(2.0, 2.0))
"""Cells of 2² pixels about the middle: 5-6, 7-8 and 9-10 along each axis."""


def cases(*masks: np.ndarray) -> Cases:
    stacked = np.stack(masks)
    return Cases(
        volumes=stacked.astype(np.float32),
        classes=np.ones(len(masks), np.int32),
        masks=stacked,
        numbers=np.arange(len(masks)),
    )


def box(low: int, high: int, size: tuple[int, ...] = GRID) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[tuple(slice(low, high) for _ in size)] = True
    return mask


def one_cell(i: int, j: int) -> np.ndarray:
    cam = np.zeros((3, 3), np.float32)
    cam[i, j] = 2
    return cam


def test_known_masks_give_known_figures() -> None:
    mask = box(7, 9)  # the middle cell
    maps = np.stack([one_cell(1, 1), one_cell(0, 1), one_cell(0, 0), np.zeros((3, 3))])
    found = localise(cases(*[mask] * 4), maps, LAYER, cuts=dict.fromkeys((PLACED, *PEERS), 1.0))
    # from (5.5, 7.5) to the edge of the voxel at 7: 1 voxel, half a cell
    assert_allclose(found.distance, [0, 0.5, np.sqrt(0.5), np.inf])
    assert_allclose(found.chance_inside, 1 / 9)
    assert_allclose(found.chance_near, 1)
    assert_allclose(found.centre[:2], [0, 1])
    assert np.isinf(found.centre[3])
    assert_allclose(found.centre_chance, 5 / 9)
    assert_allclose(found.ceiling, found.ceiling[0])
    assert_allclose(found.energy_chance, 4 / 256)
    assert found.dice[3] == found.energy[3] == 0
    assert found.peak_error[0] == 0
    assert np.isinf(found.peak_error[3])


def test_a_stretched_map_is_beside_its_object() -> None:
    mask = box(5, 7)  # the first cell; stretched over 16 pixels it lies at 0 … 5
    found = localise(
        cases(mask), one_cell(0, 0)[None], LAYER, cuts=dict.fromkeys((PLACED, *PEERS), 0.5)
    )
    assert found.peak_error[0] == 0
    # equally strong are the pixels 0 … 2 along each axis, up to the cell's centre at 2.17
    apart = [np.hypot(5 - i, 5 - j) for i in range(3) for j in range(3)]
    stretched, zoomed = (found.peers[name] for name in PEERS)
    assert stretched.peak_error[0] == pytest.approx(np.mean(apart))
    assert found.dice[0] > stretched.dice[0]
    # zoomed, the strongest pixel is the corner
    assert zoomed.peak_error[0] == pytest.approx(np.hypot(5, 5))
    assert found.dice[0] > zoomed.dice[0]


def test_thresholds_are_of_the_best_mean_dice() -> None:
    chosen = thresholds(
        cases(box(7, 9), np.zeros(GRID, bool)), np.stack([one_cell(1, 1)] * 2), LAYER
    )
    assert chosen is not None
    # 0.75² on the cell's own pixels, 0.75 · 0.25 beside them
    assert 0.75 * 0.25 < chosen[PLACED] <= 0.75**2
    assert thresholds(cases(np.zeros(GRID, bool)), one_cell(0, 0)[None], LAYER) is None


def test_the_radius_of_as_many_voxels() -> None:
    assert equivalent_radius(box(0, 10, (20, 20))) == pytest.approx(np.sqrt(100 / np.pi))
    assert equivalent_radius(box(0, 10, (20, 20, 20))) == pytest.approx((750 / np.pi) ** (1 / 3))


def test_large_objects_lie_where_there_are_cells() -> None:
    layer = CamLayer(name="x", cells=(6, 6), offset=(10.0, 10.0), stride=(4.0, 4.0))
    size = (40, 40)  # cells reach from 8 to 32
    assert is_large(box(10, 30, size), layer)
    assert is_large(box(8, 33, size), layer)
    assert not is_large(box(7, 30, size), layer)  # sticks out
    assert not is_large(box(10, 34, size), layer)
    assert not is_large(box(10, 27, size), layer)  # 17² pixels are as many as of radius 9.6


def test_large_objects_get_rows_of_their_own_if_there_are_enough() -> None:
    layer = CamLayer(name="x", cells=(6, 6), offset=(10.0, 10.0), stride=(4.0, 4.0))
    large, small = box(10, 30, (40, 40)), box(10, 14, (40, 40))
    maps = np.zeros((LEAST_LARGE + 1, 6, 6), np.float32)
    maps[:, 2, 2] = 1
    maps[-1] = 0
    maps[-1, 5, 5] = 1  # the small one is missed
    for count in (LEAST_LARGE, LEAST_LARGE - 1):
        given = cases(*[large] * count, small)
        located = localise(
            given, maps[-count - 1 :], layer, cuts=dict.fromkeys((PLACED, *PEERS), 0.5)
        )
        rows = {figure.name: figure for figure in localisation_figures(located)}
        sized = [name for name in rows if "radius" in name]
        if count < LEAST_LARGE:
            assert not sized
            continue
        assert len(sized) == 2
        assert rows[NEAR].value == pytest.approx(count / (count + 1))
        assert rows[sized[0]].value == 1
        assert rows[sized[1]].value == pytest.approx(located.dice[0])
        assert rows[DICE].count == count + 1
        assert rows[sized[1]].count == count


def test_whom_maps_are_explained_to() -> None:
    labels = np.array([0, 1, 0, 1], np.int32)
    volumes = np.arange(4 * 4, dtype=np.float32).reshape(4, 2, 2)
    masks = np.zeros(volumes.shape, bool)
    masks[3, 0, 0] = True
    split = Split(volumes=volumes, labels=labels, masks=masks)
    positive, negative = positive_cases(split, 2), negative_cases(split, 2)
    assert (positive.numbers.tolist(), positive.classes.tolist()) == ([3], [1])
    assert (negative.numbers.tolist(), negative.classes.tolist()) == ([0, 2], [1, 1])
    bare = Split(volumes=volumes, labels=labels, masks=np.zeros_like(masks))
    assert positive_cases(bare, 2).numbers.tolist() == [1, 3]
    # where each class has objects, a scan is a negative of the other class
    both = Split(volumes=volumes, labels=labels, masks=np.ones_like(masks))
    assert positive_cases(both, 2).classes.tolist() == labels.tolist()
    assert negative_cases(both, 2).classes.tolist() == (1 - labels).tolist()


def test_a_sample_is_drawn_once_for_a_seed() -> None:
    many = cases(*[box(0, 2)] * 30)
    first, same, other = (many.sample(8, seed).numbers.tolist() for seed in (1, 1, 2))
    assert first == same == sorted(set(first))
    assert len(first) == 8
    assert first != other
    assert many.sample(30, 1) is many
