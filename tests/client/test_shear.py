"""Scans whose axes are not perpendicular, against known world positions and brute force."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from vcam_client import Placement, Volume, place, to_model_grid
from vcam_client._shear import TOLERANCE_DEG
from vcam_client.spec import CamLayer, Fit, Grid, Resampling, SliceAggregation

SHAPE = (40, 36, 22)
SPACING = np.diag([-0.9, -0.8, 2.4])

LEANS = {
    "gantry tilt": {(1, 2): 0.8},
    "tilt and swivel": {(1, 2): -0.7, (0, 2): 0.5},
    "leaning rows": {(0, 1): 0.15},
    "everything": {(0, 1): 0.15, (1, 2): 0.8, (0, 2): -0.6},
}
"""Millimetres added to the affine, by world axis and stored axis."""

GRIDS = {
    "stretch": Grid(shape=(18, 20, 24)),
    "spacing": Grid(shape=(18, 20, 24), fit=Fit.SPACING, spacing_mm=(2.6, 1.6, 1.4)),
    "area": Grid(shape=(18, 20, 24), resampling=Resampling.AREA),
    "right first": Grid(shape=(20, 21, 17), axes=("R", "A", "S")),
}

every_lean = pytest.mark.parametrize("lean", LEANS)
every_grid = pytest.mark.parametrize("grid", GRIDS)


def affine(lean: str) -> np.ndarray:
    columns = SPACING.copy()
    for at, mm in LEANS[lean].items():
        columns[at] += mm
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = columns, (31, -12, 55)
    return matrix


def world_of_voxels(matrix: np.ndarray) -> np.ndarray:
    """float64 [3, *SHAPE], millimetres."""
    index = np.indices(SHAPE).reshape(3, -1)
    return (matrix[:3, :3] @ index + matrix[:3, 3:]).reshape(3, *SHAPE)


def voxels_of(placement: Placement) -> CamLayer:
    shape = tuple(axis.model_size for axis in placement.axes)
    return CamLayer(name="voxels", cells=shape, offset=(0.0,) * 3, stride=(1.0,) * 3)


def model_to_scan(placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Scan index of the model's origin, and [3, 3] its steps."""
    layer = voxels_of(placement)
    ends = [placement.cell_on_scan(tuple(m), layer) for m in (np.zeros(3), *np.eye(3))]
    return np.array(ends[0]), (np.array(ends[1:]) - ends[0]).T


def centre_of(weights: np.ndarray) -> np.ndarray:
    weights = weights / weights.sum(dtype=np.float64)
    return np.array([float((weights * axis).sum()) for axis in np.indices(weights.shape)])


@every_lean
@every_grid
def test_the_model_s_grid_is_orthogonal_and_follows_the_slices(lean: str, grid: str) -> None:
    matrix = affine(lean)
    placement = place(Volume(data=np.zeros(SHAPE), affine=matrix), GRIDS[grid])
    _, steps = model_to_scan(placement)
    world = matrix[:3, :3] @ steps
    length = np.linalg.norm(world, axis=0)
    directions = world / length
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    # the normal of the slices is the model's axis through the stack
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    through = directions[:, placement.order.index(2)]
    assert abs(through @ normal) == pytest.approx(np.linalg.norm(normal))
    if GRIDS[grid].fit is Fit.SPACING:
        np.testing.assert_allclose(length, GRIDS[grid].spacing_mm)
    if "rows" not in lean and lean != "everything":  # both axes of a slice keep their direction
        for stored in (0, 1):
            column = matrix[:3, stored]
            along = directions[:, placement.order.index(stored)]
            assert abs(along @ column) == pytest.approx(np.linalg.norm(column))


@every_lean
@every_grid
def test_a_ball_stays_a_ball_at_its_place_and_comes_back(lean: str, grid: str) -> None:
    matrix = affine(lean)
    centre = matrix[:3, :3] @ np.array([20.6, 16.7, 10.4]) + matrix[:3, 3]
    sigma = 4.0  # mm
    away = world_of_voxels(matrix) - centre[:, None, None, None]
    data = np.exp(-(away**2).sum(0) / (2 * sigma**2)).astype(np.float32)
    volume = Volume(data=data, affine=matrix)
    placement = place(volume, GRIDS[grid])
    tensor = placement.to_model(data)
    layer = voxels_of(placement)
    found = volume.world(placement.cell_on_scan(tuple(centre_of(tensor)), layer))
    _, steps = model_to_scan(placement)
    world_steps = np.linalg.norm(matrix[:3, :3] @ steps, axis=0)
    assert np.linalg.norm(found - centre) < 0.05 * world_steps.max()
    # its variance along each axis of the model, and no covariance: it is not sheared
    index = np.array(np.nonzero(tensor > 0.02))
    mm = (index - centre_of(tensor)[:, None]) * world_steps[:, None]
    weights = tensor[tuple(index)]
    covariance = np.cov(mm, aweights=weights)
    off_diagonal = covariance - np.diag(np.diag(covariance))
    assert np.abs(off_diagonal).max() < 0.03 * sigma**2
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sigma, rtol=0.12)
    back = placement.map_on_scan(tensor, layer)
    assert back.shape == SHAPE
    assert np.linalg.norm(volume.world(tuple(centre_of(back))) - centre) < 0.05 * world_steps.max()


