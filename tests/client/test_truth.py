"""Comparing a map with a mask, by brute force."""

import dataclasses
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from client.predictions import AFFINES, PLAIN, impulse, prediction, scan, slices_spec

from vcam_client import Volume
from vcam_client.errors import InputError
from vcam_client.truth import Truth

CAM = np.random.default_rng(8).normal(size=(4, 5, 6))


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> np.ndarray:
    grid = np.indices(shape).reshape(3, -1).T
    return (((grid - centre) ** 2).sum(axis=1) <= radius**2).reshape(shape)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("centre", [(3, 3, 3), (10, 6, 7), (13, 11, 9)])
def test_every_figure_is_that_of_brute_force(
    affine: np.ndarray, centre: tuple[int, int, int]
) -> None:
    made = prediction(CAM, scan(affine))
    true = ball(made.volume.shape, centre, 2.5)
    found = made.agreement(Truth(mask=true), 0.3)
    heat, mask = made.stored_heatmap.astype(float), made.stored_heatmap / 255 >= 0.3
    both, share = (mask & true).sum(), true.mean()
    assert found.dice == pytest.approx(2 * both / (mask.sum() + true.sum()))
    assert found.iou == pytest.approx(both / (mask | true).sum())
    assert found.energy == pytest.approx(heat[true].sum() / heat.sum())
    assert found.chance == share
    assert found.truth_voxels == true.sum()
    assert found.truth_volume_mm3 == pytest.approx(true.sum() * abs(np.linalg.det(affine[:3, :3])))
    at = np.array(made.evidence.voxel)
    inside = bool(true[tuple(np.rint(at).astype(int))])
    assert found.pointing is inside
    apart = np.linalg.norm((np.argwhere(true) - at) @ affine[:3, :3].T, axis=1).min()
    assert found.distance_mm == pytest.approx(0 if inside else apart)


def test_pointing_is_both_right_and_wrong_at_times() -> None:
    made = prediction(impulse(1, 2, 3))
    there = tuple(round(v) for v in made.evidence.voxel)
    assert made.agreement(Truth(mask=ball(made.volume.shape, there, 1)), 0.5).pointing is True
    away = made.agreement(Truth(mask=ball(made.volume.shape, (0, 0, 0), 1)), 0.5)
    assert away.pointing is False
    assert away.distance_mm > 5


def test_the_chance_of_dice_is_what_masks_anywhere_reach() -> None:
    made = prediction(CAM)
    rng = np.random.default_rng(0)
    true = ball(made.volume.shape, (5, 5, 5), 3)
    mask = made.mask(0.3).ravel().copy()
    reached = []
    for _ in range(2000):
        rng.shuffle(mask)
        reached.append(2 * (mask.astype(bool) & true.ravel()).sum() / (mask.sum() + true.sum()))
    said = made.agreement(Truth(mask=true), 0.3).dice_chance
    assert said == pytest.approx(np.mean(reached), rel=0.05)


def test_an_empty_mask_is_said_so_and_no_evidence_points_nowhere() -> None:
    empty = Truth(mask=np.zeros(scan().shape, bool))
    found = prediction(CAM).agreement(empty, 0.5)
    assert (found.dice, found.iou, found.pointing, found.energy, found.distance_mm) == (None,) * 5
    assert found.chance == 0
    true = Truth(mask=ball(scan().shape, (5, 5, 5), 2))
    none = prediction(-np.abs(CAM)).agreement(true, 0.5)
    assert (none.dice, none.iou, none.dice_chance) == (0, 0, 0)
    assert (none.pointing, none.energy, none.distance_mm) == (None, None, None)


