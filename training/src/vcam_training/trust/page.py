"""A report as one page that needs nothing beside it."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from vcam_training.trust.checks import Check
from vcam_training.trust.figure import Figure
from vcam_training.trust.plots import (
    example_picture,
    reliability_plot,
    score_plot,
    weight_plot,
)
from vcam_training.trust.report import Example, TrustReport
from vcam_training.web_page import document, figure, image

_MARK = {True: ("yes", "✓"), False: ("no", "✗"), None: ("unknown", "?")}
"""Class and sign of an answer."""


def page(report: TrustReport, version: str = "") -> str:
    """The report as HTML; pictures and style are inside."""
    name = escape(report.spec.name)
    of = f", version {escape(version)}" if version else ""
    explanation = report.explanation
    sections = [
        f"<header><h1>How far to trust the maps of {name}{of}</h1>",
        f'<p class="headline {_tone(report.checks)}">{escape(report.summary)}</p>',
        f'<p class="facts">{escape(explanation.method)} on {escape(explanation.layer)} · '
        f"{report.scans} held-out scans, {report.samples} of them for curves and randomisation · "
        f"{len(report.seeds)} draws of random weights · {escape(report.measured_at[:10])}</p>",
        "</header>",
        _checks(report.checks),
        _curves(report),
        _examples(report),
        _table(report.figures),
        _scores(report),
    ]
    return document(f"{report.spec.name}: maps", sections)


def _tone(checks: Sequence[Check]) -> str:
    answers = {check.passed for check in checks}
    return "bad" if False in answers else "doubtful" if None in answers else "good"


def _checks(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        kind, sign = _MARK[check.passed]
        rows.append(
            f'<li class="{kind}"><span class="sign">{sign}</span>{escape(check.sentence)}</li>'
        )
    return f'<ul class="checks">{"".join(rows)}</ul>'


def _curves(report: TrustReport) -> str:
    return (
        "<section><h2>Do the maps show what the model learned?</h2>"
        "<p>Layer after layer, from the scores down, the trained weights are replaced by random "
        "ones. The curve says how alike the maps stay. An edge detector, which knows nothing of "
        "the model, stays at 1; a map that shows what was learned falls towards 0. Noise on the "
        "map, the other control, lowers its curve from the start and changes nothing else. "
        "Shaded: 95 % intervals over scans and draws.</p>"
        f"{image(weight_plot(report), 'Randomisation')}"
        "</section><section><h2>Does the score depend on what they mark?</h2>"
        "<p>Voxels are replaced by the scan's median, or put back, in the order of the map. The "
        "more the blue curve is away from the grey one, the more the score depends on what the map "
        f"marks.</p>{image(score_plot(report), 'Deletion and insertion')}</section>"
    )


def _examples(report: TrustReport) -> str:
    groups = [
        ("Maps that point at the object, drawn at random", [e for e in report.examples if e.right]),
        ("Maps that are wrong or weakest", [e for e in report.examples if not e.right]),
    ]
    window = report.spec.intensity.window
    parts = [
        f'<h3>{title}</h3><div class="examples">'
        + "".join(_example(one, window) for one in chosen)
        + "</div>"
        for title, chosen in groups
        if chosen
    ]
    return (
        "<section><h2>What they look like</h2><p>Planes through the middle of the object, which "
        f"is outlined; without an object, through the strongest voxel.</p>{''.join(parts)}"
        "</section>"
    )


def _example(example: Example, window: tuple[float, float] | None) -> str:
    caption = f"Held-out scan {example.number}. {example.caption}"
    return figure(example_picture(example, window), caption)


def _table(figures: Sequence[Figure]) -> str:
    rows = []
    for group, chosen in groupby(figures, key=lambda one: one.group):
        rows.append(f'<tr class="group"><th colspan="5">{escape(group)}</th></tr>')
        rows += [_row(one) for one in chosen]
    return (
        '<section><h2>All figures</h2><div class="wide"><table><thead><tr><th>Figure</th>'
        "<th>Value</th><th>95 % interval</th><th>Control</th><th>Scans</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _row(figure: Figure) -> str:
    interval = (
        f"{figure.words(figure.lower)} to {figure.words(figure.upper)}"
        if figure.lower is not None
        else ""
    )
    control = (
        f"{figure.words(figure.control)}<small>{escape(figure.control_name)}</small>"
        if figure.control is not None
        else ""
    )
    return (
        f"<tr><td>{escape(figure.name)}<small>{escape(figure.meaning)}</small></td>"
        f'<td class="value">{figure.words(figure.value)}</td><td>{interval}</td>'
        f"<td>{control}</td><td>{figure.count}</td></tr>"
    )


def _scores(report: TrustReport) -> str:
    found = report.reliability
    return (
        '<section><h2>Do the scores mean what they say?</h2><div class="beside">'
        f"{image(reliability_plot(found), 'Reliability')}<p>Expected calibration error "
        f"<b>{found.error:.3f}</b> [{found.lower:.3f}, {found.upper:.3f}] on {found.count} "
        f"held-out scores. Scores that are exactly true would show {found.error_of_perfect:.3f} "
        "on as many.</p></div></section>"
    )
