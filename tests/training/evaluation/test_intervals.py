"""Intervals against their definitions, closed forms and independent references."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import mannwhitneyu

from vcam_training.evaluation.intervals import (
    auc,
    auc_interval,
    auc_metric,
    mean_auc_interval,
    mean_interval,
    mean_metric,
    share_metric,
    wilson_interval,
)


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (5, 10), (298, 300), (300, 300)])
def test_the_interval_holds_the_shares_that_the_count_does_not_contradict(
    successes: int, count: int
) -> None:
    """Wilson: at its ends, share and count are z standard errors apart."""
    for end in wilson_interval(successes, count):
        apart = abs(end - successes / count)
        assert apart == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), abs=1e-6)


def test_known_intervals() -> None:
    assert_allclose(wilson_interval(5, 10), (0.236593, 0.763407), atol=1e-6)
    assert_allclose(wilson_interval(0, 10), (0, 3.841459 / (10 + 3.841459)), atol=1e-6)
    assert_allclose(wilson_interval(300, 300), (300 / (300 + 3.841459), 1), atol=1e-6)


@pytest.mark.parametrize("count", [400, 5000])
def test_the_interval_of_a_mean_is_nearly_normal(count: int) -> None:
    """More values than are resampled at once, too."""
    values = np.random.default_rng(0).gamma(2, size=count)
    half = 1.959964 * values.std() / count**0.5
    expected = (values.mean() - half, values.mean() + half)
    assert_allclose(mean_interval(values), expected, atol=0.15 * half)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)
    assert mean_interval([0.25]) == (0.25, 0.25)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_that_of_the_rank_test(ties: bool) -> None:
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(0.5, size=40), rng.normal(size=70)
    if ties:
        positives, negatives = np.round(positives), np.round(negatives)
    expected = mannwhitneyu(positives, negatives).statistic / (40 * 70)
    assert auc(positives, negatives) == pytest.approx(expected)
    assert auc(negatives, positives) == pytest.approx(1 - expected)


def test_known_areas() -> None:
    assert auc([2, 3], [0, 1]) == 1
    assert auc([1, 1], [1, 1, 1]) == 0.5
    assert auc([1, 2], [1]) == 0.75


def test_the_interval_of_an_area() -> None:
    """Close to Hanley and McNeil's standard error for two normal distributions."""
    rng = np.random.default_rng(1)
    positives, negatives = rng.normal(1, size=200), rng.normal(size=200)
    area = auc(positives, negatives)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 199 * (q1 - area**2) + 199 * (q2 - area**2)) / 200**2
    half = 1.959964 * variance**0.5
    expected = (area - half, area + half)
    assert_allclose(auc_interval(positives, negatives), expected, atol=0.2 * half)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_perfect_area_is_not_certain(count: int) -> None:
    high, low = 1 + np.arange(count + 7), -np.arange(count)
    assert auc_interval(high, low) == wilson_interval(count, count)
    assert auc_interval(low, high) == wilson_interval(0, count)
    scores = np.concatenate([high, low])[:, None]
    labels = scores > 0
    assert mean_auc_interval(np.hstack([scores, -scores]), np.hstack([labels, ~labels])) == (
        wilson_interval(count, count)
    )


def test_metrics_carry_their_intervals() -> None:
    hits = np.array([True, True, False])
    share = share_metric("x", hits, chance=0.1)
    assert (share.value, share.count, share.split, share.chance) == (2 / 3, 3, "test", 0.1)
    assert (share.lower, share.upper) == wilson_interval(2, 3)
    mean = mean_metric("y", [0.1, 0.5], split="validation")
    assert (mean.value, mean.count, mean.split, mean.chance) == (0.3, 2, "validation", None)
    assert (mean.lower, mean.upper) == mean_interval([0.1, 0.5])
    area = auc_metric("z", [2.0, 3.0], [0.0])
    assert (area.value, area.count, area.chance) == (1, 3, 0.5)
    assert (area.lower, area.upper) == wilson_interval(1, 1)
