"""Temperature, reliability and decision threshold: known answers and degenerate splits."""

from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose
from scipy.special import softmax

from vcam_training.evaluation.calibration import (
    LARGEST_TEMPERATURE,
    Calibration,
    calibrate,
    decision_threshold,
    fit_temperature,
    negative_log_likelihood,
    scores_of,
    smoothed_loss,
)
from vcam_training.evaluation.cuts import best_cuts
from vcam_training.evaluation.reliability import bin_of, expected_calibration_error, reliability
from vcam_training.evaluation.score_metrics import finding_metrics
from vcam_training.results.curves import draw_reliability

COUNT = 20_000


def drawn(classes: int, seed: int = 0, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the probability of the labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(count, classes))
    labels = (rng.random((count, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_the_temperature_undoes_a_scale(classes: int, scale: float) -> None:
    logits, labels = drawn(classes)
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.03)


def test_the_temperature_of_findings() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(COUNT, 3))
    labels = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.03)
    assert_allclose(scores_of(logits, exclusive=False), 1 / (1 + np.exp(-logits)))


def test_one_logit_is_two_classes() -> None:
    """[−z/2, z/2] over T is sigmoid(z / T): the temperature is that of z."""
    rng = np.random.default_rng(0)
    z = rng.normal(scale=2, size=COUNT)
    labels = (rng.random(COUNT) < 1 / (1 + np.exp(-z))).astype(int)
    logits = np.stack([-3 * z / 2, 3 * z / 2], axis=1)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3, rel=0.03)
    expected = 1 / (1 + np.exp(-3 * z / temperature))
    assert_allclose(scores_of(logits, temperature)[:, 1], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_temperature_is_where_a_loss_is_lowest(seed: int) -> None:
    """Above 1 the plain loss, below 1 the smoothed one, 1 where they disagree."""
    logits, labels = arbitrary(seed)
    temperature = fit_temperature(logits, labels)
    losses = (negative_log_likelihood, smoothed_loss)
    grid = np.geomspace(1 / LARGEST_TEMPERATURE, LARGEST_TEMPERATURE, 2001)
    plain, cautious = (min(grid, key=lambda t: loss(logits, labels, t)) for loss in losses)
    expected = plain if plain > 1 else cautious if cautious < 1 else 1
    assert temperature == pytest.approx(expected, rel=4e-3)
    untouched = negative_log_likelihood(logits, labels, 1.0)
    assert negative_log_likelihood(logits, labels, temperature) <= untouched


def arbitrary(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of any size, half of which know the label; all of them for even seeds."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(12, 3))
    labels = rng.integers(3, size=12)
    known = 12 if seed % 2 == 0 else 6
    logits[:known] += 3 * np.eye(3)[labels[:known]]
    return logits * 10 ** rng.uniform(-1, 1), labels


def test_weak_scores_without_a_mistake_are_raised_but_not_to_certainty() -> None:
    """Platt: of N volumes of a class, all right, scores aim at (N + 1) / (N + 2)."""
    labels = np.array([0, 1] * 9)
    logits = np.where(labels[:, None] == [0, 1], 1.0, -1.0)
    temperature = fit_temperature(logits, labels)
    assert scores_of(logits, temperature)[1, 1] == pytest.approx(10 / 11, abs=1e-4)
    findings = labels[:, None] == [0, 1]
    temperature = fit_temperature(logits, findings)
    assert scores_of(logits, temperature, exclusive=False).max() == pytest.approx(10 / 11, abs=1e-4)
    three = np.repeat(np.arange(3), 4)
    logits = np.eye(3)[three]
    temperature = fit_temperature(logits, three)
    assert scores_of(logits, temperature).max() == pytest.approx(5 / 7, abs=1e-4)


def test_strong_scores_without_a_mistake_are_left_alone() -> None:
    labels = np.array([0, 1] * 9)
    logits = np.where(labels[:, None] == [0, 1], 4.0, -4.0)
    assert fit_temperature(logits, labels) == 1
    logits[0] = -logits[0]  # and lowered once there is one
    assert fit_temperature(logits, labels) > 1.5


@pytest.mark.parametrize(
    ("logits", "labels", "temperature"),
    [
        (np.zeros((6, 2)), np.array([0, 1] * 3), 1.0),
        (np.full((6, 3), 7.0), np.array([0, 1, 2] * 2), 1.0),
        (np.array([[1000.0, -1000.0], [-1000.0, 1000.0]] * 3), np.array([0, 1] * 3), None),
        (np.array([[1000.0, -1000.0]] * 6), np.array([0, 1] * 3), LARGEST_TEMPERATURE),
        (np.array([[1.0, -1.0]] * 6), np.zeros(6, int), None),
        (np.array([[-1.0, 1.0]] * 6), np.zeros(6, int), LARGEST_TEMPERATURE),
        (np.array([[1.0, -1.0]]), np.zeros(1, int), None),
    ],
    ids=["zeros", "constant", "saturated", "saturated, wrong", "one class", "all wrong", "one"],
)
def test_degenerate_splits(
    logits: np.ndarray, labels: np.ndarray, temperature: float | None
) -> None:
    """Finite, and no number out of nowhere where the logits say nothing."""
    found = calibrate(logits, labels, logits, labels)
    if temperature is not None:
        assert found.temperature == pytest.approx(temperature, rel=1e-3)
    assert 1 / LARGEST_TEMPERATURE <= found.temperature <= LARGEST_TEMPERATURE
    for shown in (found.before, found.after):
        assert 0 <= shown.lower <= shown.error <= shown.upper <= 1
        assert sum(one.count for one in shown.bins) == len(labels)
    if len(np.unique(labels)) == 1:
        assert found.decision_threshold is None


def test_the_error_of_a_hand_made_table() -> None:
    """Two bins: 4 scores of .9, half of them true; 6 scores of .05, one of them true."""
    positive = np.array([0.9] * 4 + [0.05] * 6)
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    scores = np.stack([1 - positive, positive], axis=1)
    expected = 0.4 * abs(0.9 - 0.5) + 0.6 * abs(0.05 - 1 / 6)
    assert expected_calibration_error(scores, labels) == pytest.approx(expected)
    shown = reliability(scores, labels)
    assert shown.error == pytest.approx(expected)
    assert [(b.count, round(b.score, 9), b.frequency) for b in shown.bins] == [
        (6, 0.05, 1 / 6),
        (4, 0.9, 0.5),
    ]


def test_the_error_of_several_classes_is_about_the_highest_score() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.15, 0.8, 0.05]])
    labels = np.array([0, 1, 2])
    expected = (abs(0.5 - 1) + 2 * abs(0.8 - 0.5)) / 3
    assert expected_calibration_error(scores, labels) == pytest.approx(expected)


