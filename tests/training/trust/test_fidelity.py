"""Deletion and insertion on a model that NumPy can compute."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from vcam_client.spec import CamLayer, Fit, Grid
from vcam_training.trust.cases import Cases
from vcam_training.trust.fidelity import FRACTIONS, fidelity, ranked_voxels, replacement
from vcam_training.trust.subject import Subject


@pytest.fixture
def subject(region_model, spec_of) -> Subject:
    return Subject(region_model, spec_of(region_model))


@pytest.fixture
def cases() -> Cases:
    """Bright above, dark below."""
    images = np.random.default_rng(0).uniform(0.0, 0.4, (3, 8, 8)).astype(np.float32)
    images[:, :4] += 0.5
    return Cases(
        volumes=images,
        classes=np.ones(3, np.int32),
        masks=np.zeros(images.shape, bool),
        numbers=np.arange(3),
    )


def test_scores_are_as_served(subject, cases, score_of_region) -> None:
    scores = subject.scores(cases.volumes)
    assert_allclose(scores[:, 1], [score_of_region(v) for v in cases.volumes], rtol=1e-5)
    assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    cooled = Subject(subject.model, replace(subject.spec, calibration_temperature=3.0))
    odds = np.log(scores[:, 1] / scores[:, 0])
    assert_allclose(
        np.log(cooled.scores(cases.volumes)[:, 1] / cooled.scores(cases.volumes)[:, 0]),
        odds / 3,
        rtol=1e-4,
    )


@pytest.mark.parametrize("label", [0, 1])
def test_the_curves_by_hand(subject, cases, score_of_region, label: int) -> None:
    maps = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32)
    cases = replace(cases, classes=np.full(3, label, np.int32))
    found = fidelity(subject, cases, maps)
    for n, (image, cam) in enumerate(zip(cases.volumes, maps, strict=True)):
        median = np.median(image)
        strongest_first = np.argsort(-cam.ravel())
        for k, fraction in enumerate((np.arange(13) / 12) ** 2):
            taken = strongest_first[: round(fraction * 64)]
            deleted, inserted = image.copy().ravel(), np.full(64, median, np.float32)
            deleted[taken], inserted[taken] = median, image.ravel()[taken]
            for curve, changed in ((found.deletion, deleted), (found.insertion, inserted)):
                score = score_of_region(changed.reshape(8, 8))
                assert curve[n, k] == pytest.approx(score if label else 1 - score, abs=1e-5)


def test_areas_are_of_trapezoids(subject, cases) -> None:
    found = fidelity(subject, cases, np.zeros((3, 8, 8), np.float32))
    assert found.area(np.ones(13)) == pytest.approx(1)
    assert found.area(FRACTIONS) == pytest.approx(0.5)
    assert FRACTIONS[[0, 1, -1]].tolist() == [0, 1 / 144, 1]


def test_a_map_of_the_region_beats_its_shuffles(subject, cases) -> None:
    weights = np.zeros((3, 8, 8), np.float32)
    weights[:, :4, :4] = 1
    good, bad = fidelity(subject, cases, weights), fidelity(subject, cases, -weights)
    assert good.deletion_gain.min() > 0.1
    assert good.insertion_gain.min() > 0.1
    assert bad.deletion_gain.max() < 0
    assert bad.insertion_gain.max() < 0


def test_a_map_that_says_nothing_gains_nothing(subject, cases) -> None:
    for value in (0.0, 5.0):
        found = fidelity(subject, cases, np.full((3, 8, 8), value, np.float32))
        assert_allclose(found.deletion_gain, 0)
        assert_allclose(found.insertion_gain, 0)


def test_where_hiding_looks_like_the_class_curves_say_nothing(subject, cases) -> None:
    """The region is dark and the median bright: hiding anything there lights it up."""
    maps = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32)
    bright = replace(cases, volumes=np.full((3, 8, 8), 0.9, np.float32))
    bright.volumes[:, :4, :4] = 0.1
    assert fidelity(subject, bright, maps).looks_alike
    assert not fidelity(subject, cases, maps).looks_alike
    assert not fidelity(subject, replace(bright, classes=np.zeros(3, np.int32)), maps).looks_alike


def test_the_same_seed_gives_the_same_curves(subject, cases) -> None:
    maps = np.zeros((3, 8, 8), np.float32)
    maps[:, 2, 3] = 1
    first, second, other = (fidelity(subject, cases, maps, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.control_deletion, second.control_deletion)
    assert not np.array_equal(first.control_deletion, other.control_deletion)


def test_what_speaks_against_comes_last_and_ties_in_their_order() -> None:
    layer = CamLayer(name="x", cells=(2,), offset=(1.0,), stride=(3.0,))
    cam = np.array([-6.0, 6.0], np.float32)
    # voxels 0 … 5 and one beyond the cells: -6, -6, -2, 2, 6, 6, 0
    ranks = ranked_voxels(cam, (7,), layer, np.array([1, 0, 2, 3, 5, 4, 6]))
    assert ranks.tolist() == [6, 5, 4, 2, 1, 0, 3]


def test_the_replacement_leaves_padding_out() -> None:
    volume = np.array([[-1000, -1000, -1000], [10, 20, 60]], np.int16)
    padded = Grid(shape=(2, 3), axes=(), fit=Fit.SPACING, spacing_mm=(1, 1), padding_value=-1000)
    stretched = Grid(shape=(2, 3), axes=(), fit=Fit.STRETCH, padding_value=-1000)
    assert replacement(volume, padded) == 20
    assert replacement(volume, stretched) == -495
    assert replacement(np.full((2, 3), -1000), padded) == -1000