@every_lean
@every_grid
def test_a_ramp_in_the_world_is_a_ramp_on_the_model(lean: str, grid: str) -> None:
    """Linear interpolation is exact there: every voxel is where it should be."""
    matrix = affine(lean)
    slope = np.array([3.0, -2.0, 5.0])
    data = np.tensordot(slope, world_of_voxels(matrix), 1).astype(np.float32)
    placement = place(Volume(data=data, affine=matrix), GRIDS[grid])
    tensor = placement.to_model(data)
    origin, steps = model_to_scan(placement)
    index = np.tensordot(steps, np.indices(tensor.shape), 1) + origin[:, None, None, None]
    world = np.tensordot(matrix[:3, :3], index, 1) + matrix[:3, 3][:, None, None, None]
    margin = 3.5  # scan voxels; nearer to the edge boxes and shifted slices reach beyond it
    limits = np.array(SHAPE)[:, None, None, None] - 1 - margin
    inside = ((index > margin) & (index < limits)).all(0)
    assert inside.sum() > 200
    expected = np.tensordot(slope, world, 1)
    # a box that cuts voxels has its centre of gravity up to an eighth of a voxel off
    an_eighth = np.abs(slope @ matrix[:3, :3]).sum() / 8
    tolerance = an_eighth if GRIDS[grid].resampling is Resampling.AREA else 0.01
    np.testing.assert_allclose(tensor[inside], expected[inside], atol=tolerance)
    # and what lies outside of the scan is padding
    outside = ((index < -margin) | (index > limits + 2 * margin)).any(0)
    assert (tensor[outside] == 0).all()


@every_lean
@every_grid
def test_interpolation_agrees_with_scipy_in_the_world(lean: str, grid: str) -> None:
    matrix = affine(lean)
    x, y, z = world_of_voxels(matrix)
    data = (np.sin(x / 9) * np.cos(y / 11) + np.sin(z / 13)).astype(np.float32)
    placement = place(Volume(data=data, affine=matrix), GRIDS[grid])
    tensor = placement.to_model(data)
    origin, steps = model_to_scan(placement)
    expected = ndimage.affine_transform(
        data, steps, origin, output_shape=tensor.shape, order=3, mode="nearest"
    )
    index = np.tensordot(steps, np.indices(tensor.shape), 1) + origin[:, None, None, None]
    inside = ((index > 3) & (index < np.array(SHAPE)[:, None, None, None] - 4)).all(0)
    np.testing.assert_allclose(tensor[inside], expected[inside], atol=0.03)


@every_lean
@every_grid
def test_cells_on_the_scan_are_brute_force_interpolation(lean: str, grid: str) -> None:
    matrix = affine(lean)
    placement = place(Volume(data=np.zeros(SHAPE), affine=matrix), GRIDS[grid])
    sizes = np.array([axis.model_size for axis in placement.axes])
    layer = CamLayer(name="c", cells=(4, 5, 3), offset=(1.5, 2.0, 2.5), stride=(3.5, 3.0, 5.0))
    cells = np.random.default_rng(1).random(layer.cells).astype(np.float32)
    origin, steps = model_to_scan(placement)
    index = np.indices(SHAPE).reshape(3, -1)
    model = np.linalg.solve(steps, index - origin[:, None])
    cell = (model - np.array(layer.offset)[:, None]) / np.array(layer.stride)[:, None]
    last = np.array(layer.cells)[:, None] - 1
    clamped = np.clip(cell, 0, last)
    expected = ndimage.map_coordinates(cells, clamped, order=1, mode="nearest")
    near = (cell > -0.5) & (cell < last + 0.5)
    seen = (model > -0.5) & (model < sizes[:, None] - 0.5)
    expected = np.where((near & seen).all(0), expected, 0).reshape(SHAPE)
    actual = placement.map_on_scan(cells, layer)
    edge = (np.abs(np.abs(cell - last / 2) - last / 2 - 0.5) < 1e-6).any(0)
    edge |= (np.abs(np.abs(model - (sizes[:, None] - 1) / 2) - sizes[:, None] / 2) < 1e-6).any(0)
    same = ~edge.reshape(SHAPE)
    np.testing.assert_allclose(actual[same], expected[same], atol=1e-5)
    assert actual.max() > 0.5


