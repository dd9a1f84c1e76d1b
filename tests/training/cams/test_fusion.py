"""A fused map is where all of its layers agree, on the finest layer's cells."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.fusion import finest_of, fuse, fused_layer
from vcam_training.cams.target_layer import explain, target_layer

FINE = CamLayer(
    name="fine", cells=(8, 10), offset=(1.0, 1.5), stride=(2.0, 2.0), receptive_field=(3.0, 5.0)
)
COARSE = CamLayer(
    name="coarse", cells=(3, 4), offset=(4.5, 3.0), stride=(4.0, 5.0), receptive_field=(9.0, 4.0)
)
ROUGH = CamLayer(
    name="rough", cells=(2, 2), offset=(4.0, 5.0), stride=(8.0, 10.0), receptive_field=(15.0, 20.0)
)
SOLID = (
    CamLayer(name="a", cells=(5, 6, 7), offset=(0.5, 1.0, 0.0), stride=(2.0, 2.0, 1.5)),
    CamLayer(name="b", cells=(2, 3, 3), offset=(2.0, 2.5, 1.0), stride=(5.0, 4.0, 4.0)),
)
SETS = {"two": (COARSE, FINE), "three": (FINE, ROUGH, COARSE), "solid": SOLID}


def at_centres(cam, layer, finest):
    """A map at the centres of another layer's cells, cell by cell, from the contract's words."""
    result = np.zeros(finest.cells)
    for cell in np.ndindex(*finest.cells):
        centre = np.array(finest.offset) + np.array(finest.stride) * cell
        place = (centre - layer.offset) / layer.stride
        last = np.array(layer.cells) - 1
        if (place < -0.5 - 1e-9).any() or (place > last + 0.5 + 1e-9).any():
            continue  # the layer has no cell there
        place = np.clip(place, 0, last)
        low = np.floor(place).astype(int)
        for corner in itertools.product((0, 1), repeat=len(last)):
            weight = np.prod(np.where(corner, place - low, 1 - (place - low)))
            if weight:
                result[cell] += weight * cam[tuple(np.minimum(low + corner, last))]
    return result


def reference(cams, places):
    finest = min(places, key=lambda layer: np.prod(layer.stride))
    maps = np.stack([at_centres(cam, at, finest) for cam, at in zip(cams, places, strict=True)])
    means = np.exp(np.log(np.where(maps == 0, 1, np.abs(maps))).mean(axis=0))
    return np.where((maps > 0).all(0), means, np.where((maps < 0).all(0), -means, 0))


def noise(places, batch=2, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=(batch, *at.cells)).astype(np.float32) for at in places]


def fused(cams, places):
    return fuse([tf.constant(cam, tf.float32) for cam in cams], places).numpy()


@pytest.mark.parametrize("name", SETS)
def test_equals_the_reference(name):
    places = SETS[name]
    cams = noise(places)
    result = fused(cams, places)
    assert result.dtype == np.float32
    assert (result > 0).any()
    assert (result < 0).any()
    assert (result == 0).any()
    for number, one in enumerate(result):
        expected = reference([cam[number].astype(np.float64) for cam in cams], places)
        np.testing.assert_allclose(one, expected, atol=1e-5 * np.abs(expected).max())


def test_the_order_of_layers_does_not_matter():
    cams = noise((FINE, ROUGH, COARSE))
    expected = fused(cams, (FINE, ROUGH, COARSE))
    turned = fused([cams[2], cams[0], cams[1]], (COARSE, FINE, ROUGH))
    np.testing.assert_allclose(turned, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(4.0, 9.0, 6.0), (-4.0, -9.0, -6.0), (4.0, -9.0, 0.0), (-4.0, 9.0, 0.0), (0.0, 9.0, 0.0)],
)
def test_signs(one, other, expected):
    """Two cells against the class don't speak for it."""
    result = fused([np.full((1, 8, 10), one), np.full((1, 8, 10), other)], (FINE, FINE))
    np.testing.assert_allclose(result, np.full((1, 8, 10), expected), rtol=1e-5)


