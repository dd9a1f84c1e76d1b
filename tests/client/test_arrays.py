"""An array [slices, rows, columns] reaches a model without anatomy as the same file would."""

from pathlib import Path

import numpy as np
import pytest

from vcam_client.grid import place, to_model_grid
from vcam_client.reading import as_volume, read_volume
from vcam_client.spec import CamLayer, Fit, Grid

SHAPE = (4, 6, 8)
GRID = Grid(shape=SHAPE, axes=(), fit=Fit.STRETCH)
ARRAY = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def test_a_model_sees_the_axes_of_the_array() -> None:
    np.testing.assert_array_equal(to_model_grid(as_volume(ARRAY, spacing=1.0), GRID), ARRAY)


def test_a_file_of_the_array_is_seen_alike(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", ARRAY)
    volume = read_volume(tmp_path / "scan.npy", spacing=1.0)
    np.testing.assert_array_equal(to_model_grid(volume, GRID), ARRAY)


@pytest.mark.parametrize("where", [(0, 2, 5), (3, 0, 7), (1, 5, 0)])
def test_the_map_comes_back_in_the_order_of_the_array(where: tuple[int, int, int]) -> None:
    cam = np.zeros(SHAPE, np.float32)
    cam[where] = 1
    layer = CamLayer(
        name="cells", cells=SHAPE, offset=(0.0,) * 3, stride=(1.0,) * 3, receptive_field=(1.0,) * 3
    )
    heatmap = place(as_volume(ARRAY, spacing=1.0), GRID).map_on_scan(cam, layer)
    assert heatmap.shape == SHAPE
    assert np.unravel_index(heatmap.argmax(), SHAPE) == where


def test_slices_are_cut_across_the_first_axis() -> None:
    image = np.arange(48, dtype=np.float32).reshape(6, 8)
    grid = Grid(shape=(6, 8), axes=(), fit=Fit.STRETCH)
    (seen,) = to_model_grid(as_volume(image, spacing=1.0), grid)
    np.testing.assert_array_equal(seen, image)
    stack = to_model_grid(as_volume(ARRAY, spacing=1.0), grid)
    np.testing.assert_array_equal(stack, ARRAY)
