"""Which maps say nothing, and why."""

import dataclasses

import numpy as np
import pytest
from client.predictions import CELLS, LAYER, impulse, prediction, spec
from client.stand_in import SPEC

from vcam_client import ModelSpec
from vcam_client.evidence import (
    FLAT,
    NO_EVIDENCE_SHARE,
    Finding,
    finding,
    has_contrast,
    nothing_up_to,
)
from vcam_client.explanation import Explanation
from vcam_client.spec import Intensity

SLOPE = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)


def explained(**given: float) -> Explanation:
    return Explanation(signature="gradcam", method="gradcam", layer="conv", **given)


@pytest.mark.parametrize(
    ("given", "nothing"),
    [
        ({}, 0.0),
        ({"reference_maximum": 6.0}, 2.0),
        ({"reference_maximum": 6.0, "evidence_minimum": 5.0}, 5.0),
        ({"reference_maximum": 6.0, "evidence_minimum": 0.0}, 0.0),
        ({"evidence_minimum": 0.25}, 0.25),
    ],
)
def test_up_to_which_cell_a_map_is_nothing(given: dict[str, float], nothing: float) -> None:
    assert pytest.approx(1 / 3) == NO_EVIDENCE_SHARE
    assert nothing_up_to(explained(**given)) == pytest.approx(nothing)


@pytest.mark.parametrize(
    ("cells", "nothing", "expected"),
    [
        (SLOPE, 0.0, Finding.EVIDENCE),
        (SLOPE, 0.999, Finding.EVIDENCE),
        (SLOPE, 1.0, Finding.WEAK),
        (SLOPE - 1, 0.0, Finding.NOTHING_POSITIVE),
        (SLOPE * 0, 0.0, Finding.NOTHING_POSITIVE),
        (SLOPE * 0 + 3, 0.0, Finding.FLAT),
        (SLOPE * 0 + 3, 5.0, Finding.FLAT),
        (1 + SLOPE * 0.99 * FLAT / 2, 0.0, Finding.FLAT),
        (1 + SLOPE * 1.01 * FLAT / 2, 0.0, Finding.EVIDENCE),
        (SLOPE * 1e-20, 0.0, Finding.EVIDENCE),
        (SLOPE * 1e30, 0.0, Finding.EVIDENCE),
    ],
)
def test_what_a_map_holds(cells: np.ndarray, nothing: float, expected: Finding) -> None:
    assert finding(cells, nothing) is expected
    assert finding(cells, nothing, contrast=False) is Finding.NO_CONTRAST


def with_window(window: tuple[float, float] | None) -> ModelSpec:
    return dataclasses.replace(SPEC, intensity=Intensity(dtype="float32", window=window))


@pytest.mark.parametrize(
    ("values", "window", "expected"),
    [
        ((5.0, 5.0), None, False),
        ((5.0, 5.1), None, True),
        ((-2000.0, -1000.0), (-1000.0, 400.0), False),  # air, all beyond the window
        ((400.0, 3000.0), (-1000.0, 400.0), False),
        ((-2000.0, 3000.0), (-1000.0, 400.0), True),
        ((-1000.0, -999.0), (-1000.0, 400.0), True),
    ],
)
def test_what_the_model_sees_has_contrast(
    values: tuple[float, float], window: tuple[float, float] | None, expected: bool
) -> None:
    tensor = np.full((4, 40, 40), values[0], np.float32)
    tensor[3, 39, 38] = values[1]  # a single voxel counts
    assert has_contrast(tensor, with_window(window)) is expected
    integers = tensor.astype(np.int16)
    assert has_contrast(integers, with_window(window)) is (expected and values != (5.0, 5.1))


CASES = {
    Finding.NO_CONTRAST: ({"contrast": False}, impulse(1, 1, 1), "looks the same to the model"),
    Finding.NOTHING_POSITIVE: ({}, -impulse(1, 1, 1), "no cell of its map is above 0"),
    Finding.FLAT: ({}, np.ones(CELLS), "all cells of its map are alike"),
    Finding.WEAK: (
        {},
        impulse(1, 1, 1, value=0.9),
        "30.0% as strong as in a typical true positive",
    ),
}


@pytest.mark.parametrize("expected", CASES, ids=lambda case: case.name)
def test_a_prediction_says_why_there_is_none(expected: Finding) -> None:
    more, cam, reason = CASES[expected]
    model = spec(cam_layers=(dataclasses.replace(LAYER, reference_maximum=3.0),))
    made = prediction(cam, model=model, **more)
    assert made.evidence.finding is expected
    assert not made.evidence.found
    assert not made.has_evidence
    assert made.no_evidence.startswith("No evidence for lesion: ")
    assert reason in made.no_evidence
    assert not made.heatmap().any()
    assert not made.heatmap_on_model_grid().any()
    assert not made.mask().any()
    assert made.regions().voxels == 0


def test_evidence_leaves_nothing_to_say() -> None:
    made = prediction(impulse(1, 1, 1))
    assert made.evidence.finding is Finding.EVIDENCE
    assert made.no_evidence == ""
    assert made.heatmap().max() > 0.5


def test_counter_evidence_has_the_same_measure() -> None:
    model = spec(cam_layers=(dataclasses.replace(LAYER, reference_maximum=3.0),))
    assert prediction(-impulse(1, 1, 1, value=2.0), model=model).has_counter_evidence
    assert not prediction(-impulse(1, 1, 1, value=0.9), model=model).has_counter_evidence
    flat = prediction(-np.ones(CELLS) * 5, model=model)
    assert not flat.has_counter_evidence
    assert not flat.signed_map().any()
    unseen = prediction(-impulse(1, 1, 1, value=2.0), model=model, contrast=False)
    assert not unseen.has_counter_evidence
    assert not unseen.signed_map().any()
