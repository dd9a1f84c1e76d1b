"""What volumes with findings, and with values, are explained for; classes: test_evidence_levels."""

import numpy as np

from vcam_training.data.dataset import Split, no_masks
from vcam_training.evaluation.roles import roles, task_of
from vcam_training.task import Task

GRID = (4, 4)
OBJECT = np.eye(4, dtype=bool)


def of_findings(labels: list[list[int]], masks: dict[int, list[bool]] | None = None) -> Split:
    shape = (len(labels), *GRID)
    return Split(
        volumes=np.zeros(shape, np.float32),
        labels=np.array(labels, bool),
        masks=no_masks(shape),
        finding_masks={
            k: np.array([OBJECT if there else ~OBJECT & OBJECT for there in column])
            for k, column in (masks or {}).items()
        },
    )


def test_one_finding_that_is_there_and_one_that_is_not() -> None:
    """Those that are there take turns; each is asked for no more often where it is absent."""
    split = of_findings([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1]])
    given = roles(split, 3)
    assert task_of(split) is Task.FINDINGS
    shown, absent = given.class_index.T
    assert shown.tolist() == [0, 1, -1, 2, 0]
    assert given.can_be_positive.tolist() == [True, True, False, True, True]
    asked = np.bincount(absent[absent >= 0], minlength=3)
    assert (asked <= [2, 1, 1]).all()
    assert asked.sum() == 3
    assert not split.labels[given.is_negative, absent[given.is_negative]].any()
    assert not given.has_mask.any()


def test_a_finding_with_a_mask_comes_first() -> None:
    split = of_findings([[1, 1], [1, 1], [1, 0]], {1: [True, False, True]})
    given = roles(split, 2)
    assert given.class_index[:, 0].tolist() == [1, 0, 0]
    assert given.has_mask.tolist() == [True, False, False]  # the third shows no finding 1
    assert np.array_equal(given.mask(split, 0), OBJECT)
    assert not given.mask(split, 1).any()


def test_without_any_finding_nothing_is_asked() -> None:
    given = roles(of_findings([[0, 0], [0, 0]]), 2)
    assert (given.class_index == -1).all()
    assert not given.can_be_positive.any()
    assert not given.is_negative.any()


def test_absent_findings_are_as_frequent_as_shown_ones() -> None:
    rng = np.random.default_rng(0)
    split = of_findings((rng.random((400, 3)) < [0.5, 0.1, 0.02]).astype(int).tolist())
    given = roles(split, 3)
    shown, absent = (
        np.bincount(column[column >= 0], minlength=3) for column in given.class_index.T
    )
    assert split.labels[np.arange(400), given.class_index[:, 0]][given.can_be_positive].all()
    assert not split.labels[np.arange(400), given.class_index[:, 1]][given.is_negative].any()
    assert absent.tolist() == shown.tolist()
    assert shown.min() > 0


def test_a_regression_is_explained_where_a_mask_says_what_it_is_about() -> None:
    split = Split(
        volumes=np.zeros((2, *GRID), np.float32),
        labels=np.array([[1.0, 2], [3, 4]], np.float32),
        masks=np.stack([OBJECT, ~OBJECT & OBJECT]),
    )
    given = roles(split, 2)
    assert task_of(split) is Task.REGRESSION
    assert given.class_index.tolist() == [[0, -1], [0, -1]]
    assert given.can_be_positive.tolist() == given.has_mask.tolist() == [True, False]
    assert not given.is_negative.any()
