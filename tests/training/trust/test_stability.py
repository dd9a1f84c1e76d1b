"""Shifts and noise on maps that follow them exactly."""

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose

from vcam_client.spec import Intensity
from vcam_training.trust.cases import Cases
from vcam_training.trust.stability import shifted, spread, stability
from vcam_training.trust.subject import Subject


@pytest.fixture(scope="module")
def brightness() -> keras.Model:
    """The map is the brightness of the pixels."""
    image = x = keras.Input((12, 12, 1))
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1, kernel_initializer="ones", name="logit")(x))


def blobs(*centres: tuple[int, int], labels: tuple[int, ...]) -> Cases:
    i, j = np.mgrid[:12, :12]
    volumes = np.stack(
        [np.maximum(1 - ((i - a) ** 2 + (j - b) ** 2) / 9, 0) for a, b in centres]
    ).astype(np.float32)
    return Cases(
        volumes=volumes,
        classes=np.array(labels, np.int32),
        masks=volumes > 0,
        numbers=np.arange(len(labels)),
    )


def measured(model, spec_of, cases):
    subject = Subject(model, spec_of(model))
    return stability(subject, cases, subject.maps(cases.volumes, cases.classes))


def test_half_a_voxel_onwards() -> None:
    line = np.array([[0.0, 0, 4, 0, 0]])
    assert shifted(line, 1).tolist() == [[0, 0, 2, 2, 0]]
    assert shifted(line.T, 0).T.tolist() == [[0, 0, 2, 2, 0]]
    assert shifted(np.array([[5, 1]], np.int16), 1).tolist() == [[5, 3]]  # the edge repeats


def test_a_map_that_follows_is_where_it_should_be(brightness, spec_of) -> None:
    found = measured(brightness, spec_of, blobs((5, 5), (6, 4), labels=(1, 1)))
    assert_allclose(found.shift.displacement, 0, atol=1e-5)
    assert found.shift.similarity.min() > 0.9


def test_a_map_that_stays_is_half_a_voxel_off(brightness, spec_of) -> None:
    """The centre of a bright frame does not move with what is dark inside."""
    cases = blobs((5, 5), labels=(1,))
    cases.volumes[:] = 1.0
    found = measured(brightness, spec_of, cases)
    assert_allclose(found.shift.displacement, 0.5, atol=1e-5)


def test_other_scans_of_the_class_are_the_control(brightness, spec_of) -> None:
    cases = blobs((3, 3), (8, 8), (3, 8), labels=(1, 1, 0))
    found = measured(brightness, spec_of, cases)
    # the two of class 1 with each other, their centres 5 · √2 apart; class 0 has one scan
    assert_allclose(found.others.displacement, 5 * np.sqrt(2), rtol=0.01)
    assert found.others.similarity.max() < 0.5
    alone = measured(brightness, spec_of, cases.chosen(np.array([0, 2])))
    assert alone.others.similarity.size == 0


def test_more_noise_more_change(brightness, spec_of) -> None:
    cases = blobs((3, 3), (8, 8), (3, 8), labels=(1, 1, 1))
    found = measured(brightness, spec_of, cases)
    slight, strong = (change.similarity.mean() for change in found.noise)
    assert 0 < strong < slight < 1
    again = measured(brightness, spec_of, cases)
    assert np.array_equal(found.noise[0].similarity, again.noise[0].similarity)


def test_noise_is_of_the_window_or_of_the_data(brightness, spec_of) -> None:
    volumes = np.array([[0.0, 4.0]])
    assert spread(volumes, spec_of(brightness, intensity=Intensity(window=(-100, 300)))) == 400
    assert spread(volumes, spec_of(brightness, intensity=Intensity())) == 2


def test_a_map_without_a_positive_cell_has_no_centre(brightness, spec_of) -> None:
    cases = blobs((5, 5), labels=(1,))
    cases.volumes[:] = 0
    found = measured(brightness, spec_of, cases)
    assert np.isnan(found.shift.displacement).all()
    assert_allclose(found.shift.similarity, 0)
