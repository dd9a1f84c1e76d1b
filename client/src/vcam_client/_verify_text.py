"""A verification as text for a terminal."""

from collections.abc import Sequence

import numpy as np

from vcam_client.spec import Activation
from vcam_client.verification import Outcome, Verdict, Verification

_COARSE = 0.1
"""Change of a logit from which two decimals say enough."""

_MOSTLY = 0.5
"""Share of a block from which it is called marked; below it, the block's centre may not be."""

Row = tuple[str, str, str]
"""What is hidden, the score then, and the change of its logit or of the value."""


def describe_verification(verification: Verification) -> str:
    """Scan, model, each thing hidden with what became of the score, and what that says."""
    prediction = verification.prediction
    volume, spec = prediction.volume, prediction.spec
    own = prediction.explanation == spec.default_explanation
    method = "" if own else f", {prediction.explanation.method} on {prediction.layer.name}"
    head = f"{prediction.label} {format_score(verification, verification.whole.score)}"
    rows = [(head, "", ""), *((f"  {name}", *rest) for name, *rest in case_rows(verification))]
    widths = [max(len(row[n]) for row in rows) for n in range(2)]
    lines = [
        f"{volume.name}: {spec.name}, version {prediction.version} (served as "
        f"{prediction.model!r}){method}",
        "",
    ]
    for name, score, change in rows:
        lines.append(f"{name:<{widths[0]}}  {score:>{widths[1]}}  {change}".rstrip())
    lines += [f"  {describe_occlusion(verification)}", "", conclusion(verification)]
    remarks = prediction.remarks
    return "\n".join([*lines, "", *remarks] if remarks else lines)


def case_rows(verification: Verification) -> list[Row]:
    """What is hidden, the score then, and the change of its logit."""
    marked, rest, controls = verification.marked, verification.rest, verification.controls
    whole = verification.whole.logit
    cases: list[tuple[str, Sequence[Outcome]]] = []
    if marked is not None:
        name = f"hiding what the map marks ({100 * marked.hidden_share:.1f} % of the scan)"
        cases.append((name, [marked]))
    if controls:
        places = f"{len(controls)} place{'s' if len(controls) > 1 else ''}"
        cases.append((f"hiding the same shape elsewhere, {places}", controls))
    if rest is not None:
        cases.append(("hiding everything else", [rest]))
    rows = []
    for name, outcomes in cases:
        changes = [outcome.logit - whole for outcome in outcomes]
        one = format_score(verification, outcomes[0].score)
        score = one if len(outcomes) == 1 else _mean_score(verification, outcomes)
        rows.append((name, score, format_change(verification, changes)))
    return rows


def describe_occlusion(verification: Verification) -> str:
    """The occlusion map in one line, without a full stop."""
    occlusion = verification.occlusion
    blocks = "×".join(map(str, occlusion.logit_drops.shape))
    if occlusion.strongest is None:
        return f"no block of the occlusion map ({blocks}) lowers the score"
    drop = format_change(verification, [-float(occlusion.logit_drops.max())])
    text = f"strongest block of the occlusion map ({blocks}): {drop}"
    share = occlusion.strongest_marked_share
    if share is not None:
        chance = f"{100 * occlusion.chance:.0f} % of the blocks"
        if share > _MOSTLY:
            text += f", mostly in the marked part ({chance} touch it)"
        elif share > 0:
            text += f", touches the marked part ({chance} do)"
        else:
            text += f", outside the marked part ({chance} touch it)"
    if occlusion.rank_correlation is not None:
        correlation = f"{occlusion.rank_correlation:.2f}".replace("-", "−")
        text += f"; rank correlation with the map {correlation}"
    return text


def conclusion(verification: Verification) -> str:
    """The verdict in a sentence or two."""
    what = "value" if is_value(verification) else "score"
    verdict = verification.verdict
    if verdict is Verdict.NO_MAP:
        return f"No map to check. {verification.prediction.no_evidence}"
    if verdict is Verdict.UNDECIDED:
        return f"Undecided. {verification.undecided}"
    if verdict is Verdict.NOT_SUPPORTED:
        return (
            f"Not supported: hiding what the map marks does not lower the {what} clearly more than "
            "hiding the same shape elsewhere."
        )
    text = f"Supported: the {what} depends on what the map marks."
    drop, rest = verification.marked_drop, verification.rest_drop
    if drop is not None and rest is not None and rest > drop:
        text += " It depends on the rest as well: hiding that lowers it more."
    return text


def is_value(verification: Verification) -> bool:
    """Whether the score is a regression's value."""
    return verification.prediction.spec.activation is Activation.IDENTITY


def format_score(verification: Verification, score: float) -> str:
    """A score in percent, or a value with its unit."""
    if is_value(verification):
        return f"{score:.5g} {verification.prediction.spec.unit}".rstrip()
    return f"{100 * score:.2f} %"


def format_change(verification: Verification, changes: Sequence[float]) -> str:
    """Change of the logit or the value: one number, or from the lowest to the highest."""
    of_value = is_value(verification)
    coarse = not of_value and max(map(abs, changes)) >= _COARSE
    low, high = (f"{end(changes):{'+.2f' if coarse else '+.2g'}}" for end in (min, max))
    low, high = low.replace("-", "−"), high.replace("-", "−")
    text = f"{low} … {high}" if len(changes) > 1 else low
    unit = verification.prediction.spec.unit
    return f"change {text} {unit}".rstrip() if of_value else f"logit {text}"


def _mean_score(verification: Verification, outcomes: Sequence[Outcome]) -> str:
    """The mean score and its standard deviation."""
    scores = np.array([outcome.score for outcome in outcomes])
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else 0.0
    if is_value(verification):
        unit = verification.prediction.spec.unit
        return f"{scores.mean():.5g} ± {spread:.2g} {unit}".rstrip()
    return f"{100 * scores.mean():.2f} ± {100 * spread:.2f} %"
