"""What is concluded from figures, and in which words."""

import pytest

from vcam_training.trust.checks import checks, depends_on_weights, summary
from vcam_training.trust.figure import SHARE, Curve, Figure
from vcam_training.trust.figures import (
    CAM,
    DELETION_GAIN,
    DICE,
    EDGES,
    INSERTION_GAIN,
    NEAR,
    NOISY,
    SAME_AFTER_SHIFT,
    SILENT_POSITIVES,
    SLIGHT_NOISE,
    SLIGHT_SHIFT,
)


def figure(name: str, value: float, lower: float, control: float, kind: str = "number") -> Figure:
    return Figure(
        group="x",
        name=name,
        value=value,
        lower=lower,
        upper=1.0,
        count=120,
        control=control,
        meaning="X.",
        kind=kind,
    )


def figures(**changes: Figure) -> list[Figure]:
    good = {
        "near": figure(NEAR, 0.99, 0.95, 0.0137, SHARE),
        "dice": figure(DICE, 0.61, 0.58, 0.02),
        "deletion": figure(DELETION_GAIN, 0.3, 0.2, 0.0),
        "insertion": figure(INSERTION_GAIN, 0.3, 0.2, 0.0),
        "noise": figure(SLIGHT_NOISE, 0.9, 0.8, 0.1),
        "shift": figure(SLIGHT_SHIFT, 0.9, 0.8, 0.1),
        "same": figure(SAME_AFTER_SHIFT, 1.0, 1.0, 0.0, SHARE),
        "silent": figure(SILENT_POSITIVES, 0.02, 0.0, 0.9, SHARE),
    }
    return [one for one in {**good, **changes}.values() if one is not None]


def curves(map_lower: float, edges: float = 1.0, noisy: float | None = None) -> dict[str, Curve]:
    lowers = {CAM: map_lower, EDGES: edges, NOISY: map_lower if noisy is None else noisy}
    return {
        name: Curve(name=name, values=(1.0, 0.9), lower=(1.0, lower), upper=(1.0, 1.0))
        for name, lower in lowers.items()
    }


def said(given: list[Figure], weights: dict[str, Curve], **options: bool) -> str:
    return summary(given, checks(given, weights, **options), 120)


def test_a_model_that_passes() -> None:
    assert said(figures(), curves(0.1)) == (
        "Maps checked on 120 held-out scans: strongest point within one cell of the object in "
        "99 % (chance 1.4 %), mean Dice 0.61 (chance 0.02); they change when the weights are "
        "randomised."
    )
    assert all(check.passed for check in checks(figures(), curves(0.1)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"near": figure(NEAR, 0.03, 0.01, 0.02, SHARE)}, "The maps point at the objects no more"),
        ({"deletion": figure(DELETION_GAIN, 0.1, -0.01, 0)}, "Hiding what the maps mark lowers"),
        ({"insertion": figure(INSERTION_GAIN, 0.1, -0.01, 0)}, "Showing only what the maps mark"),
        ({"noise": figure(SLIGHT_NOISE, 0.3, 0.2, 0.25)}, "Noise that nobody sees changes"),
        ({"shift": figure(SLIGHT_SHIFT, 0.3, 0.2, 0.25)}, "A shift by half a voxel changes"),
        (
            {"same": figure(SAME_AFTER_SHIFT, 0.5, 0.4, 0.0, SHARE)},
            "Shifted by half a voxel, 50 % of the scans are given another class",
        ),
        ({"silent": figure(SILENT_POSITIVES, 0.6, 0.5, 0.9)}, "Where the class was found, most"),
    ],
)
def test_what_failed_comes_first(change: dict[str, Figure], sentence: str) -> None:
    text = said(figures(**change), curves(0.1))
    assert text.startswith(f"Warning: {sentence}")
    assert "Maps checked on 120 held-out scans" in text
    answers = checks(figures(**change), curves(0.1))
    assert [check.passed for check in answers].count(False) == 1


def test_independence_needs_confidence() -> None:
    assert depends_on_weights(curves(0.49)) is True
    assert depends_on_weights(curves(0.51)) is False
    assert said(figures(), curves(0.51)).startswith("Warning: The maps hardly change when all")


@pytest.mark.parametrize(
    ("edges", "noisy", "own", "answer"),
    [
        (0.4, 0.1, 0.1, None),  # an edge detector that seems to know the model
        (1.0, 0.6, 0.1, None),  # noise makes the map seem independent
        (1.0, 0.4, 0.9, False),  # noise drowns a map that is
    ],
)
def test_controls_decide_whether_there_is_an_answer(
    edges: float, noisy: float, own: float, answer: bool | None
) -> None:
    given = curves(own, edges, noisy)
    assert depends_on_weights(given) is answer
    if answer is None:
        text = said(figures(), given)
        assert text.startswith("Whether the maps depend on the weights could not be tested")
        assert not text.endswith("when the weights are randomised.")


def test_curves_that_cannot_tell_are_no_pass_and_no_failure() -> None:
    answers = checks(figures(), curves(0.1), looks_alike=True)
    assert [check.passed for check in answers].count(None) == 1
    assert len(answers) == len(checks(figures(), curves(0.1))) - 1
    assert said(figures(), curves(0.1), looks_alike=True).startswith("Deletion and insertion can't")


def test_without_masks_the_score_is_spoken_of() -> None:
    text = said(figures(near=None, dice=None), curves(0.1))
    assert text == (
        "Maps checked on 120 held-out scans: hiding what they mark lowers the area under the "
        "score by 0.30 more than hiding as much elsewhere; they change when the weights are "
        "randomised."
    )


def test_nothing_is_rounded_to_all_or_none() -> None:
    given = figures(
        near=figure(NEAR, 0.997, 0.99, 0.0004, SHARE), dice=figure(DICE, 0.5, 0.4, 0.002)
    )
    assert "in 99.7 % (chance below 0.1 %), mean Dice 0.50 (chance below 0.01)" in said(
        given, curves(0)
    )
    assert "in 100 % " in said(figures(near=figure(NEAR, 1.0, 0.9, 0.01, SHARE)), curves(0))