def test_the_error_of_findings_is_about_each_of_them() -> None:
    scores = np.array([[0.95, 0.5], [0.95, 0.1]])
    labels = np.array([[True, False], [False, False]])
    expected = (2 * abs(0.95 - 0.5) + 0.5 + 0.1) / 4
    assert expected_calibration_error(scores, labels) == pytest.approx(expected)


def test_bins_are_closed_above() -> None:
    assert bin_of(np.array([0, 1e-9, 1 / 15, 0.0667, 0.5, 1])).tolist() == [0, 0, 0, 1, 7, 14]


def test_an_error_that_can_not_be_told_from_none() -> None:
    """Scores that are probabilities: few cases show an error all the same."""
    logits, labels = drawn(2, count=200)
    few = reliability(scores_of(logits), labels)
    assert few.error > 0.02
    assert few.error_of_perfect == pytest.approx(few.error, rel=0.5)
    logits, labels = drawn(2)
    assert reliability(scores_of(logits), labels).error_of_perfect < few.error_of_perfect / 5
    wrong = reliability(scores_of(3 * logits), labels)
    assert wrong.lower > 5 * wrong.error_of_perfect


def test_the_interval_of_the_error_holds_the_true_one() -> None:
    """Scores of .8 that come true in 60 of 100: the error is .2."""
    rng = np.random.default_rng(0)
    scores = np.tile([0.2, 0.8], (500, 1))
    shown = reliability(scores, (rng.random(500) < 0.6).astype(int))
    assert shown.lower < 0.2 < shown.upper
    assert shown.upper - shown.lower == pytest.approx(2 * 1.96 * (0.24 / 500) ** 0.5, rel=0.15)


