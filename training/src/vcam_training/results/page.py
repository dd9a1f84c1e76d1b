"""The report of a run, or of a model scored on other data, as one page."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vcam_client.spec import Metric
from vcam_training.drawing import png_of
from vcam_training.evaluation.evaluate import Fixed
from vcam_training.evaluation.evidence_levels import EvidenceLevels
from vcam_training.evaluation.metric_text import interval_text, meaning, value_text
from vcam_training.results.gallery import Panel
from vcam_training.results.writing import CONFUSION, RELIABILITY, ROC, SCATTER, Written
from vcam_training.web_page import document, facts, figure, image, row, section, table

CURVES = "curves.png"
_ALT = {
    CONFUSION: "What was answered for what is true",
    ROC: "Sensitivity against false alarms",
    SCATTER: "Answers against the truth",
    RELIABILITY: "How often scores came true",
    CURVES: "Figures by epoch",
}
_HEADLINES = re.compile(r"accuracy|mean AUC.*|AUC|MSE, .*|R², .*|mean Dice.*")
"""Names of figures that are said first."""
_MOST_SAID = 3
_WIDE = 900
"""Pixels of a picture beyond which it takes the whole width of the page."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a page says of a run, as text.

    Attributes:
        title: of the page.
        description: one sentence on the experiment.
        line: where and when, small.
        subject: heading of `trained`.
        trained: names and values of what was trained, or scored: data, network, loss, ….
        config: of the run, as plain values; empty to leave it out.
        versions: of code and libraries; empty to leave them out.
        next_steps: commands, each with what it does.
    """

    title: str
    description: str
    line: str
    subject: str
    trained: Sequence[tuple[str, str]]
    config: Mapping[str, object]
    versions: Mapping[str, str]
    next_steps: Sequence[tuple[str, str]]


def page(
    folder: Path,
    told: Told,
    metrics: Sequence[Metric],
    notes: Sequence[str],
    written: Written,
    *,
    fixed: Fixed,
    levels: Mapping[str, EvidenceLevels],
    layer: str,
) -> str:
    """The page as HTML, with everything inside.

    Args:
        folder: where the pictures are.
        told: what is to be said.
        metrics, notes: figures, and what has none.
        written: what was drawn of them.
        fixed: temperature, thresholds and method.
        levels: of each CAM method.
        layer: where maps are read.
    """
    curves = (folder / CURVES).exists() and bool(told.config)
    parts = [
        f"<header><h1>{escape(told.title)}</h1>",
        f'<p class="headline">{escape(_headline(metrics))}</p>',
        f"<p>{escape(told.description)}</p>" if told.description else "",
        f'<p class="facts">{escape(told.line)}</p></header>',
        section(
            "What was trained" if told.config else "What was scored",
            facts(told.trained),
            _details(told),
        ),
        section("Figures", _figures(metrics), _notes(notes)),
        section("Training", image((folder / CURVES).read_bytes(), _ALT[CURVES])) if curves else "",
        section("Answers", _pictures(folder, written.pictures)),
        _mistakes(written),
        section("Maps", _maps(fixed, levels, layer), _gallery(written.examples)) if levels else "",
        section("Next", *map(_step, told.next_steps)) if told.next_steps else "",
    ]
    return document(told.title, parts)


def _headline(metrics: Sequence[Metric]) -> str:
    said = [metric for metric in metrics if _HEADLINES.fullmatch(metric.name)][:_MOST_SAID]
    if not said:
        return "No figure could be measured."
    texts = [
        f"{metric.name} {value_text(metric, metric.value)} (95 % interval {interval_text(metric)})"
        for metric in said
    ]
    text = "; ".join(texts) + f", on {said[0].count} volumes of the {said[0].split} split."
    return text[0].upper() + text[1:]


def _figures(metrics: Sequence[Metric]) -> str:
    rows, told = [], set()
    for metric in metrics:
        said = meaning(metric)
        cells = (
            value_text(metric, metric.value),
            interval_text(metric),
            value_text(metric, metric.chance),
            "" if metric.count is None else str(metric.count),
        )
        rows.append(row(metric.name, "" if said in told else said, cells))
        told.add(said)
    return table(("Figure", "Value", "95 % interval", "By chance", "Count"), rows)


def _notes(notes: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def _pictures(folder: Path, names: Sequence[str]) -> str:
    found = [((folder / name).read_bytes(), _ALT[name]) for name in names]
    drawn = [image(png, text, whole=_width(png) > _WIDE) for png, text in found]
    return f'<div class="pictures">{"".join(drawn)}</div>'


def _width(png: bytes) -> int:
    """Pixels; PNG has them at the head of its first chunk."""
    return int.from_bytes(png[16:20], "big")


def _mistakes(written: Written) -> str:
    heading = written.heading[0].upper() + written.heading[1:]
    return section(
        "Mistakes" if written.has_mistakes else "Worst answers",
        f"<p>{escape(heading)}. Left the scan, of a volume a slice through the object or what the "
        "map marks most; right the same with the map of the answer and the object, where one is "
        "known, outlined.</p>",
        _gallery(written.panels),
    )


def _gallery(panels: Sequence[Panel]) -> str:
    shown = "".join(figure(png_of(panel.picture()), panel.caption) for panel in panels)
    return f'<div class="gallery">{shown}</div>'


def _details(told: Told) -> str:
    parts = []
    if told.config:
        text = escape(json.dumps(told.config, indent=2, ensure_ascii=False))
        parts.append(f"<details><summary>Whole config</summary><pre>{text}</pre></details>")
    if told.versions:
        lines = escape("\n".join(f"{name} {one}" for name, one in told.versions.items()))
        parts.append(f"<details><summary>Versions</summary><pre>{lines}</pre></details>")
    return "".join(parts)


def _maps(fixed: Fixed, levels: Mapping[str, EvidenceLevels], layer: str) -> str:
    rows = [
        row(
            method,
            "measured above" if method == fixed.method else "",
            (
                _number(one.reference_maximum),
                _number(one.evidence_minimum),
                _number(one.threshold),
                _number(one.separation),
            ),
        )
        for method, one in levels.items()
    ]
    heads = ("Method", "Reference maximum", "Evidence minimum", "Threshold", "Separation")
    return (
        f"<p>Read on {escape(layer)}; levels were set on the validation split. A map whose "
        "largest cell is not above the evidence minimum says that there is nothing.</p>"
        + table(heads, rows)
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _step(step: tuple[str, str]) -> str:
    command, what = step
    return f"<p>{escape(what)}</p><pre>{escape(command)}</pre>"
