"""The served heatmap and the client's maps agree on every voxel, also on those at an edge."""

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from client.predictions import prediction, spec
from numpy.typing import NDArray

from vcam_client import Volume
from vcam_client._axis_map import AxisMap
from vcam_client.grid import cell_weights
from vcam_client.spec import CamLayer, Grid
from vcam_training.cams.heatmap import heatmap, interpolation_matrix
from vcam_training.trust.localising import LARGE_RADIUS, is_large

Geometry = tuple[int, int, Fraction, Fraction]
"""Voxels, cells, and the offset and stride of the cells' centres, exact."""

STRIDES = [Fraction(n, d) for d in (1, 2, 3, 5, 7, 12) for n in (*range(1, 12), 16, 64, 100, 128)]
CELLS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)


def geometries() -> Iterator[Geometry]:
    """Cells that fill the grid, begin on a voxel, between two, or lie inside or beyond."""
    found = dict.fromkeys(
        (voxels, cells, offset, stride)
        for stride, cells in itertools.product(STRIDES, CELLS)
        for voxels in sorted({max(1, round(cells * stride) + more) for more in (-3, 0, 1, 4)})
        for offset in (
            (stride - 1) / 2,
            stride / 2,
            (stride - 2) / 2,
            stride * Fraction(3, 2),
            (voxels - 1) / Fraction(2) - stride * (cells - 1) / 2,
            Fraction(1, 2),
        )
        if voxels <= 1500
    )
    return iter(found)


def exact(geometry: Geometry) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which voxels are within half a cell of the centres, and every weight, in fractions."""
    voxels, cells, offset, stride = geometry
    # numbers of a common denominator: whole numbers decide what is inside
    unit = np.lcm(offset.denominator, stride.denominator)
    at = np.arange(voxels) * int(unit) - int(offset * unit)
    step = int(stride * unit)
    inside = (2 * at >= -step) & (2 * at <= (2 * cells - 1) * step)
    position = np.clip(at / step, 0, cells - 1)
    weights = np.maximum(1 - np.abs(position[:, None] - np.arange(cells)), 0)
    return inside, weights * inside[:, None]


def test_graph_and_client_agree_with_the_exact_edge_in_every_geometry() -> None:
    at_an_edge = 0
    every = list(geometries())
    assert len(every) > 10_000
    for geometry in every:
        voxels, cells, offset, stride = geometry
        inside, expected = exact(geometry)
        axis = (voxels, cells, float(offset), float(stride))
        same = AxisMap(scan_size=voxels, model_size=voxels, start=0, step=1, extent=voxels)
        for weights in (
            interpolation_matrix(*axis),
            cell_weights(*axis),
            same.to_scan(*axis[1:]).matrix,
        ):
            np.testing.assert_array_equal(weights.any(axis=1), inside, str(geometry))
            np.testing.assert_allclose(weights, expected, atol=1e-6, err_msg=str(geometry))
        position = (np.arange(voxels) - float(offset)) / float(stride)
        naive = (position >= -0.5) & (position <= cells - 0.5)
        at_an_edge += bool((naive != inside).any())
    assert at_an_edge > 50, "rounding decides nothing here: choose other geometries"


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(3, 7), Fraction(5, 2), Fraction(10, 3)])
def test_a_scan_of_another_size_has_the_edge_at_the_same_place(scale: Fraction) -> None:
    """Stretched onto the grid: a voxel of the scan is at (i + 1/2) / scale - 1/2 of it."""
    for geometry in itertools.islice(geometries(), 0, None, 23):
        voxels, cells, offset, stride = geometry
        size = max(1, int(voxels * scale))
        step = Fraction(size, voxels)
        at = [(i + Fraction(1, 2)) / step - Fraction(1, 2) for i in range(size)]
        position = [(index - offset) / stride for index in at]
        inside = [Fraction(-1, 2) <= p <= cells - Fraction(1, 2) for p in position]
        along = AxisMap(
            scan_size=size,
            model_size=voxels,
            start=(size / voxels - 1) / 2,
            step=size / voxels,
            extent=size,
        )
        weights = along.to_scan(cells, float(offset), float(stride)).matrix
        np.testing.assert_array_equal(weights.any(axis=1), inside, str((geometry, size)))


EDGES = (
    CamLayer(name="a", cells=(3, 12, 3), offset=(1 / 6, 1 / 6, 19 / 6), stride=(1 / 3,) * 3),
    CamLayer(name="b", cells=(5, 2, 3), offset=(0.1, 0.2, 0.7), stride=(1.2, 2.4, 1.4)),
)
"""Geometries with voxels that are exactly at an edge, where rounding decided before."""


@pytest.mark.parametrize("layer", EDGES, ids=["thirds", "fifths"])
def test_the_served_heatmap_is_the_client_s(layer: CamLayer) -> None:
    grid = (8, 11, 8)
    cam = np.random.default_rng(0).normal(size=layer.cells).astype(np.float32)
    served = heatmap(tf.constant(cam[None]), grid, layer).numpy()[0]
    scan = Volume(data=np.zeros(grid[::-1], np.int16), affine=np.diag([-1.0, -1.0, 1.0, 1.0]))
    model = spec(grid=Grid(shape=grid), cam_layers=(layer,))
    own = prediction(cam, scan, model)
    assert served.any()
    np.testing.assert_allclose(own.heatmap_on_model_grid(), served, atol=1e-6)
    on_scan = own.placement.to_model(own.heatmap())
    np.testing.assert_array_equal(own.heatmap_on_model_grid() > 0, served > 0)
    np.testing.assert_allclose(on_scan, served, atol=1e-6)


def test_an_object_up_to_the_edge_of_the_cells_counts_as_shown() -> None:
    voxels = 24
    layer = CamLayer(name="a", cells=(20,) * 2, offset=(1.1,) * 2, stride=(1.2,) * 2)
    inside, _ = exact((voxels, 20, Fraction(11, 10), Fraction(12, 10)))
    assert inside.tolist() == [False] + [True] * 23
    mask = np.outer(inside, inside)
    assert mask.sum() / np.pi > LARGE_RADIUS**2
    assert is_large(mask, layer)
    assert not is_large(np.ones_like(mask), layer)
