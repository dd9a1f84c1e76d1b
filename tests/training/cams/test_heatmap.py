import itertools

import numpy as np
import pytest
import tensorflow as tf
from heatmap_reference import reference_heatmap

from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import heatmap

GEOMETRIES = {
    "inside": CamLayer(name="a", cells=(4, 3, 5), offset=(3.5, 5, 2), stride=(2, 3, 3.5)),
    "beyond": CamLayer(name="b", cells=(6, 8, 10), offset=(-0.5, 0, 1.5), stride=(2.5, 2, 2)),
    "one cell": CamLayer(name="c", cells=(1, 2, 1), offset=(5.5, 7.5, 9.5), stride=(12, 4, 3)),
    "plane": CamLayer(name="d", cells=(4, 3), offset=(2.0, 3.5), stride=(3, 5)),
}
SIZES = (12, 16, 20)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_impulses_land_where_the_geometry_says(name):
    layer = GEOMETRIES[name]
    grid = SIZES[: len(layer.cells)]
    for cell in itertools.product(*map(range, layer.cells)):
        cam = np.zeros(layer.cells, np.float32)
        cam[cell] = 3.0
        result = heatmap(tf.constant(cam[None]), grid, layer).numpy()[0]
        assert result.shape == grid
        np.testing.assert_allclose(result, reference_heatmap(cam, grid, layer), atol=1e-6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_signed_maps(name):
    layer = GEOMETRIES[name]
    grid = SIZES[: len(layer.cells)]
    cams = np.random.default_rng(0).normal(size=(5, *layer.cells)).astype(np.float32)
    cams[3] = -np.abs(cams[3])
    cams[4] = 0
    result = heatmap(tf.constant(cams), grid, layer).numpy()
    for cam, shown in zip(cams, result, strict=True):
        np.testing.assert_allclose(shown, reference_heatmap(cam, grid, layer), atol=1e-6)
    assert result.min() >= 0
    assert result.max() <= 1
    assert not result[3].any(), "negative evidence is no evidence"
    assert not result[4].any()


def test_a_peak_between_voxels_is_no_larger_than_its_cell():
    layer = CamLayer(name="a", cells=(3,) * 2, offset=(2.5, 2.5), stride=(4, 4))
    cam = np.zeros((1, 3, 3), np.float32)
    cam[0, 1, 1] = 1e-30
    result = heatmap(tf.constant(cam), (14, 14), layer).numpy()[0]
    assert result.max() == pytest.approx((1 - 0.5 / 4) ** 2)
    assert np.unravel_index(result.argmax(), result.shape) in itertools.product((6, 7), (6, 7))
