"""Percentages and the aggregation of slices."""

import dataclasses

import numpy as np
import pytest
from client.stand_in import SPEC
from hypothesis import given
from hypothesis import strategies as st

from vcam_client.scores import aggregate, default_class, percentages
from vcam_client.spec import Activation, ExplainDefault, Grid, ModelSpec, SliceAggregation


@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=20))
def test_exclusive_percentages_sum_to_100_and_stay_within_a_hundredth(scores: list[float]) -> None:
    shares = np.array(scores) / np.sum(scores)
    rounded = percentages(shares, exclusive=True)
    assert round(sum(round(100 * p) for p in rounded)) == 10_000
    assert np.abs(np.array(rounded) - 100 * shares).max() < 0.01 + 1e-9


def test_the_largest_remainder_gets_the_missing_hundredth() -> None:
    assert percentages(np.array([1, 1, 1]) / 3, exclusive=True) == [33.34, 33.33, 33.33]


def test_findings_are_rounded_each_by_itself() -> None:
    assert percentages(np.array([0.99999, 0.5, 0.00001]), exclusive=False) == [100.0, 50.0, 0.0]


def spec(
    aggregation: SliceAggregation, activation: Activation, explain: ExplainDefault
) -> ModelSpec:
    layer = dataclasses.replace(
        SPEC.default_layer, cells=(3, 4), offset=(0.5, 0.5), stride=(2.0, 2.0)
    )
    return dataclasses.replace(
        SPEC,
        grid=Grid(shape=(6, 8)),
        slice_aggregation=aggregation,
        activation=activation,
        explain_default=explain,
        cam_layers=(layer,),
    )


MAX, MEAN = SliceAggregation.MAX, SliceAggregation.MEAN
SOFTMAX, SIGMOID = Activation.SOFTMAX, Activation.SIGMOID


@pytest.mark.parametrize(
    ("aggregation", "activation", "explain", "expected"),
    [
        (MEAN, SOFTMAX, ExplainDefault.TOP_CLASS, [0.6, 0.4]),
        (MAX, SOFTMAX, ExplainDefault.POSITIVE_CLASS, [0.3, 0.7]),
        (MAX, SOFTMAX, ExplainDefault.TOP_CLASS, [0.9 / 1.6, 0.7 / 1.6]),
        (MAX, SIGMOID, ExplainDefault.HIGHEST_FINDING, [0.9, 0.7]),
    ],
)
def test_slices_into_one(
    aggregation: SliceAggregation,
    activation: Activation,
    explain: ExplainDefault,
    expected: list[float],
) -> None:
    slices = np.array([[0.9, 0.1], [0.3, 0.7]])
    scores = aggregate(slices, spec(aggregation, activation, explain))
    np.testing.assert_allclose(scores, expected)


def test_the_default_class_follows_the_spec() -> None:
    scores = np.array([0.7, 0.3])
    assert default_class(scores, spec(MAX, SOFTMAX, ExplainDefault.TOP_CLASS)) == 0
    assert default_class(scores, spec(MAX, SOFTMAX, ExplainDefault.POSITIVE_CLASS)) == 1
    assert default_class(scores, spec(MAX, SIGMOID, ExplainDefault.HIGHEST_FINDING)) == 0