@every_lean
def test_an_impulse_in_a_cell_peaks_at_that_cell_s_place(lean: str) -> None:
    placement = place(Volume(data=np.zeros(SHAPE), affine=affine(lean)), GRIDS["stretch"])
    layer = CamLayer(name="c", cells=(3, 3, 3), offset=(5.5, 6.5, 8.5), stride=(3.0, 3.0, 3.0))
    cells = np.zeros(layer.cells, np.float32)
    cells[1, 1, 1] = 1
    heat = placement.map_on_scan(cells, layer)
    at = placement.cell_on_scan((1, 1, 1), layer)
    assert heat[tuple(round(i) for i in at)] > 0.6
    np.testing.assert_allclose(centre_of(heat), at, atol=0.1)


@every_lean
def test_stretch_spans_the_scan_and_pads_around_it(lean: str) -> None:
    volume = Volume(data=np.full(SHAPE, 300, np.int16), affine=affine(lean))
    grid = Grid(shape=(18, 30, 24), padding_value=-1024)
    placement = place(volume, grid)
    tensor = placement.to_model(volume.data, np.int16)
    assert (tensor == 300).any()
    corners = [tensor[corner] for corner in itertools.product((0, -1), repeat=3)]
    assert -1024 in corners
    assert tensor.min() == -1024
    assert tensor.max() == 300
    assert placement.seen_share == (1, 1, 1)
    ones = np.ones(tensor.shape, np.float32)
    np.testing.assert_allclose(placement.map_on_scan(ones, voxels_of(placement)), 1, atol=1e-6)


@every_lean
@every_grid
def test_every_storage_order_of_a_sheared_scan_gives_the_same_bits(lean: str, grid: str) -> None:
    data = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    volume = Volume(data=data, affine=affine(lean))
    placement = place(volume, GRIDS[grid])
    expected = placement.to_model(data)
    layer = CamLayer(name="c", cells=(4, 5, 3), offset=(1.5, 2.0, 2.5), stride=(3.5, 3.0, 5.0))
    cells = np.random.default_rng(1).random(layer.cells).astype(np.float32)
    heat = placement.map_on_scan(cells, layer)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product([False, True], repeat=3):
            matrix = volume.affine[:, [*order, 3]].copy()
            for axis, flip in enumerate(flips):
                if flip:
                    matrix[:3, 3] += matrix[:3, axis] * (SHAPE[order[axis]] - 1)
                    matrix[:3, axis] *= -1
            turn = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
            other = Volume(data=data.transpose(order)[turn], affine=matrix)
            there = place(other, GRIDS[grid])
            np.testing.assert_array_equal(there.to_model(other.data), expected)
            np.testing.assert_array_equal(
                there.map_on_scan(cells, layer), heat.transpose(order)[turn]
            )


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_what_headers_lose_by_rounding_is_no_shear(share: float) -> None:
    data = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    straight = np.diag([*np.diag(SPACING), 1.0])
    noisy = straight.copy()
    noisy[1, 2] = straight[2, 2] * np.tan(np.radians(share * TOLERANCE_DEG))
    expected = to_model_grid(Volume(data=data, affine=straight), GRIDS["stretch"])
    actual = to_model_grid(Volume(data=data, affine=noisy), GRIDS["stretch"])
    np.testing.assert_array_equal(actual, expected)
    noisy[1, 2] = straight[2, 2] * np.tan(np.radians(1.05 * TOLERANCE_DEG))
    assert (to_model_grid(Volume(data=data, affine=noisy), GRIDS["stretch"]) != expected).any()


@every_lean
@pytest.mark.parametrize("resampling", Resampling)
def test_padding_is_left_out_of_sheared_scans(lean: str, resampling: Resampling) -> None:
    grid = Grid(shape=(18, 20, 24), resampling=resampling, padding_value=-1024)
    data = np.full(SHAPE, 40.3, np.float32)
    data[:, :18] = -2500
    volume = Volume(data=data, affine=affine(lean), padding=(-2600, -2000))
    tensor = to_model_grid(volume, grid)
    inside = to_model_grid(Volume(data=np.full(SHAPE, 1.0), affine=affine(lean)), grid) == 1
    assert set(np.unique(tensor[inside])) == {np.float32(40.3), np.float32(-1024)}


def test_slices_that_are_images_of_their_own_are_not_shifted() -> None:
    data = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    grid = Grid(shape=(12, 14))
    straight = np.diag([*np.diag(SPACING), 1.0])
    expected = place(Volume(data=data, affine=straight), grid, SliceAggregation.MAX)
    tilted = place(Volume(data=data, affine=affine("gantry tilt")), grid, SliceAggregation.MAX)
    np.testing.assert_array_equal(tilted.to_model(data), expected.to_model(data))
    # within a slice, a shear is undone
    leaning = place(Volume(data=data, affine=affine("leaning rows")), grid, SliceAggregation.MAX)
    tensor = leaning.to_model(np.ones(SHAPE, np.float32))
    assert tensor.shape == (22, 12, 14)
    assert tensor[:, 6, 7].min() == 1
    assert tensor[:, 0, 0].min() < 1 or tensor[:, 0, -1].min() < 1
