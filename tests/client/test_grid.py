"""Placing scans on grids and cells on scans, checked with impulses and known positions."""

import itertools

import numpy as np
import pytest

from vcam_client import Volume, place, to_model_grid
from vcam_client.errors import IncompatibleScanError
from vcam_client.spec import CamLayer, Fit, Grid, Resampling, SliceAggregation

GRID = Grid(shape=(8, 10, 12), padding_value=-1000.0)


def random_volume(shape: tuple[int, int, int] = (23, 19, 17), seed: int = 0) -> Volume:
    data = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(data=data, affine=np.diag([-1.5, -1.25, 2.0, 1.0]))


def stored_otherwise(
    volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[Volume, tuple[slice, ...]]:
    """The same world, stored with permuted and flipped axes."""
    data = volume.data.transpose(order)
    affine = volume.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    turn = tuple(slice(None, None, -1 if f else 1) for f in flips)
    return Volume(data=data[turn], affine=affine), turn


ALL_48 = list(
    itertools.product(itertools.permutations(range(3)), itertools.product([False, True], repeat=3))
)


def test_every_storage_order_gives_the_same_tensor_to_the_bit() -> None:
    volume = random_volume()
    expected = to_model_grid(volume, GRID)
    for order, flips in ALL_48:
        other, _ = stored_otherwise(volume, order, flips)
        np.testing.assert_array_equal(to_model_grid(other, GRID), expected)


def test_every_storage_order_gives_the_same_map_in_the_world() -> None:
    volume = random_volume()
    layer = CamLayer(name="c", cells=(3, 4, 5), offset=(1.2, 0.8, 1.5), stride=(2, 2.5, 2.25))
    cells = np.random.default_rng(1).random((3, 4, 5)).astype(np.float32)

    def on_scan(scan: Volume) -> np.ndarray:
        placement = place(scan, GRID)
        return placement.from_tensor_axes(np.stack([*placement.cells_on_scan(cells, layer)]))

    expected = on_scan(volume)
    assert expected.shape == volume.shape
    assert expected.max() > 0.5
    for order, flips in ALL_48:
        other, turn = stored_otherwise(volume, order, flips)
        np.testing.assert_array_equal(on_scan(other), expected.transpose(order)[turn])


def test_axes_of_the_tensor_run_to_superior_posterior_left() -> None:
    # RAS storage: i to the right, j to anterior, k to superior
    data = np.zeros((4, 6, 8), np.float32)
    data[3, 0, 7] = 1  # right, posterior, superior
    tensor = to_model_grid(Volume(data=data, affine=np.eye(4)), Grid(shape=(8, 6, 4)))
    assert tensor[7, 5, 0] == 1
    assert tensor.sum() == 1


def test_as_stored_takes_the_slowest_axis_first() -> None:
    volume = random_volume((3, 4, 5))
    tensor = to_model_grid(volume, Grid(shape=(5, 4, 3), axes=()))
    np.testing.assert_array_equal(tensor, volume.data.transpose(2, 1, 0))


def test_spacing_fit_crops_and_pads_about_the_centre() -> None:
    volume = Volume(data=np.full((10, 10, 10), 7, np.int16), affine=np.diag([1, 1, 1, 1.0]))
    grid = Grid(shape=(4, 6, 20), fit=Fit.SPACING, spacing_mm=(1, 2, 1), padding_value=-50)
    tensor = to_model_grid(volume, grid, np.int16)
    assert tensor.shape == (4, 6, 20)
    # the outer voxels' centres along y lie on the very edge of the scan
    assert (tensor[:, :, 5:15] == 7).all()
    assert (tensor[:, :, :5] == -50).all()
    assert (tensor[:, :, 15:] == -50).all()


def test_spacing_fit_puts_a_blob_where_it_belongs() -> None:
    shape, spacing = np.array([40, 50, 30]), np.array([1.0, 0.8, 2.5])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-30, 12, 5]
    centre = np.array([21.3, 24.6, 14.2])  # voxel index
    i, j, k = np.indices(shape)
    distance = sum(((x - c) * s) ** 2 for x, c, s in zip((i, j, k), centre, spacing, strict=True))
    volume = Volume(data=(1000 * np.exp(-distance / 50)).astype(np.float32), affine=affine)
    grid = Grid(shape=(24, 24, 24), fit=Fit.SPACING, spacing_mm=(3, 3, 3), axes=("S", "A", "R"))
    tensor = to_model_grid(volume, grid)
    weights = tensor / tensor.sum()
    found = [float((weights * index).sum()) for index in np.indices(tensor.shape)]
    scan_centre = (shape - 1) / 2
    expected = (11.5 + (centre - scan_centre) * spacing / 3)[::-1]
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_area_averages_where_it_shrinks() -> None:
    data = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    volume = Volume(data=data, affine=np.diag([-1, -1, 1, 1.0]))
    tensor = to_model_grid(volume, Grid(shape=(4, 4, 4), resampling=Resampling.AREA))
    expected = data.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5)).transpose(2, 1, 0)
    np.testing.assert_allclose(tensor, expected, atol=1e-6)


@pytest.mark.parametrize("resampling", Resampling)
def test_a_constant_stays_constant(resampling: Resampling) -> None:
    volume = Volume(data=np.full((9, 11, 13), -321, np.int16), affine=np.eye(4))
    tensor = to_model_grid(volume, Grid(shape=(5, 20, 6), resampling=resampling), np.int16)
    assert (tensor == -321).all()


