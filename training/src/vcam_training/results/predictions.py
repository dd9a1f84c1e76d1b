"""Every answer of a model as a table."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vcam_client.table_cells import CsvWriter
from vcam_training.results.answers import Answers
from vcam_training.task import Task


def write_predictions(path: Path, answers: Iterable[Answers]) -> None:
    """Writes a CSV file with a row for each volume.

    Columns: split, number (from 0, in its split), name; truth and answer of exclusive
    classes, truth_NAME of each finding (0, 1, or nothing where unknown) or target; score_NAME
    as served; and logit_NAME, which a regression does not have.
    """
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        for at, one in enumerate(answers):
            if at == 0:
                writer.writerow(_heads(one))
            writer.writerows(_rows(one))


def _heads(answers: Answers) -> list[str]:
    names = answers.contract.labels
    exclusive = answers.task is Task.CLASSES
    truth = ["truth", "answer"] if exclusive else [f"truth_{name}" for name in names]
    logits = [f"logit_{name}" for name in names if answers.task is not Task.REGRESSION]
    return ["split", "number", "name", *truth, *(f"score_{name}" for name in names), *logits]


def _rows(answers: Answers) -> Iterator[list[str]]:
    split, names = answers.split, answers.contract.labels
    for n, (label, scores, logits) in enumerate(
        zip(split.labels, answers.scores.astype(np.float32), answers.logits, strict=True)
    ):
        if answers.task is Task.CLASSES:
            truth = [names[label], names[answers.chosen[n]]]
        else:
            truth = _numbers(label.astype(int) if label.dtype == bool else label)
            truth = [
                text if is_known else ""
                for text, is_known in zip(truth, split.is_known[n], strict=True)
            ]
        numbers = _numbers(scores)
        if answers.task is not Task.REGRESSION:
            numbers += _numbers(logits)
        yield [answers.name, str(n), split.name(n), *truth, *numbers]


def _numbers(values: Sequence) -> list[str]:
    """As short as float32 allows without a loss."""
    return [str(value) for value in values]
