"""Ordinary right answers, to see what the maps of a model are like."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_training.results.answers import Answers
from vcam_training.results.mistakes import Mistake, file_name
from vcam_training.task import Task

MOST_EXAMPLES = 8


def examples(answers: Answers) -> list[Mistake]:
    """Right answers that are neither the surest nor the least sure, at most MOST_EXAMPLES.

    Of each class, or of each finding where it is there, those whose score is in the
    middle of all right answers. Of a regression, volumes evenly spaced by the first
    target's true value, from the lowest to the highest.
    """
    if answers.task is Task.REGRESSION:
        return list(_of_values(answers))
    classes = range(len(answers.contract.labels))
    right = [np.flatnonzero(_is_right(answers, k)) for k in classes]
    each = max(1, MOST_EXAMPLES // 2 // max(1, sum(len(one) > 0 for one in right)))
    found = [
        _example(answers, int(n), k)
        for k in classes
        for n in _middle(right[k], answers.scores[right[k], k], each)
    ]
    return found[:MOST_EXAMPLES]


def write_example_files(folder: Path, answers: Answers, found: Iterable[Mistake]) -> None:
    """Writes their volumes as `.npy`, as the client reads them: to ask a server about.

    Args:
        folder: exists and is empty.
        answers: of the split.
        found: its examples.
    """
    for one in found:
        name = file_name(f"{one.number:05d}-{one.about or one.truth}")
        np.save(folder / f"{name}.npy", np.asarray(answers.split.volumes[one.number]))


def _is_right(answers: Answers, k: int) -> NDArray[np.bool_]:
    """bool [n]: whether a class, or a finding, is there and is answered."""
    if answers.task is Task.CLASSES:
        return (answers.split.labels == k) & (answers.chosen == k)
    return answers.split.labels[:, k].astype(bool) & answers.chosen[:, k]


def _middle(rows: NDArray[np.intp], scores: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """`count` of the rows, around the one whose score is the median."""
    first = max(0, (len(rows) - count) // 2)
    return rows[np.argsort(scores, kind="stable")][first : first + count]


def _example(answers: Answers, n: int, k: int) -> Mistake:
    name, findings = answers.contract.labels[k], answers.task is Task.FINDINGS
    return Mistake(
        number=n,
        name=answers.split.name(n),
        class_index=k,
        about=name if findings else "",
        truth="present" if findings else name,
        answer="found" if findings else name,
        score=float(answers.scores[n, k]),
        truth_score=float(answers.scores[n, k]),
        is_wrong=False,
        limit=float(answers.limits[k]) if findings else None,
    )


def _of_values(answers: Answers) -> Iterator[Mistake]:
    truth = answers.split.labels[:, 0]
    order = np.argsort(truth, kind="stable")
    for n in order[np.linspace(0, len(order) - 1, min(4, len(order))).round().astype(int)]:
        yield Mistake(
            number=int(n),
            name=answers.split.name(int(n)),
            class_index=0,
            about=answers.contract.labels[0],
            truth=f"{truth[n]:.4g}",
            answer=f"{answers.scores[n, 0]:.4g}",
            score=float(answers.scores[n, 0]),
            truth_score=float(truth[n]),
            is_wrong=False,
        )