def test_integers_are_rounded_and_saturated() -> None:
    data = np.array([-1e6, -1.5, 0.4, 0.6, 1e6], np.float32).reshape(5, 1, 1).repeat(2, 1)
    volume = Volume(data=data.repeat(2, 2), affine=np.diag([-1, -1, 1, 1.0]))
    tensor = to_model_grid(volume, Grid(shape=(2, 2, 5)), np.int16)
    assert tensor[0, 0].tolist() == [-32768, -2, 0, 1, 32767]


def test_not_finite_is_refused_with_the_count() -> None:
    data = np.zeros((4, 4, 4), np.float32)
    data[1, 2, 3], data[0, 0, 0] = np.nan, np.inf
    with pytest.raises(IncompatibleScanError, match="found 2 that are NaN or infinite"):
        to_model_grid(Volume(data=data, affine=np.eye(4)), GRID)


def test_an_impulse_in_each_cell_peaks_at_the_cells_centre() -> None:
    volume = Volume(data=np.zeros((64, 60, 48), np.int16), affine=np.diag([-1, -1, 1, 1.0]))
    placement = place(volume, Grid(shape=(12, 20, 16)))
    layer = CamLayer(name="c", cells=(3, 4, 3), offset=(2, 2.5, 3), stride=(4, 5, 4.5))
    for cell in np.ndindex(3, 4, 3):
        cells = np.zeros((3, 4, 3), np.float32)
        cells[cell] = 1
        heat = placement.from_tensor_axes(np.stack([*placement.cells_on_scan(cells, layer)]))
        index = placement.cell_on_scan(cell, layer)
        nearest = tuple(round(v) for v in index)
        assert heat[nearest] > 0.8
        if all(0 < c < n - 1 for c, n in zip(cell, (3, 4, 3), strict=True)):
            weights = heat / heat.sum()
            found = [float((weights * axis).sum()) for axis in np.indices(heat.shape)]
            np.testing.assert_allclose(found, index, atol=0.05)


def test_the_map_is_zero_beyond_half_a_cell_and_where_the_model_never_saw() -> None:
    volume = Volume(data=np.zeros((100, 20, 20), np.int16), affine=np.diag([-1, -1, 1, 1.0]))
    grid = Grid(shape=(20, 20, 40), fit=Fit.SPACING, spacing_mm=(1, 1, 1))
    layer = CamLayer(name="c", cells=(20, 20, 5), offset=(0, 0, 6), stride=(1, 1, 4))
    placement = place(volume, grid)
    ones = np.ones((20, 20, 5), np.float32)
    line = placement.from_tensor_axes(np.stack([*placement.cells_on_scan(ones, layer)]))[:, 0, 0]
    # model voxels 0 … 39 are scan voxels 30 … 69; cells reach from 4 to 24
    expected = np.zeros(100)
    expected[30 + 4 : 30 + 25] = 1
    np.testing.assert_allclose(line, expected)
    whole = CamLayer(name="c", cells=(20, 20, 30), offset=(0, 0, -20), stride=(1, 1, 4))
    ones = np.ones((20, 20, 30), np.float32)
    line = placement.from_tensor_axes(np.stack([*placement.cells_on_scan(ones, whole)]))[:, 0, 0]
    np.testing.assert_allclose(line, np.r_[np.zeros(30), np.ones(40), np.zeros(30)])


def test_slices_of_a_2d_model_keep_their_place() -> None:
    volume = random_volume((20, 16, 5))
    grid = Grid(shape=(8, 10), axes=("S", "P", "L"))
    placement = place(volume, grid, SliceAggregation.MAX)
    assert placement.to_model(volume.data).shape == (5, 8, 10)
    layer = CamLayer(name="c", cells=(2, 3), offset=(2, 2), stride=(4, 3))
    stacked = placement.stacked_layer(layer)
    assert (stacked.cells, stacked.offset, stacked.stride) == ((5, 2, 3), (0, 2, 2), (1, 4, 3))
    cells = np.zeros((5, 2, 3), np.float32)
    cells[3] = 1
    heat = placement.from_tensor_axes(np.stack([*placement.cells_on_scan(cells, stacked)]))
    assert heat.shape == volume.shape
    assert heat[:, :, 3].max() == 1
    assert heat[:, :, [0, 1, 2, 4]].max() == 0


@pytest.mark.parametrize(
    ("shape", "grid", "aggregation", "message"),
    [
        ((8, 8, 1), Grid(shape=(4, 4, 4)), None, "Expected a 3-D volume, received a single slice"),
        ((8, 8, 3), Grid(shape=(4, 4)), SliceAggregation.NONE, "single image, received 3 slices"),
        (
            (1, 8, 8),
            Grid(shape=(4, 4)),
            SliceAggregation.NONE,
            "along P and L, received one along A and S",
        ),
    ],
)
def test_wrong_kinds_of_scan_are_refused(
    shape: tuple[int, int, int], grid: Grid, aggregation: SliceAggregation | None, message: str
) -> None:
    with pytest.raises(IncompatibleScanError, match=message):
        place(Volume(data=np.zeros(shape), affine=np.eye(4)), grid, aggregation)


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 16_777_217])
def test_whole_numbers_of_32_bits_stay_what_they_are(value: int) -> None:
    """The highest one, as a float32, is one more than an int32 holds."""
    data = np.full((9, 11, 13), value, np.int32)
    volume = Volume(data=data, affine=np.diag([-1.5, -1.25, 2.0, 1.0]))
    assert np.unique(to_model_grid(volume, GRID, np.int32)).tolist() == [value]