def test_the_cut_of_a_hand_made_table() -> None:
    assert best_cuts([0.4, 0.7, 0.9], [0.1, 0.2, 0.5]) == [(0.2, 0.4), (0.5, 0.7)]
    assert best_cuts([3, 4], [1, 2]) == [(2, 3)]
    assert best_cuts([1, 2], [1, 2]) == []
    assert best_cuts([1, 2], [3, 4]) == []
    assert best_cuts([1, 1], [1]) == []


def test_the_decision_threshold_of_a_hand_made_table() -> None:
    """Both cuts have J = 2/3; the middle of .2 and .4 is further from .5 than that of .5 and .7."""
    scores = np.array([0.4, 0.7, 0.9, 0.1, 0.2, 0.5])
    positive = np.array([True] * 3 + [False] * 3)
    assert decision_threshold(scores, positive) == pytest.approx(0.6)
    assert decision_threshold(np.array([0.01, 0.02, 0.9, 0.04]), np.array([0, 1, 1, 1]) > 0) == (
        pytest.approx(0.015)
    )
    assert decision_threshold(np.array([0.9, 0.1]), np.array([False, True])) is None
    assert decision_threshold(scores[:2], positive[:2]) is None


def test_there_is_no_decision_threshold_but_for_two_exclusive_classes() -> None:
    logits, labels = drawn(3, count=300)
    assert calibrate(logits, labels, logits, labels).decision_threshold is None
    findings = labels[:, None] == np.arange(3)
    assert calibrate(logits, findings, logits, findings).decision_threshold is None
    logits, labels = drawn(2, count=300)
    decided = calibrate(logits, labels, logits, labels).decision_threshold
    assert decided == pytest.approx(0.5, abs=0.15)


def test_a_calibration_is_checked_on_the_test_split() -> None:
    logits, labels = drawn(2)
    others, theirs = drawn(2, seed=1)
    found = calibrate(4 * logits, labels, 4 * others, theirs)
    assert found.before.error == expected_calibration_error(scores_of(4 * others), theirs)
    assert found.after.error == pytest.approx(0, abs=0.02)
    assert found.before.error > 0.1
    assert found.after.count == COUNT


def test_findings_have_an_area_each() -> None:
    """One that is never there has none."""
    logits = np.array([[1.0, 0, 3], [2, 0, 2], [3, 1, 1], [4, 1, 0]])
    there = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 0]], bool)
    calibration = calibrate(logits, there, logits, there)
    found = finding_metrics(logits, there, calibration, ["mass", "nodule", "oedema"])
    areas = [(m.name, m.value, m.count) for m in found[:-1]]
    assert areas == [("mean AUC", 2 / 3, 4), ("AUC, mass", 1, 4), ("AUC, oedema", 1 / 3, 4)]
    assert (found[-1].name, found[-1].count) == ("expected calibration error", 12)


def test_a_calibration_is_written_and_read() -> None:
    logits, labels = drawn(2, count=100)
    found = calibrate(logits, labels, logits, labels)
    assert Calibration.from_json_dict(found.to_json_dict()) == found


def test_the_diagram_shows_a_dot_where_a_bin_is(tmp_path: Path) -> None:
    """The dot of 50 scores of .9, 10 of them true, is drawn; without them it is not."""
    positive = np.repeat([0.1, 0.9], 50)
    labels = np.concatenate([np.zeros(50, int), np.arange(50) < 10])
    logits = np.stack([-np.log(positive / (1 - positive)) / 2] * 2, axis=1) * [1, -1]
    both = calibrate(logits, labels, logits, labels)
    one = calibrate(logits, labels, logits[:50], labels[:50])
    pictures = []
    for number, found in enumerate((both, one)):
        draw_reliability(tmp_path / f"{number}.png", found, "test")
        pictures.append(imread(tmp_path / f"{number}.png"))
    assert pictures[0].shape == (520, 1000, 4)
    assert not np.array_equal(*pictures)


def test_logits_of_a_keras_model_keep_their_type() -> None:
    """float32 as models give them: scaled as float64, so that nothing is lost on the way."""
    logits = keras.ops.convert_to_numpy(keras.ops.ones((4, 2), "float32"))
    assert scores_of(logits, 3.0).dtype == np.float64
