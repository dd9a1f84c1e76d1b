"""Examples of right answers are ordinary ones, of each class."""

from types import SimpleNamespace

import numpy as np
import pytest

from vcam_training.results.answers import Answers
from vcam_training.results.examples import MOST_EXAMPLES, examples
from vcam_training.task import Task


def answers(task: Task, labels: np.ndarray, logits: np.ndarray) -> Answers:
    """Calibrated as they are, findings decided at 0.5."""
    names = tuple(f"c{k}" for k in range(logits.shape[1]))
    limits = np.full(len(names), 0.5)
    return Answers(
        name="test",
        contract=SimpleNamespace(task=task, labels=names, unit=""),
        split=SimpleNamespace(labels=labels, name=lambda n: f"#{n}"),
        logits=logits.astype(np.float32),
        fitted=None
        if task is Task.REGRESSION
        else SimpleNamespace(temperature=1.0, finding_limits=lambda count: limits),
    )


def test_of_each_class_the_middle_of_what_is_right() -> None:
    margin = np.array([5.0, 1.0, 3.0, 2.0, 4.0, -1.0, -5.0, -1.0, -3.0, -2.0, -4.0, 1.0])
    labels = np.repeat([0, 1], 6)
    shown = examples(answers(Task.CLASSES, labels, np.stack([margin, -margin], axis=1)))
    assert [one.number for one in shown] == [3, 2, 9, 8]
    assert [one.class_index for one in shown] == [0, 0, 1, 1]
    assert not any(one.is_wrong for one in shown)
    assert "rightly" in shown[0].caption()


def test_a_class_that_is_never_right_has_none() -> None:
    shown = examples(answers(Task.CLASSES, np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])))
    assert [one.number for one in shown] == [0]


def test_findings_that_are_there_and_found() -> None:
    there = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], bool)
    logits = np.array([[2.0, 3.0], [-1.0, 1.0], [3.0, -2.0], [3.0, -1.0]])
    shown = examples(answers(Task.FINDINGS, there, logits))
    assert [(one.about, one.number) for one in shown] == [("c0", 0), ("c0", 3), ("c1", 1)]
    assert "c0 is present, found" in shown[0].caption()


def test_of_values_from_the_lowest_to_the_highest() -> None:
    truth = np.array([[3.0], [1.0], [2.0], [5.0], [4.0], [0.0], [6.0]])
    shown = examples(answers(Task.REGRESSION, truth, truth + 0.5))
    assert [one.number for one in shown] == [5, 2, 4, 6]
    assert "(+0.5)" in shown[0].caption()


@pytest.mark.parametrize("count", [1, 3, 20])
def test_never_more_than_fit(count: int) -> None:
    labels = np.repeat(np.arange(count), 5)
    shown = examples(answers(Task.CLASSES, labels, np.eye(count)[labels] * 9))
    assert 0 < len(shown) <= MOST_EXAMPLES
    assert len({one.number for one in shown}) == len(shown)