def test_the_strongest_cell_of_a_slice_model_is_compared_in_its_slice() -> None:
    volume = scan()
    cam = np.zeros((volume.shape[2], 5, 6))
    cam[4, 2, 3] = 1
    made = prediction(cam, volume, slices_spec())
    mask = np.zeros(volume.shape, bool)
    mask[:, :, 6] = True
    i, j, k = made.evidence.voxel
    assert k == 4
    across = np.hypot(2.0 * (i - round(i)), 2.5 * (j - round(j)))  # to the closest voxel's centre
    said = made.agreement(Truth(mask=mask), 0.5).distance_mm
    assert said == pytest.approx(np.hypot(across, 2 * 3.0))


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_mask_on_the_scan_s_grid_is_taken_as_it_is(tmp_path: Path, dtype: type) -> None:
    volume = scan()
    data = (3 * ball(volume.shape, (5, 5, 5), 3)).astype(dtype)
    nudged = PLAIN.copy()
    nudged[0, 3] += 4e-4
    truth = Truth.read(write(tmp_path / "mask.nii.gz", data, nudged), volume)
    np.testing.assert_array_equal(truth.mask, data != 0)
    assert truth.remarks == ()
    assert truth.voxels == np.count_nonzero(data)


def test_a_mask_on_another_grid_is_taken_to_the_nearest_voxel(tmp_path: Path) -> None:
    volume = scan(AFFINES["oblique"])
    affine = np.array([[-1.7, 0.2, 0, 36], [0, 1.1, 0, -25], [0.1, 0, 2.1, -3], [0, 0, 0, 1]])
    data = np.random.default_rng(3).integers(0, 2, (16, 24, 17)).astype(np.uint8)
    truth = Truth.read(write(tmp_path / "mask.nii.gz", data, affine), volume)
    expected = np.zeros(volume.shape, bool)
    inverse = np.linalg.inv(affine.astype(np.float32).astype(float))
    for index in np.ndindex(volume.shape):
        at = inverse @ volume.affine @ [*index, 1]
        near = np.floor(at[:3] + 0.5).astype(int)
        if (near >= 0).all() and (near < data.shape).all():
            expected[index] = data[tuple(near)]
    assert 0.05 < expected.mean() < 0.5
    assert (truth.mask != expected).mean() < 1e-3  # float32 of the file's affine
    (remark,) = truth.remarks
    assert "16×24×17 voxels" in remark
    assert "nearest voxel" in remark


def test_the_same_mask_in_another_storage_order_agrees_alike(tmp_path: Path) -> None:
    volume = scan()
    made = prediction(CAM, volume)
    data = ball(volume.shape, (5, 6, 4), 3).astype(np.uint8)
    flipped = PLAIN @ np.array(
        [[-1, 0, 0, volume.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    plain = Truth.read(write(tmp_path / "a.nii.gz", data, PLAIN), volume)
    turned = Truth.read(write(tmp_path / "b.nii.gz", data[::-1], flipped), volume)
    np.testing.assert_array_equal(turned.mask, plain.mask)
    assert made.agreement(turned, 0.5) == made.agreement(plain, 0.5)


def test_a_mask_beside_the_scan_is_refused_with_both_places(tmp_path: Path) -> None:
    away = PLAIN.copy()
    away[0, 3] = 500
    path = write(tmp_path / "mask.nii.gz", np.ones((5, 5, 5), np.uint8), away)
    with pytest.raises(InputError, match=r"mask spans 500 to 508, .*, the scan 0 to 26, "):
        Truth.read(path, scan())


def test_a_mask_without_a_place_must_have_the_scan_s_shape(tmp_path: Path) -> None:
    volume = scan(spacing_known=False)
    data = ball(volume.shape, (5, 5, 5), 3)
    other = Volume(data=data.astype(np.uint8), affine=np.eye(4), spacing_known=False, name="m")
    truth = Truth.on_scan(other, volume)
    np.testing.assert_array_equal(truth.mask, data)
    assert "voxel by voxel" in truth.remarks[0]
    smaller = dataclasses.replace(other, data=other.data[:-1])
    with pytest.raises(InputError, match=r"the scan's 14×12×10 voxels, received m with 13×12×10"):
        Truth.on_scan(smaller, volume)


def test_nan_marks_nothing() -> None:
    data = np.full(scan().shape, np.nan, np.float32)
    data[1, 2, 3] = 1
    truth = Truth.on_scan(Volume(data=data, affine=PLAIN), scan())
    assert np.argwhere(truth.mask).tolist() == [[1, 2, 3]]
