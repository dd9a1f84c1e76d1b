"""Where nobody knows the truth, no answer is a mistake, nor in a table or curve."""

import csv
from pathlib import Path

import numpy as np
import pytest

from vcam_client.spec import Fit, Grid, Intensity, Metric
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split, no_masks
from vcam_training.evaluation.calibration import Fitted
from vcam_training.inspecting.gallery import truth_text
from vcam_training.results import roc
from vcam_training.results.answers import Answers
from vcam_training.results.confusion import confusions
from vcam_training.results.mistakes import error_facts, mistakes
from vcam_training.results.predictions import write_predictions
from vcam_training.task import Task

NAMES = ("first", "second")
LABELS = np.array([[1, 0], [0, 1], [0, 0], [0, 0], [1, 0], [0, 0]], bool)
KNOWN = np.array([[1, 1], [1, 1], [0, 1], [1, 0], [1, 1], [0, 0]], bool)
LOGITS = np.array([[2, -2], [-3, -1], [9, -2], [-1, 9], [1, 3], [8, -9]], np.float32)
MISTAKES = {(1, 1), (4, 1)}
"""What is missed and what is a false alarm; the unknown ones are all false alarms by far."""


@pytest.fixture
def answers() -> Answers:
    volumes = np.zeros((len(LABELS), 4, 4), np.float32)
    return Answers(
        name="test",
        contract=DataContract(
            task=Task.FINDINGS,
            labels=NAMES,
            grid=Grid(shape=(4, 4), axes=(), fit=Fit.STRETCH),
            intensity=Intensity(window=(0.0, 1.0)),
        ),
        split=Split(volumes=volumes, labels=LABELS, masks=no_masks(volumes.shape), known=KNOWN),
        logits=LOGITS,
        fitted=Fitted(temperature=1.0, decision_threshold=None, finding_thresholds=(0.5, 0.5)),
    )


def test_nothing_unknown_is_a_mistake(answers: Answers) -> None:
    found = mistakes(answers)
    assert {(one.number, one.class_index) for one in found if one.is_wrong} == MISTAKES
    assert all(KNOWN[one.number, one.class_index] for one in found)


def test_a_volume_s_file_says_what_is_unknown(answers: Answers) -> None:
    facts = error_facts(answers, 2)
    assert (facts["answer"], facts["false_alarms"], facts["unknown"]) == (["first"], [], ["first"])
    assert error_facts(answers, 4)["false_alarms"] == ["second"]
    assert "unknown" not in error_facts(answers, 4)


def test_only_known_answers_are_counted(answers: Answers) -> None:
    first, second = (np.array(table.counts) for table in confusions(answers))
    np.testing.assert_array_equal(first, [[2, 0], [0, 2]])
    np.testing.assert_array_equal(second, [[2, 1], [1, 0]])


def test_curves_are_of_known_answers(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[list[float], list[bool]]] = []
    curve = roc.roc_curve

    def seen(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn.append((scores.tolist(), positive.tolist()))
        return curve(scores, positive)

    monkeypatch.setattr(roc, "roc_curve", seen)
    metrics = [
        Metric(name=f"AUC, {name}", value=0.5, lower=0.1, upper=0.9, count=4, split="test")
        for name in NAMES
    ]
    roc.draw_roc(tmp_path / "roc.png", answers, metrics, "curves")
    wanted = [(LOGITS[KNOWN[:, k], k].tolist(), LABELS[KNOWN[:, k], k].tolist()) for k in (0, 1)]
    assert drawn == wanted


def test_the_table_has_no_truth_where_there_is_none(answers: Answers, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [answers])
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row, labels, known in zip(rows, LABELS, KNOWN, strict=True):
        wanted = [
            str(int(there)) if sure else "" for there, sure in zip(labels, known, strict=True)
        ]
        assert [row[f"truth_{name}"] for name in NAMES] == wanted


def test_a_picture_s_caption_does_not_deny_what_is_unknown(answers: Answers) -> None:
    said = [truth_text(answers.split, n, answers.contract) for n in range(len(LABELS))]
    assert said[2] == said[5] == "no known finding"
    assert said[:2] == ["first", "second"]
