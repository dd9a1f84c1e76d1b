"""Masks and their regions, against SciPy and by brute force."""

import itertools

import numpy as np
import pytest
from client.predictions import AFFINES, SHEARED, impulse, prediction, scan, slices_spec
from scipy import ndimage

from vcam_client._components import components
from vcam_client.errors import InputError
from vcam_client.evidence import HEATMAP_STEP

TOUCHING = np.ones((3, 3, 3))
"""Faces, edges and corners."""


def listed(found) -> list[tuple]:
    parts = zip(
        found.voxels.tolist(),
        found.peaks.tolist(),
        map(tuple, found.lower.tolist()),
        map(tuple, found.upper.tolist()),
        strict=True,
    )
    return sorted(parts)


def reference(values: np.ndarray, level: int) -> list[tuple]:
    labels, count = ndimage.label(values >= level, TOUCHING)
    parts = []
    for n in range(1, count + 1):
        at = np.argwhere(labels == n)
        peak = int(values[labels == n].max())
        parts.append((len(at), peak, tuple(at.min(axis=0)), tuple(at.max(axis=0))))
    return sorted(parts)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3, 0.6, 1.0])
def test_components_are_those_of_scipy_in_every_storage_order(share: float) -> None:
    rng = np.random.default_rng(round(100 * share))
    for shape in ((7, 9, 11), (1, 6, 5), (6, 1, 5), (6, 5, 1), (1, 1, 8), (1, 1, 1)):
        values = rng.integers(1, 256, shape).astype(np.uint8) * (rng.random(shape) < share)
        values = values.astype(np.uint8)
        expected = reference(values, 100)
        for order in itertools.permutations(range(3)):
            stored = np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
            assert listed(components(stored, 100)) == expected
            turned = np.ascontiguousarray(stored[::-1, :, ::-1])[::-1, :, ::-1]
            assert listed(components(turned, 100)) == expected


def test_voxels_that_meet_at_a_corner_belong_together_and_no_line_wraps_around() -> None:
    values = np.zeros((3, 4, 5), np.uint8)
    values[0, 0, 4] = values[1, 1, 3] = 200  # corner
    assert listed(components(values, 200)) == [(2, 200, (0, 0, 3), (1, 1, 4))]
    values[:] = 0
    values[0, 0, 4] = values[0, 1, 0] = values[1, 3, 4] = values[2, 0, 0] = 200  # next in memory
    assert len(components(values, 200).voxels) == 4


def test_a_winding_component_is_one() -> None:
    values = np.zeros((2, 41, 41), np.uint8)
    values[0, ::2] = 255
    values[0, 1::4, -1] = values[0, 3::4, 0] = 255  # a snake through the rows
    assert listed(components(values, 1)) == reference(values, 1)
    assert len(components(values, 1).voxels) == 1


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_regions_have_the_bounds_volumes_and_peaks_of_the_mask(affine: np.ndarray) -> None:
    cam = impulse(0, 1, 1) + impulse(3, 3, 4, value=1.6) + impulse(3, 0, 5, value=1.2)
    made = prediction(cam, scan(affine))
    mask = made.mask(0.5)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, made.stored_heatmap >= 128)
    regions = made.regions(0.5)
    labels, count = ndimage.label(mask, TOUCHING)
    assert count >= 2
    assert len(regions.largest_first) == count
    sizes = [r.voxels for r in regions.largest_first]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == regions.voxels == mask.sum()
    assert regions.share == mask.mean()
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    assert regions.volume_mm3 == pytest.approx(mask.sum() * voxel_mm3)
    for region in regions.largest_first:
        at = np.argwhere(labels == _label_in(labels, region))
        assert region.lower == tuple(at.min(axis=0))
        assert region.upper == tuple(at.max(axis=0))
        assert region.voxels == len(at)
        assert region.volume_mm3 == pytest.approx(len(at) * voxel_mm3)
        peak = made.stored_heatmap[tuple(at.T)].max()
        assert region.peak == pytest.approx(peak * HEATMAP_STEP)
        low, high = _corners(affine, np.array(region.lower), np.array(region.upper))
        np.testing.assert_allclose(region.world_lower, low, atol=1e-9)
        np.testing.assert_allclose(region.world_upper, high, atol=1e-9)


def _label_in(labels: np.ndarray, region) -> int:
    """The label whose box is that of a region."""
    for n, box in enumerate(ndimage.find_objects(labels), start=1):
        if tuple(s.start for s in box) == region.lower and tuple(
            s.stop - 1 for s in box
        ) == region.upper and (labels == n).sum() == region.voxels:  # fmt: skip
            return n
    raise AssertionError(f"no component has the box of {region}")


def _corners(affine: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple:
    corners = []
    for pick in itertools.product((0, 1), repeat=3):
        index = np.where(pick, upper + 0.5, lower - 0.5)
        corners.append(affine[:3, :3] @ index + affine[:3, 3])
    return np.min(corners, axis=0), np.max(corners, axis=0)


def test_the_region_of_an_impulse_lies_where_its_cell_is() -> None:
    for affine in AFFINES.values():
        made = prediction(impulse(2, 2, 3), scan(affine))
        (region,) = made.regions(0.25).largest_first
        centre = (made.cam_affine @ [2, 2, 3, 1])[:3]
        np.testing.assert_allclose(made.evidence.world, centre, atol=1e-9)
        assert (np.array(region.world_lower) < centre).all()
        assert (centre < np.array(region.world_upper)).all()


def test_slices_of_a_2_d_model_have_regions_of_their_own() -> None:
    volume = scan()
    cam = np.zeros((volume.shape[2], 5, 6))
    cam[2, 2, 3], cam[6, 2, 3] = 2, 1.5
    regions = prediction(cam, volume, slices_spec()).regions(0.5).largest_first
    assert [(r.lower[2], r.upper[2]) for r in regions] == [(2, 2), (6, 6)]


def test_no_evidence_has_an_empty_mask_and_no_regions() -> None:
    made = prediction(impulse(1, 1, 1, value=-3))
    assert not made.mask(0.001).any()
    regions = made.regions(0.001)
    assert (regions.voxels, regions.volume_mm3, regions.largest_first) == (0, 0.0, ())


@pytest.mark.parametrize("threshold", [0, -0.1, 1.001, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=r"above 0 and up to 1, received"):
        prediction(impulse(1, 1, 1)).regions(threshold)


def test_the_threshold_1_is_the_strongest_and_steps_count_exactly() -> None:
    made = prediction(impulse(1, 1, 1), scan(SHEARED))
    for step in (1, 51, 128, 255):
        np.testing.assert_array_equal(made.mask(step / 255), made.stored_heatmap >= step)


def test_nothing_in_millimetres_where_the_spacing_is_unknown() -> None:
    made = prediction(impulse(1, 1, 1), scan(spacing_known=False))
    regions = made.regions(0.5)
    assert regions.volume_mm3 is None
    assert regions.largest_first[0].world_lower is None
    assert made.cam_affine is None