def test_large_and_small_maps_stay_finite():
    for size in (1e30, 1e-30):
        cams = [np.full((1, *at.cells), size) for at in (FINE, ROUGH, COARSE)]
        result = fused(cams, (FINE, ROUGH, COARSE))
        np.testing.assert_allclose(result[0, 3, 3], size, rtol=1e-4)
        assert np.isfinite(result).all()


def test_cells_that_a_layer_does_not_reach_are_zero():
    result = fused([np.ones((1, *at.cells)) for at in (COARSE, FINE)], (COARSE, FINE))[0]
    rows = 1 + 2 * np.arange(8)  # centres of the fine cells
    columns = 1.5 + 2 * np.arange(10)
    inside = np.ix_((rows >= 2.5) & (rows <= 14.5), (columns >= 0.5) & (columns <= 20.5))
    expected = np.zeros((8, 10))
    expected[inside] = 1
    assert 0 < expected.sum() < expected.size
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("cell", [(1, 2), (1, 1)])
def test_an_impulse_in_the_coarse_map_keeps_what_the_fine_one_has_there(cell):
    coarse = np.zeros((1, *COARSE.cells))
    coarse[(0, *cell)] = 1.0
    result = fused([coarse, np.ones((1, *FINE.cells))], (COARSE, FINE))[0]
    centre = np.array(COARSE.offset) + np.array(COARSE.stride) * cell
    for at in np.ndindex(*FINE.cells):
        away = np.abs(np.array(FINE.offset) + np.array(FINE.stride) * at - centre)
        if (away >= COARSE.stride).any():
            assert result[at] == 0
    peak = np.unravel_index(result.argmax(), result.shape)
    nearest = np.abs(np.array(FINE.offset) + np.array(FINE.stride) * peak - centre)
    assert (nearest <= np.array(FINE.stride) / 2).all()


def test_the_geometry_is_the_finest_layer_s():
    place = fused_layer([COARSE, FINE, ROUGH])
    assert place.name == "coarse+fine+rough"
    assert (place.cells, place.offset, place.stride) == (FINE.cells, FINE.offset, FINE.stride)
    assert place.receptive_field == (15.0, 20.0)
    assert finest_of([COARSE, FINE, ROUGH]) == 1
    assert finest_of([FINE, FINE]) == 0
    with pytest.raises(ConfigError, match=r"different layers to fuse, received \['fine', 'fine'\]"):
        fused_layer([FINE, FINE])


def test_one_layer_is_its_own_map():
    (cam,) = noise((FINE,))
    np.testing.assert_array_equal(fused([cam], (FINE,)), cam)
    assert fused_layer([FINE]) == FINE


# In a network: a blob that is found by both layers.


def brightness_network():
    """Means of 2² and of 8² pixels, averaged: its maps mark bright pixels."""
    model = keras.Sequential(
        [
            keras.Input((32, 40, 1)),
            layers.Conv2D(1, 2, strides=2, use_bias=False, name="fine"),
            layers.Conv2D(1, 4, strides=4, use_bias=False, name="coarse"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, use_bias=False),
        ]
    )
    model.set_weights([np.full(w.shape, 1 / w.size, np.float32) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("corner", [(4, 6), (16, 24), (28, 34)])
@pytest.mark.parametrize("method", ["gradcam", "gradcam_plus_plus", "hirescam", "layercam"])
def test_the_fused_map_peaks_where_the_object_is(corner, method):
    model = brightness_network()
    target = target_layer(model, "coarse+fine")
    assert (target.name, target.place.cells) == ("coarse+fine", (16, 20))
    volume = np.full((1, 32, 40, 1), 0.01, np.float32)
    volume[0, corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = 1.0
    cam = explain(model, "coarse+fine", volume, [0], method=method).numpy()[0]
    peak = np.unravel_index(cam.argmax(), cam.shape)
    centre = np.array(target.place.offset) + np.array(target.place.stride) * peak
    np.testing.assert_allclose(centre, np.array(corner) + 0.5)
    alone = [explain(model, n, volume, [0], method=method).numpy() for n in ("coarse", "fine")]
    expected = reference([one[0].astype(np.float64) for one in alone], target.places)
    np.testing.assert_allclose(cam, expected, atol=1e-5 * expected.max())
