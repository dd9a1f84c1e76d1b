"""Maps on the scan's grid and on the model's, signed maps, and where cells lie."""

import dataclasses
import io
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from client.predictions import (
    AFFINES,
    CELLS,
    GRID,
    LAYER,
    impulse,
    prediction,
    scan,
    slices_spec,
    spec,
)
from heatmap_reference import reference_heatmap
from PIL import Image

from vcam_client import Prediction, Volume
from vcam_client._outlines import SEEN, STRONG, TRUE, draw_around
from vcam_client._overlay import Shown, _views, overlay_png
from vcam_client.results import Choices
from vcam_client.spec import Activation, ExplainDefault, Fit, Grid
from vcam_client.truth import Truth

RANDOM = np.random.default_rng(5).normal(size=CELLS)


def with_reference(maximum: float):
    return spec(cam_layers=(dataclasses.replace(LAYER, reference_maximum=maximum),))


def regression():
    return spec(
        labels=("porosity",),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="%",
    )


def test_the_heatmap_on_the_model_s_grid_is_the_contract_s() -> None:
    layer = dataclasses.replace(LAYER, offset=(1.5, 0.25, 2.0), stride=(1.5, 2.25, 1.75))
    for model in (spec(), spec(cam_layers=(layer,))):
        made = prediction(RANDOM, model=model)
        expected = reference_heatmap(made.cam, GRID, model.default_layer)
        heat = made.heatmap_on_model_grid()
        assert heat.dtype == np.float32
        np.testing.assert_allclose(heat, expected, atol=1e-6)
        assert (expected == 0).any()


def test_the_heatmap_of_slices_on_the_model_s_grid_is_that_of_each() -> None:
    volume = scan()
    cam = np.random.default_rng(2).normal(size=(volume.shape[2], 5, 6))
    made = prediction(cam, volume, slices_spec())
    heat = made.heatmap_on_model_grid()
    assert heat.shape == (volume.shape[2], *GRID[1:])
    for plane, cells in zip(heat, made.cam, strict=True):
        alone = reference_heatmap(cells, GRID[1:], made.spec.default_layer)
        np.testing.assert_allclose(plane, alone * cells.max() / made.cam.max(), atol=1e-6)


def test_without_evidence_the_heatmap_is_0_on_either_grid() -> None:
    made = prediction(impulse(1, 1, 1), model=with_reference(100))
    assert not made.heatmap_on_model_grid().any()
    assert not made.stored_heatmap.any()


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("cell", [(1, 2, 2), (2, 2, 3), (1, 2, 4)])
def test_the_cam_affine_says_where_the_heat_is(
    affine: np.ndarray, cell: tuple[int, int, int]
) -> None:
    """The heat of one cell is a symmetric bump: its centre of mass is the cell's centre."""
    volume = scan(affine, shape=(60, 54, 50))
    made = prediction(impulse(*cell), volume)
    heat = made.heatmap().astype(np.float64)
    mass = np.tensordot(np.indices(volume.shape), heat, 3) / heat.sum()
    centre = affine[:3, :3] @ mass + affine[:3, 3]
    said = (made.cam_affine @ [*cell, 1])[:3]
    assert np.linalg.norm(centre - said) < 0.05 * min(volume.spacing)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_the_cam_affine_is_where_the_evidence_is(affine: np.ndarray) -> None:
    made = prediction(RANDOM, scan(affine))
    world = (made.cam_affine @ [*made.evidence.cell, 1])[:3]
    np.testing.assert_allclose(made.evidence.world, world, atol=1e-9)


