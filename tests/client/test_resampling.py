"""Resampling against scipy, brute force and known positions; padding and constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vcam_client import Volume, place, to_model_grid
from vcam_client.spec import CamLayer, Fit, Grid, Resampling

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Stored k, j, i are the tensor axes S, P, L."""

PADDING = (-3024.0, -2000.0)

sizes = st.tuples(*[st.integers(2, 17)] * 3)


def scan(tensor: np.ndarray) -> Volume:
    """A volume whose tensor axes hold `tensor`."""
    return Volume(data=tensor.transpose(2, 1, 0), affine=LPS)


def unit_layer(shape: tuple[int, ...]) -> CamLayer:
    """Every model voxel is a cell."""
    return CamLayer(name="voxels", cells=shape, offset=(0.0,) * 3, stride=(1.0,) * 3)


def centre_of(weights: np.ndarray) -> np.ndarray:
    weights = weights / weights.sum(dtype=np.float64)
    return np.array([float((weights * axis).sum()) for axis in np.indices(weights.shape)])


def box_average(tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Averages of boxes, each voxel cut into as many parts as the grid has along the axis."""
    for axis, size in enumerate(shape):
        fine = np.repeat(tensor, size, axis)  # boxes are whole numbers of parts
        parts = fine.shape[axis] // size
        cut = (*fine.shape[:axis], size, parts, *fine.shape[axis + 1 :])
        tensor = fine.reshape(cut).mean(axis + 1)
    return tensor


@given(shape=sizes, grid=sizes, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_linear_is_scipy_s_zoom_up_and_down(
    shape: tuple[int, ...], grid: tuple[int, ...], seed: int
) -> None:
    tensor = np.random.default_rng(seed).uniform(-1000, 3000, shape).astype(np.float32)
    factors = [m / n for m, n in zip(grid, shape, strict=True)]
    expected = ndimage.zoom(tensor, factors, order=1, mode="nearest", grid_mode=True)
    actual = to_model_grid(scan(tensor), Grid(shape=grid))
    np.testing.assert_allclose(actual, expected, atol=2e-4 * 4000)


@given(shape=sizes, grid=sizes, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_area_is_the_average_of_boxes(
    shape: tuple[int, ...], grid: tuple[int, ...], seed: int
) -> None:
    grid = tuple(min(m, n) for m, n in zip(grid, shape, strict=True))  # axes that shrink
    tensor = np.random.default_rng(seed).uniform(-1000, 3000, shape).astype(np.float32)
    actual = to_model_grid(scan(tensor), Grid(shape=grid, resampling=Resampling.AREA))
    np.testing.assert_allclose(actual, box_average(tensor, grid), atol=2e-4 * 4000)


def test_large_volumes_are_resampled_like_small_ones() -> None:
    """Larger than the blocks and slabs in which they are added up."""
    tensor = np.random.default_rng(0).integers(-1000, 1000, (70, 400, 390)).astype(np.int16)
    grid = (41, 50, 60)
    factors = [m / n for m, n in zip(grid, tensor.shape, strict=True)]
    zoomed = ndimage.zoom(
        tensor.astype(np.float64), factors, order=1, mode="nearest", grid_mode=True
    )
    interleaved = Volume(data=np.ascontiguousarray(tensor.transpose(2, 1, 0)), affine=LPS)
    for volume in (scan(tensor), interleaved):
        actual = to_model_grid(volume, Grid(shape=grid), np.int16)
        np.testing.assert_allclose(actual, zoomed, atol=0.51)
    averages = to_model_grid(scan(tensor), Grid(shape=grid, resampling=Resampling.AREA))
    np.testing.assert_allclose(averages, box_average(tensor.astype(np.float32), grid), atol=0.1)


@pytest.mark.parametrize("resampling", Resampling)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@given(shape=sizes, grid=sizes, value=st.integers(-1024, 3071))
@settings(max_examples=40, deadline=None)
def test_a_constant_stays_constant_to_the_bit(
    resampling: Resampling, dtype: type, shape: tuple[int, ...], grid: tuple[int, ...], value: int
) -> None:
    model = Grid(shape=grid, resampling=resampling, padding_value=-1024)
    constant = value if dtype is np.int16 else value + 0.1
    tensor = np.full(shape, constant, dtype)
    assert (to_model_grid(scan(tensor), model, dtype) == dtype(constant)).all()
    # a grid that lies inside the scan, with spacing of its own
    step = [0.9 * n / m for m, n in zip(grid, shape, strict=True)]
    inside = Grid(
        shape=grid,
        resampling=resampling,
        padding_value=-1024,
        fit=Fit.SPACING,
        spacing_mm=tuple(step),
    )
    assert (to_model_grid(scan(tensor), inside, dtype) == dtype(constant)).all()


@pytest.mark.parametrize("resampling", Resampling)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@given(shape=sizes, grid=sizes, share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_beside_padding_a_constant_stays_constant_to_the_bit(
    resampling: Resampling,
    dtype: type,
    shape: tuple[int, ...],
    grid: tuple[int, ...],
    share: float,
    seed: int,
) -> None:
    model = Grid(shape=grid, resampling=resampling, padding_value=-1024)
    real = np.random.default_rng(seed).random(shape) < share
    value = dtype(40.3)
    placement = place(scan(real), model)
    data = np.where(real, value, dtype(-2500)).transpose(2, 1, 0)
    actual = placement.to_model(data, dtype, padding=PADDING)
    assert set(np.unique(actual)) <= {value, dtype(-1024)}
    weight = placement.to_model(real.transpose(2, 1, 0))
    clear = np.abs(weight - 0.5) > 1e-4
    np.testing.assert_array_equal((actual == value)[clear], (weight > 0.5)[clear])


@pytest.mark.parametrize("resampling", Resampling)
def test_a_model_voxel_is_the_mean_of_its_real_voxels(resampling: Resampling) -> None:
    rng = np.random.default_rng(3)
    tensor = rng.uniform(-1000, 1000, (14, 22, 18)).astype(np.float32)
    real = rng.random(tensor.shape) < 0.7
    tensor[~real] = -2500
    grid = Grid(shape=(5, 7, 6), resampling=resampling, padding_value=-1024)
    placement = place(scan(tensor), grid)
    actual = placement.to_model(scan(tensor).data, padding=PADDING)
    total = placement.to_model(np.where(real, tensor, 0).transpose(2, 1, 0))
    weight = placement.to_model(real.transpose(2, 1, 0))
    expected = np.where(weight >= 0.5, total / np.maximum(weight, 0.01), -1024)
    np.testing.assert_allclose(actual, expected, atol=0.01)
    assert (weight < 0.5).any()


def test_exactly_half_of_the_weight_is_enough() -> None:
    tensor = np.full((2, 2, 4), 100, np.int16)
    tensor[..., 1], tensor[..., 2:] = -2500, -2500
    grid = Grid(shape=(2, 2, 2), padding_value=-1024)
    actual = place(scan(tensor), grid).to_model(scan(tensor).data, np.int16, padding=PADDING)
    assert (actual[..., 0] == 100).all()
    assert (actual[..., 1] == -1024).all()


def test_the_range_of_padding_is_inclusive_and_the_volume_s_own() -> None:
    tensor = np.full((4, 4, 4), 7, np.int16)
    tensor[0], tensor[1], tensor[2] = -3024, -2000, -1999
    volume = Volume(data=tensor.transpose(2, 1, 0), affine=LPS, padding=PADDING)
    actual = to_model_grid(volume, Grid(shape=(4, 4, 4), padding_value=-1024), np.int16)
    assert actual[:, 0, 0].tolist() == [-1024, -1024, -1999, 7]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_nothing_but_padding_gives_the_padding_value(dtype: type) -> None:
    volume = Volume(data=np.full((5, 6, 7), -2500, dtype), affine=LPS, padding=PADDING)
    actual = to_model_grid(volume, Grid(shape=(3, 3, 3), padding_value=-1024), dtype)
    assert (actual == -1024).all()


@pytest.mark.parametrize("resampling", Resampling)
def test_outside_the_scan_is_the_padding_value_to_the_bit(resampling: Resampling) -> None:
    # a z-score in the graph knows padding by this value
    data = np.random.default_rng(0).uniform(5, 900, (8, 8, 8)).astype(np.float32)
    grid = Grid(
        shape=(20, 20, 20),
        resampling=resampling,
        fit=Fit.SPACING,
        spacing_mm=(1.3, 1.3, 1.3),
        padding_value=-0.1,
    )
    tensor = to_model_grid(Volume(data=data, affine=LPS), grid)
    assert (tensor[:5] == np.float32(-0.1)).all()
    assert (tensor[8:12, 8:12, 8:12] > 0).all()


@pytest.mark.parametrize("resampling", Resampling)
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_a_blob_keeps_its_centre_onto_the_model_and_back(
    resampling: Resampling, flips: tuple[bool, ...]
) -> None:
    shape, model = np.array([60, 52, 44]), (20, 26, 22)
    affine = LPS * np.diag([*np.where(flips, -1.0, 1.0), 1.0])
    centre = np.array([31.3, 24.6, 20.2])
    step = shape / model[::-1]  # scan voxels per model voxel along i, j, k
    distance = sum(
        ((index - c) / (1.2 * s)) ** 2
        for index, c, s in zip(np.indices(shape), centre, step, strict=True)
    )
    volume = Volume(data=np.exp(-distance / 2).astype(np.float32), affine=affine)
    placement = place(volume, Grid(shape=model, resampling=resampling))
    tensor = placement.to_model(volume.data)
    layer = unit_layer(tensor.shape)
    on_scan = placement.cell_on_scan(tuple(centre_of(tensor)), layer)
    assert (np.abs(on_scan - centre) / step < 0.05).all()
    back = placement.map_on_scan(tensor, layer)
    assert back.shape == volume.shape
    np.testing.assert_allclose(centre_of(back), centre, atol=0.05)


def test_a_stored_map_is_the_map_rounded() -> None:
    volume = Volume(data=np.zeros((41, 33, 25), np.int16), affine=np.diag([1, -1, 2, 1.0]))
    placement = place(volume, Grid(shape=(9, 12, 15)))
    layer = CamLayer(name="c", cells=(4, 5, 6), offset=(0.5, 1, 1), stride=(2.2, 2.3, 2.4))
    cells = 255 * np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    exact = placement.map_on_scan(cells, layer)
    planes = np.stack([*placement.cells_on_scan(cells, layer)])
    np.testing.assert_array_equal(placement.from_tensor_axes(planes), exact)
    stored = placement.map_on_scan(cells, layer, np.uint8)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, np.rint(exact))
