"""Names that a spreadsheet would run are text in every table of a run; numbers are numbers."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from vcam_client.table_cells import csv_text
from vcam_training.learning.history import Row, read_history, write_history
from vcam_training.results.answers import Answers
from vcam_training.results.mistakes import Mistake, write_errors
from vcam_training.results.predictions import write_predictions
from vcam_training.task import Task

NAMES = ["=cmd|' /C calc'!A0", "-2+3", "@x", "plain"]
LABELS = ["=no", "+yes"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_predictions(tmp_path: Path) -> None:
    logits = np.array([[-1.5, 2.5], [0.25, -0.125], [1e-9, -3], [0, 0]], np.float32)
    split: Any = SimpleNamespace(labels=np.array([0, 1, 0, 1]), name=lambda n: NAMES[n])
    answers = SimpleNamespace(
        name="test",
        task=Task.CLASSES,
        contract=SimpleNamespace(labels=LABELS),
        split=split,
        scores=np.full((4, 2), 0.5, np.float32),
        chosen=np.array([1, 1, 0, 0]),
        logits=logits,
    )
    write_predictions(tmp_path / "predictions.csv", [cast(Answers, answers)])
    found = rows(tmp_path / "predictions.csv")
    assert [row["name"] for row in found] == ["'" + name for name in NAMES[:3]] + ["plain"]
    assert [csv_text(row["name"]) for row in found] == NAMES
    assert [row["truth"] for row in found] == ["'=no", "'+yes"] * 2
    numbers = [[float(row[f"logit_{label}"]) for label in LABELS] for row in found]
    np.testing.assert_array_equal(np.array(numbers, np.float32), logits)


def test_errors(tmp_path: Path) -> None:
    wrong = Mistake(
        number=3,
        name="=1+1",
        class_index=0,
        about="-target",
        truth="-0.5",
        answer="+0.25",
        score=-0.75,
        truth_score=-0.5,
        is_wrong=False,
    )
    write_errors(tmp_path / "errors.csv", [wrong], Task.REGRESSION)
    (row,) = rows(tmp_path / "errors.csv")
    assert (row["name"], row["target"]) == ("'=1+1", "'-target")
    assert (float(row["truth"]), float(row["answer"]), float(row["error"])) == (-0.5, 0.25, -0.25)


def test_a_history_comes_back(tmp_path: Path) -> None:
    history = [
        Row(epoch=n, values={"loss": -0.5 * n, "=odd": 1e-9}, learning_rate=1e-3, seconds=2.5)
        for n in (1, 2)
    ]
    write_history(tmp_path / "history.csv", history)
    assert (tmp_path / "history.csv").read_text().startswith("epoch,loss,'=odd,")
    assert read_history(tmp_path / "history.csv") == history