def test_storage_order_changes_no_map_s_values() -> None:
    plain = prediction(RANDOM, scan())
    data = plain.volume.data
    turned = Volume(
        data=np.ascontiguousarray(data.transpose(2, 0, 1)[:, ::-1]),
        affine=plain.volume.affine
        @ np.array([[0, -1, 0, data.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]),
        units="HU",
    )
    other = prediction(RANDOM, turned)
    for name in ("stored_heatmap", "stored_signed_map"):
        there = getattr(other, name)[:, ::-1].transpose(1, 2, 0)
        np.testing.assert_array_equal(there, getattr(plain, name))
    np.testing.assert_allclose(other.cam_affine, plain.cam_affine, atol=1e-9)
    bounds = [(r.world_lower, r.world_upper) for r in plain.regions(0.4).largest_first]
    there = [(r.world_lower, r.world_upper) for r in other.regions(0.4).largest_first]
    np.testing.assert_allclose(sorted(there), sorted(bounds), atol=1e-9)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_signed_map_keeps_the_sign_and_is_relative_to_the_largest_magnitude(
    affine: np.ndarray,
) -> None:
    volume = scan(affine)
    for cam in (RANDOM, -RANDOM):
        made, negated = prediction(cam, volume), prediction(-cam, volume)
        signed = made.signed_map()
        assert -1 <= signed.min() < 0 < signed.max() <= 1
        np.testing.assert_allclose(signed, -negated.signed_map(), atol=1e-6)
        largest = np.abs(cam).max()
        # linear: it is the difference of the maps of either sign
        for sign, part in ((1, cam), (-1, -cam)):
            alone = prediction(np.maximum(part, 0), volume).heatmap() * part.max() / largest
            signed = signed - sign * alone
        np.testing.assert_allclose(signed, 0, atol=1e-6)


def test_a_stored_signed_map_is_the_signed_map_in_steps(tmp_path: Path) -> None:
    made = prediction(RANDOM)
    stored = made.stored_signed_map
    assert stored.dtype == np.int8
    np.testing.assert_allclose(stored / 127, made.signed_map(), atol=0.5 / 127 + 1e-6)
    image = nib.load(made.to_nifti(tmp_path / "map.nii.gz", signed=True))
    assert image.get_data_dtype() == np.int8
    assert image.header["cal_min"] == -1
    np.testing.assert_allclose(image.get_fdata(), made.signed_map(), atol=0.5 / 127 + 1e-6)
    np.testing.assert_array_equal(image.affine, made.volume.affine)


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [(-5, 2, (-1, 0.4)), (-0.3, 2, (0, 1)), (-5, 0.3, (-1, 0)), (-0.3, 0.3, (0, 0))],
)
def test_a_sign_that_is_no_evidence_is_0(
    low: float, high: float, kept: tuple[float, float]
) -> None:
    cam = impulse(1, 1, 1, value=low) + impulse(2, 3, 4, value=high)
    made = prediction(cam, scan(shape=(48, 40, 32)), with_reference(1.0))  # a third is none
    signed = made.signed_map()
    np.testing.assert_allclose((signed.min(), signed.max()), kept, atol=0.2)
    assert (signed.min() < 0) == (kept[0] < 0)
    assert (signed.max() > 0) == (kept[1] > 0)


def test_a_regression_is_centred_on_0() -> None:
    made = prediction(-np.abs(RANDOM), model=regression(), scores=np.array([12.5]))
    assert not made.stored_heatmap.any()
    assert made.stored_signed_map.min() < -100
    assert made.stored_signed_map.max() < 0  # nowhere raised to the middle of a scale


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture))).astype(int)


def colourful(picture: bytes) -> np.ndarray:
    values = pixels(picture)
    return values.max(axis=2) - values.min(axis=2) > 40


def test_signed_pictures_are_orange_for_and_blue_against() -> None:
    made = prediction(impulse(1, 1, 1) + impulse(3, 3, 4, value=-2), scan(shape=(48, 40, 32)))
    values = pixels(overlay_png(made, signed=True))[62:-44]
    warm, cold = values[..., 0] - values[..., 2] > 60, values[..., 2] - values[..., 0] > 60
    assert warm.sum() > 200
    assert cold.sum() > 200
    only = pixels(overlay_png(prediction(impulse(1, 1, 1), made.volume), signed=True))[62:-44]
    assert not (only[..., 2] - only[..., 0] > 60).any()


@pytest.mark.parametrize("signed", [False, True])
def test_without_evidence_no_pixel_has_a_colour(signed: bool) -> None:
    cam = impulse(1, 1, 1, value=0.3) - impulse(2, 2, 2, value=0.3)
    made = prediction(cam, model=with_reference(1.0))
    assert not colourful(overlay_png(made, signed=signed, threshold=0.5)).any()
    assert colourful(overlay_png(prediction(cam), signed=signed, threshold=0.5)).any()


def test_a_signed_map_without_anything_against_says_so_in_words() -> None:
    from vcam_client._text import describe_predictions

    text = describe_predictions([prediction(np.abs(RANDOM))], Choices(signed=True))
    assert "\n  against  nothing in the map contradicts the class\n" in f"{text}\n"


def test_the_legend_compares_the_strongest_cell_with_a_true_positive() -> None:
    from vcam_client._overlay import _legend_text

    made = prediction(impulse(1, 1, 1, value=0.86), model=with_reference(1.0))
    assert _legend_text(made, Shown()) == (
        "evidence for lesion, relative to its strongest cell, 86% as strong as in a typical "
        "true positive"
    )


