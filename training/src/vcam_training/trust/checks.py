"""What a trust report concludes: checks that a map passes or fails, and one line for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vcam_training.trust.figure import Curve, Figure
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

SAME_MAP = 0.5
"""Rank correlation above which maps of a trained and of a random model are the same map.

The square of a correlation is the share of the ranks' variance that two maps have in
common: above 0.5, a quarter of what the map shows has nothing to do with the weights.
It must be above with confidence: the lower bound of the interval counts.
"""
WEIGHTS_CHECK = "depends on the weights"
"""Name of the check by randomisation."""
MOST_SILENT = 0.5
"""Share of maps without evidence for a class that is there and was found, at most."""
LEAST_SAME_CLASS = 0.9
"""Share of scans that must keep their class when they are shifted by half a voxel."""
_LEAST_WRITTEN, _TENTH = 0.01, 0.1
"""Least values that are written as they are: of a number, of a percentage."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to the maps.

    Attributes:
        name: of the question.
        passed: the answer; None where it can't be given.
        sentence: what that means, for people.
    """

    name: str
    passed: bool | None
    sentence: str


def independent_of_weights(curve: Curve) -> bool:
    """Whether maps stay what they are when all weights are random; see SAME_MAP."""
    return curve.lower[-1] > SAME_MAP


def depends_on_weights(curves: Mapping[str, Curve]) -> bool | None:
    """Whether maps change when all weights are random; None if the controls misbehave.

    The edge detector must be found independent of the weights, and a little noise on the
    map must not change the answer.
    """
    own = independent_of_weights(curves[CAM])
    if not independent_of_weights(curves[EDGES]) or (
        independent_of_weights(curves[NOISY]) and not own
    ):
        return None
    return not own


def checks(
    figures: Sequence[Figure], curves: Mapping[str, Curve], *, looks_alike: bool = False
) -> tuple[Check, ...]:
    """The checks that the figures allow, in the order of their weight.

    Args:
        figures: of the report.
        curves: similarity while weights are randomised, by kind of map.
        looks_alike: whether hiding anything raises the score, see `fidelity`.
    """
    by_name = {figure.name: figure for figure in figures}
    found = [_weights_check(depends_on_weights(curves))]
    if NEAR in by_name:
        found.append(_place_check(by_name[NEAR]))
    if looks_alike:
        found.append(
            Check(
                name="hiding and showing what is marked",
                passed=None,
                sentence="Deletion and insertion can't tell: hiding voxels anywhere raises the "
                "score, since what is put in their place looks like the class to the model.",
            )
        )
    else:
        found += [_score_check(by_name[name], *words) for name, *words in _SCORE_CHECKS]
    calm = by_name[SLIGHT_NOISE]
    passed = (calm.lower or 0) > (calm.control or 0)
    found.append(
        Check(
            name="keeps still under noise",
            passed=passed,
            sentence="Under noise that nobody sees, maps stay more alike than those of two scans."
            if passed
            else "Noise that nobody sees changes the maps as much as another scan would.",
        )
    )
    found.append(_shift_check(by_name[SLIGHT_SHIFT], by_name[SAME_AFTER_SHIFT]))
    if SILENT_POSITIVES in by_name:
        passed = by_name[SILENT_POSITIVES].value <= MOST_SILENT
        found.append(
            Check(
                name="shows something when the class is there",
                passed=passed,
                sentence="Where the class was found, the maps mostly hold evidence."
                if passed
                else "Where the class was found, most maps hold no evidence.",
            )
        )
    return tuple(found)


def _shift_check(map_: Figure, same: Figure) -> Check:
    name = "keeps still under small shifts"
    if same.value < LEAST_SAME_CLASS:
        return Check(
            name=name,
            passed=False,
            sentence=f"Shifted by half a voxel, {_percent(1 - same.value)} of the scans are given "
            "another class: give this model scans resampled as those it was trained on.",
        )
    passed = (map_.lower or 0) > (map_.control or 0)
    return Check(
        name=name,
        passed=passed,
        sentence="Shifted by half a voxel, scans keep their class and their map."
        if passed
        else "A shift by half a voxel changes the maps as much as another scan would.",
    )


def summary(figures: Sequence[Figure], found: Sequence[Check], scans: int) -> str:
    """One line for people; what failed comes first."""
    by_name = {figure.name: figure for figure in figures}
    failed = [check.sentence for check in found if check.passed is False]
    unknown = [check.sentence for check in found if check.passed is None]
    lead = f"Maps checked on {scans} held-out scans"
    if NEAR in by_name:
        near, dice = by_name[NEAR], by_name[DICE]
        body = (
            f"strongest point within one cell of the object in {_percent(near.value)} "
            f"(chance {_percent(near.control)}), mean Dice {dice.value:.2f} "
            f"(chance {_small(dice.control or 0)})"
        )
    else:
        gain = by_name[DELETION_GAIN]
        body = (
            f"hiding what they mark lowers the area under the score by {gain.value:.2f} more "
            "than hiding as much elsewhere"
        )
    weights = next(check for check in found if check.name == WEIGHTS_CHECK)
    end = "; they change when the weights are randomised." if weights.passed else "."
    warning = ["Warning: " + " ".join(failed)] if failed else []
    return " ".join([*warning, *unknown, f"{lead}: {body}{end}"])


_SCORE_CHECKS = (
    (DELETION_GAIN, "hiding", "lowers"),
    (INSERTION_GAIN, "showing only", "raises"),
)


def _place_check(near: Figure) -> Check:
    passed = (near.lower or 0) > (near.control or 0)
    more = "more" if passed else "no more"
    return Check(
        name="points at the object",
        passed=passed,
        sentence=f"The maps point at the objects {more} often than chance.",
    )


def _score_check(gain: Figure, what: str, change: str) -> Check:
    passed = (gain.lower or 0) > 0
    more = "more" if passed else "no more"
    return Check(
        name=f"{what} what is marked {change} the score",
        passed=passed,
        sentence=f"{what.capitalize()} what the maps mark {change} the score {more} than {what} "
        "as much elsewhere.",
    )


def _weights_check(depends: bool | None) -> Check:
    sentence = {
        True: "The maps change when the weights are randomised.",
        False: "The maps hardly change when all weights are randomised: they show the scan, not "
        "what the model learned.",
        None: "Whether the maps depend on the weights could not be tested: its controls failed.",
    }[depends]
    return Check(name=WEIGHTS_CHECK, passed=depends, sentence=sentence)


def _small(value: float) -> str:
    return f"{value:.2f}" if value == 0 or value >= _LEAST_WRITTEN else f"below {_LEAST_WRITTEN}"


def _percent(share: float | None) -> str:
    """Whole percent; nothing is rounded to all or none that isn't."""
    value = 100 * (share or 0)
    if 0 < value < _TENTH:
        return f"below {_TENTH} %"
    if 100 - _TENTH < value < 100:
        return f"above {100 - _TENTH} %"
    digits = 0 if 10 <= value <= 99 or value == round(value) else 1
    return f"{value:.{digits}f} %"
