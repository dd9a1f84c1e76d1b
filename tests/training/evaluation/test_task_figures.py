"""Figures of several classes, findings and regressions, against scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    recall_score,
    roc_auc_score,
)

from vcam_client.spec import Metric
from vcam_training.evaluation.calibration import calibrate, fit, is_found, scores_of
from vcam_training.evaluation.intervals import mean_auc_interval, r2_interval
from vcam_training.evaluation.reliability import reliability
from vcam_training.evaluation.score_metrics import (
    class_metrics,
    finding_metrics,
    regression_metrics,
    unmeasured,
)

NAMES = ("a", "b", "c")


def by_name(found: list[Metric]) -> dict[str, Metric]:
    assert len({metric.name for metric in found}) == len(found)
    return {metric.name: metric for metric in found}


@pytest.fixture(scope="module")
def classes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=120, p=[0.6, 0.3, 0.1]).astype(np.int32)
    return rng.normal(size=(120, 3)) + 1.2 * np.eye(3)[labels], labels


@pytest.fixture(scope="module")
def findings() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    there = rng.random((150, 3)) < [0.5, 0.2, 0.0]
    return rng.normal(size=there.shape) + there - 1.0, there


def test_several_classes(classes) -> None:
    logits, labels = classes
    calibration = calibrate(logits, labels, logits, labels)
    found = by_name(class_metrics(logits, labels, calibration, NAMES))
    scores = scores_of(logits, calibration.temperature)
    there = np.eye(3)[labels]
    assert found["accuracy"].value == (logits.argmax(axis=1) == labels).mean()
    assert found["accuracy"].chance == np.bincount(labels).max() / 120
    mean = found["mean AUC, one against the rest"]
    assert mean.value == pytest.approx(roc_auc_score(there, scores, average="macro"))
    assert mean.lower < mean.value < mean.upper
    recalls = recall_score(labels, logits.argmax(axis=1), average=None)
    for k, name in enumerate(NAMES):
        area = roc_auc_score(labels == k, scores[:, k])
        assert found[f"AUC, {name}"].value == pytest.approx(area)
        assert found[f"sensitivity, {name}"].value == pytest.approx(recalls[k])
        assert found[f"sensitivity, {name}"].count == (labels == k).sum()
    assert "expected calibration error" in found


def test_a_class_without_a_volume_has_no_figure_and_is_named(classes) -> None:
    logits, labels = classes
    kept = labels < 2
    calibration = calibrate(logits, labels, logits[kept], labels[kept])
    found = by_name(class_metrics(logits[kept], labels[kept], calibration, NAMES))
    assert "AUC, c" not in found
    assert "sensitivity, c" not in found
    areas = [found[f"AUC, {name}"].value for name in "ab"]
    assert found["mean AUC, one against the rest"].value == pytest.approx(np.mean(areas))
    assert unmeasured(labels[kept], NAMES) == ("No AUC of the class c: it is never there.",)
    assert unmeasured(labels, NAMES) == ()


def test_findings(findings) -> None:
    logits, there = findings
    calibration = calibrate(logits, there, logits, there)
    found = by_name(finding_metrics(logits, there, calibration, NAMES))
    areas = [roc_auc_score(there[:, k], logits[:, k]) for k in range(2)]
    assert found["mean AUC"].value == pytest.approx(np.mean(areas))
    assert found["mean AUC"].count == 150
    assert [found["AUC, a"].value, found["AUC, b"].value] == pytest.approx(areas)
    assert set(found) == {"mean AUC", "AUC, a", "AUC, b", "expected calibration error"}
    assert unmeasured(there, NAMES) == ("No AUC of the finding c: it is never there.",)
    assert unmeasured(~there, NAMES) == ("No AUC of the finding c: it is always there.",)


def test_the_interval_of_a_mean_area_resamples_volumes(findings) -> None:
    """Against a bootstrap written out; ties among the scores."""
    logits, there = np.round(findings[0][:, :2], 1), findings[1][:, :2]
    rng = np.random.default_rng(7)
    areas = []
    for _ in range(600):
        drawn = rng.integers(150, size=150)
        areas.append(roc_auc_score(there[drawn], logits[drawn]))
    assert_allclose(mean_auc_interval(logits, there), np.percentile(areas, (2.5, 97.5)), atol=0.012)
    assert mean_auc_interval(logits, there) == mean_auc_interval(logits, there)


def test_findings_that_hang_together_count_once() -> None:
    """The same column thrice: no narrower interval than of one."""
    rng = np.random.default_rng(0)
    there = rng.random((60, 1)) < 0.5
    scores = rng.normal(size=(60, 1)) + there
    thrice = [np.repeat(array, 3, axis=1) for array in (scores, there)]
    assert mean_auc_interval(*thrice) == mean_auc_interval(scores, there)
    shares = scores_of(scores, exclusive=False)
    once, all_three = (
        reliability(np.repeat(shares, k, axis=1), np.repeat(there, k, axis=1)) for k in (1, 3)
    )
    assert (all_three.lower, all_three.upper) == pytest.approx((once.lower, once.upper), rel=0.05)
    assert all_three.count == 3 * once.count


def test_each_finding_is_decided_by_its_own_threshold() -> None:
    logits = np.array([[-4.0, 2, 0], [-3, 1, 0], [-1, 4, 0], [0, 3, 0]])
    there = np.array([[0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 0]], bool)
    fitted = fit(logits, there)
    low, high, never = fitted.finding_thresholds
    assert low < 0.5 < high
    assert never is None
    for k, expected in enumerate((there[:, 0], there[:, 1], there[:, 2])):
        asked = np.full(4, k, np.int32)
        assert np.array_equal(is_found(logits, asked, fitted, exclusive=False), expected)


def test_regressions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal((100, 5), (20, 1), (80, 2)).astype(np.float32)
    answer = (truth + rng.normal((5, 0), (10, 0.5), (80, 2))).astype(np.float32)
    means = (95.0, 5.0)
    found = by_name(regression_metrics(answer, truth, means, ("volume", "length")))
    for k, name in enumerate(("volume", "length")):
        given, known = answer[:, k].astype(float), truth[:, k].astype(float)
        simple = np.full(80, means[k])
        for figure, measure in (
            (f"MSE, {name}", mean_squared_error),
            (f"mean absolute error, {name}", mean_absolute_error),
            (f"R², {name}", r2_score),
        ):
            assert found[figure].value == pytest.approx(measure(known, given), rel=1e-4)
            assert found[figure].chance == pytest.approx(measure(known, simple), rel=1e-4)
            assert found[figure].lower < found[figure].value < found[figure].upper
    assert all(m.chance is None for m in regression_metrics(answer, truth, (), NAMES[:2]))


def test_the_interval_of_r2_is_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(1000, 2, 90)  # far from 0: squares must not cancel
    errors = rng.normal(0, 1, 90)
    known = []
    for _ in range(2000):
        drawn = rng.integers(90, size=90)
        known.append(r2_score(truth[drawn], (truth + errors)[drawn]))
    assert_allclose(r2_interval(errors, truth), np.percentile(known, (2.5, 97.5)), atol=0.015)


def test_a_target_that_never_changes_has_no_r2() -> None:
    found = regression_metrics(np.ones((4, 1)), np.zeros((4, 1)), (0.0,), ("x",))
    assert [metric.name for metric in found] == ["MSE, x", "mean absolute error, x"]