def test_a_signed_picture_of_what_speaks_against_says_that_nothing_speaks_for() -> None:
    from vcam_client._overlay import _legend_text

    against, both = prediction(-np.abs(RANDOM)), prediction(RANDOM)
    assert _legend_text(against, Shown(signed=True)).startswith("no evidence for lesion; blue")
    assert _legend_text(against, Shown()) == against.no_evidence
    assert "orange speaks for lesion, blue speaks against" in _legend_text(both, Shown(signed=True))
    values = pixels(overlay_png(against, signed=True))[62:-44]
    assert (values[..., 2] - values[..., 0] > 60).any()
    assert not (values[..., 0] - values[..., 2] > 60).any()


def seen_model():
    return spec(grid=Grid(shape=GRID, fit=Fit.SPACING, spacing_mm=(2, 2, 1.5), padding_value=-1000))


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_what_the_model_saw_is_outlined_where_a_level_map_is_not_0(affine: np.ndarray) -> None:
    layer = dataclasses.replace(LAYER, cells=GRID, offset=(0, 0, 0), stride=(1, 1, 1))
    model = dataclasses.replace(seen_model(), cam_layers=(layer,))
    cam = np.linspace(1, 1.1, math.prod(GRID)).reshape(GRID)
    made = prediction(cam, scan(affine, shape=(20, 18, 16)), model)
    assert 0 < (made.stored_heatmap > 0).mean() < 1
    views = _views(made)
    assert any((view.heat > 0).any() for view in views)
    for view in views:
        ((_, seen),) = view.parts
        np.testing.assert_array_equal(seen, view.heat > 0)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_the_truth_and_the_threshold_are_outlined_in_their_places(affine: np.ndarray) -> None:
    cam = impulse(1, 1, 1) + impulse(1, 3, 4, value=1.5) + impulse(3, 1, 4, value=1.2)
    made = prediction(cam, scan(affine))
    truth = Truth(mask=made.stored_heatmap >= 100)
    views = _views(made, Shown(threshold=128 / 255, truth=truth))
    assert sum((view.heat >= 128).any() for view in views) >= 3
    for view in views:
        (_, true), (_, strong) = view.parts
        np.testing.assert_array_equal(true, view.heat >= 100)
        np.testing.assert_array_equal(strong, view.heat >= 128)


def test_a_slice_with_the_truth_is_shown_where_the_evidence_lies_elsewhere() -> None:
    volume = scan(shape=(24, 20, 40))
    made = prediction(impulse(3, 2, 2), volume)  # far up
    mask = np.zeros(volume.shape, bool)
    mask[2:5, 3:6, 1:3] = mask[2:6, 3:8, 2] = True
    titles = [view.title for view in _views(made, Shown(truth=Truth(mask=mask)))]
    assert "axial k = 2" in titles
    assert "axial k = 2" not in [view.title for view in _views(made)]


def test_lines_have_their_colours_in_the_picture_and_the_legend() -> None:
    made = prediction(RANDOM, scan(shape=(48, 40, 32)), seen_model())
    mask = made.stored_heatmap > 60
    picture = pixels(overlay_png(made, threshold=0.4, truth=Truth(mask=mask)))
    for line in (SEEN, TRUE, STRONG):
        alike = (picture == line.colour).all(axis=2)
        assert alike[:-44].sum() > 20
        assert alike[-24:].sum() > 10
    plain = pixels(overlay_png(made))
    assert not (plain == TRUE.colour).all(axis=2).any()


def test_a_scan_that_is_seen_whole_has_no_outline() -> None:
    assert all(not view.parts for view in _views(prediction(RANDOM)))


def test_outlines_never_cover_what_they_enclose() -> None:
    part = np.zeros((20, 30), bool)
    part[5:9, 10:14] = part[15:, :4] = True
    for line in (TRUE, STRONG):
        before = np.full((20, 30, 3), 77, np.float32)
        after = before.copy()
        draw_around(after, part, line)
        np.testing.assert_array_equal(after[part], before[part])
        ring = (after == line.colour).all(axis=2)
        assert ring.sum() >= 10
        assert not ring[16:, :4].any()


def test_a_released_map_is_computed_again() -> None:
    made: Prediction = prediction(RANDOM)
    first = made.stored_heatmap
    assert made.stored_heatmap is first
    made.release()
    again = made.stored_heatmap
    assert again is not first
    np.testing.assert_array_equal(again, first)
