"""The files that an evaluation leaves in a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vcam_client.folder_writing import replace_folder
from vcam_client.spec import CamLayer, Metric
from vcam_client.writing import replace_file
from vcam_training.evaluation.calibration import Calibration
from vcam_training.evaluation.evaluate import Fixed
from vcam_training.results.answers import Answers
from vcam_training.results.confusion import confusions, draw_confusions
from vcam_training.results.curves import draw_reliability
from vcam_training.results.examples import examples, write_example_files
from vcam_training.results.gallery import Panel, draw_sheet, panels
from vcam_training.results.mistakes import Mistake, mistakes, write_error_files, write_errors
from vcam_training.results.predictions import write_predictions
from vcam_training.results.roc import draw_roc
from vcam_training.results.scatter import draw_scatter
from vcam_training.task import Task

CONFUSION, ROC, RELIABILITY, SCATTER = (
    "confusion.png",
    "roc.png",
    "reliability.png",
    "scatter.png",
)
PREDICTIONS, ERRORS_SHEET, ERRORS, ERROR_FILES, EXAMPLES, EXAMPLE_FILES = (
    "predictions.csv",
    "errors.png",
    "errors.csv",
    "errors",
    "examples.png",
    "examples",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """What was made of an evaluation, for its page.

    Attributes:
        pictures: names of the PNG files that are there.
        examples: ordinary right answers.
        panels: mistakes to be looked at.
        heading: what they are.
        has_mistakes: whether any of them is one, not only far from the truth.
        confusions: the tables, as plain values.
    """

    pictures: tuple[str, ...]
    examples: tuple[Panel, ...]
    panels: tuple[Panel, ...]
    heading: str
    has_mistakes: bool
    confusions: tuple[dict[str, Any], ...]


def write_results(
    folder: Path,
    model: keras.Model,
    layer: CamLayer,
    fixed: Fixed,
    answers: Sequence[Answers],
    metrics: Sequence[Metric],
    calibration: Calibration | None,
    title: str,
) -> Written:
    """Writes tables, pictures and mistakes; each file is there as a whole or not at all.

    Args:
        folder: exists; files of an earlier evaluation in it are replaced.
        model: the network.
        layer: where its maps are read.
        fixed: what was fixed before the last split was looked at.
        answers: of splits; the last is the one that figures and pictures are about.
        metrics: its figures.
        calibration: what it says about the scores; None of a regression.
        title: of the pictures.
    """
    tested = answers[-1]
    replace_file(folder / PREDICTIONS, lambda part: write_predictions(part, answers))
    found = mistakes(tested)
    replace_file(folder / ERRORS, lambda part: write_errors(part, found, tested.task))
    if tested.task is not Task.REGRESSION:
        replace_folder(folder / ERROR_FILES, lambda part: write_error_files(part, tested, found))
    pictures = _draw(folder, tested, metrics, calibration, title)
    heading = _heading(tested, found)
    ordinary = examples(tested)
    if not tested.contract.grid.axes:
        replace_folder(
            folder / EXAMPLE_FILES, lambda part: write_example_files(part, tested, ordinary)
        )
    right = panels(model, layer, fixed, tested, ordinary)
    shown = panels(model, layer, fixed, tested, found)
    for name, of, what in (
        (EXAMPLES, right, _of_examples(tested.task)),
        (ERRORS_SHEET, shown, heading),
    ):
        if of:
            _write_sheet(folder / name, of, f"{title}: {what}")
        else:
            (folder / name).unlink(missing_ok=True)
    return Written(
        pictures=tuple(pictures),
        examples=tuple(right),
        panels=tuple(shown),
        heading=heading,
        has_mistakes=any(one.is_wrong for one in found),
        confusions=tuple(table.to_json_dict() for table in confusions(tested)),
    )


def write_json(place: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file."""
    text = json.dumps(values, indent=2) + "\n"
    replace_file(place, lambda part: part.write_text(text, encoding="utf-8"))


def _write_sheet(place: Path, shown: Sequence[Panel], title: str) -> None:
    replace_file(place, lambda part: draw_sheet(part, shown, title))


def _draw(
    folder: Path,
    tested: Answers,
    metrics: Sequence[Metric],
    calibration: Calibration | None,
    title: str,
) -> list[str]:
    """Names of the pictures that could be drawn; others that were there are taken away."""
    of = f"{title}, {tested.name} split, {len(tested)} volumes"
    drawn = []
    tables = confusions(tested)
    if tables:
        replace_file(folder / CONFUSION, lambda part: draw_confusions(part, tables, of))
        drawn.append(CONFUSION)
    if tested.task is Task.REGRESSION:
        replace_file(folder / SCATTER, lambda part: draw_scatter(part, tested, of))
        drawn.append(SCATTER)
    elif any(metric.name.startswith("AUC") for metric in metrics):
        replace_file(folder / ROC, lambda part: draw_roc(part, tested, metrics, of))
        drawn.append(ROC)
    if calibration is not None:
        replace_file(
            folder / RELIABILITY,
            lambda part: draw_reliability(part, calibration, title, split=tested.name),
        )
        drawn.append(RELIABILITY)
    for name in {CONFUSION, ROC, RELIABILITY, SCATTER} - set(drawn):
        (folder / name).unlink(missing_ok=True)
    return drawn


def _of_examples(task: Task) -> str:
    if task is Task.REGRESSION:
        return "from the lowest value to the highest"
    return "right answers of middling certainty"


def _heading(tested: Answers, found: Sequence[Mistake]) -> str:
    """What the first mistakes are, in words."""
    if tested.task is Task.REGRESSION:
        return "largest errors first"
    if tested.task is Task.FINDINGS and not np.isfinite(tested.limits).any():
        return "findings have no thresholds; scores furthest from the truth first"
    wrong = [one for one in found if one.is_wrong]
    volumes = len({one.number for one in wrong})
    if not wrong:
        return f"no mistake on {len(tested)} volumes; the least certain answers"
    if tested.task is Task.FINDINGS:
        return f"{_counted(len(wrong))} on {volumes} of {len(tested)} volumes, worst first"
    return f"{_counted(volumes)} on {len(tested)} volumes, worst first"


def _counted(number: int) -> str:
    return "1 mistake" if number == 1 else f"{number} mistakes"
