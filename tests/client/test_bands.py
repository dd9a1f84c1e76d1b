"""The banded maps against brute force and scipy."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from vcam_client import _bands


@pytest.mark.parametrize(("size", "out"), [(12, 5), (5, 12), (7, 7), (1, 4), (64, 48)])
def test_linear_stretch_equals_scipy_zoom(size: int, out: int) -> None:
    data = np.random.default_rng(0).normal(size=size).astype(np.float32)
    positions = (np.arange(out) + 0.5) * size / out - 0.5
    expected = ndimage.zoom(data, out / size, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(_bands.linear(positions, size).apply(data, 0), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "out"), [(12, 5), (13, 4), (512, 128), (7, 7)])
def test_box_average_equals_brute_force(size: int, out: int) -> None:
    data = np.random.default_rng(1).normal(size=size)
    width = size / out
    centres = (np.arange(out) + 0.5) * width - 0.5
    fine = np.repeat(data, 1000)  # piecewise constant
    edges = np.round((np.arange(out + 1)) * width * 1000).astype(int)
    expected = [fine[a:b].mean() for a, b in itertools.pairwise(edges)]
    actual = _bands.box_average(centres, width, size).apply(data, 0)
    np.testing.assert_allclose(actual, expected, atol=2e-3)
    np.testing.assert_allclose(_bands.box_average(centres, width, size).coverage, 1, atol=1e-6)


def test_linear_holds_the_edge_for_half_a_voxel_and_is_zero_further_out() -> None:
    bands = _bands.linear(np.array([-0.51, -0.5, 0.0, 2.5, 2.51]), 3)
    np.testing.assert_array_equal(bands.coverage, [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(bands.apply(np.array([5.0, 6.0, 7.0]), 0), [0, 5, 5, 7, 0])


def test_box_average_outside_counts_as_nothing() -> None:
    bands = _bands.box_average(np.array([-1.0, 3.0, 9.0]), 2.0, 4)
    np.testing.assert_allclose(bands.coverage, [0.25, 0.75, 0.0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_row_and_apply_agree_on_any_axis_and_layout(axis: int) -> None:
    data = np.random.default_rng(2).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
    bands = _bands.linear(np.linspace(-0.5, data.shape[axis] - 0.5, 5), data.shape[axis])
    whole = bands.apply(np.asfortranarray(data), axis)
    moved = np.moveaxis(data, axis, 0)
    rows = np.stack([bands.row(moved, n) for n in range(5)])
    np.testing.assert_allclose(np.moveaxis(rows, 0, axis), whole, rtol=1e-6, atol=1e-4)
