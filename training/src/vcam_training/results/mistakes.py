"""Where a model is wrong, the worst first."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.table_cells import CsvWriter
from vcam_training.results.answers import Answers
from vcam_training.task import Task

LEAST_CERTAIN = 8
"""Right answers that are shown where there is no wrong one."""
MOST_FILES = 1000
"""Volumes that get a file of their own; errors.csv has all."""
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_NAME_LETTERS = 60
_SPACE = "\u00a0"
"""Between a number and its sign, where no line may end."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """An answer that is wrong, or far from the truth.

    Attributes:
        number: of the volume in its split.
        name: of the volume.
        class_index: the class answered, the finding or the target that it is about.
        about: the finding or target; "" for exclusive classes.
        truth, answer: in words.
        score: of a regression the answer, else the calibrated score of `class_index`.
        truth_score: calibrated score of what is true; of a regression the true value.
        is_wrong: whether it is a mistake at all: without any, the least certain right
            answers are listed. The errors of a regression are never that.
        limit: score from which on a finding is decided for; None without one.
    """

    number: int
    name: str
    class_index: int
    about: str
    truth: str
    answer: str
    score: float
    truth_score: float
    is_wrong: bool
    limit: float | None = None

    def caption(self, unit: str = "") -> str:
        """The same in one sentence."""
        if self.about and self.truth in ("absent", "present"):
            said = f"{self.about} is {self.truth}, {self.answer}: score {percent(self.score)}"
            said += "" if self.limit is None else f", threshold {percent(self.limit)}"
        elif self.about:
            of = f" {unit}" if unit else ""
            apart = self.score - self.truth_score
            said = f"{self.about} is {self.truth}{of}, answered {self.answer}{of} ({apart:+.3g})"
        elif self.is_wrong:
            said = (
                f"{self.truth}, called {self.answer} with {percent(self.score)}; "
                f"{self.truth} has {percent(self.truth_score)}"
            )
        else:
            said = f"{self.truth}, rightly, with {percent(self.score)}"
        return f"{self.name}: {said}"


def mistakes(answers: Answers) -> list[Mistake]:
    """All mistakes, the one first whose truth has the lowest score.

    Without any mistake, the LEAST_CERTAIN right answers. Of a regression all volumes,
    each by its worst target, in units of the target's standard deviation.
    """
    if answers.task is Task.REGRESSION:
        return list(_of_values(answers))
    if answers.task is Task.FINDINGS:
        return list(_of_findings(answers))
    return list(_of_classes(answers))


def write_errors(path: Path, found: Iterable[Mistake], task: Task) -> None:
    """Writes the mistakes as CSV, in their order; none of the right answers.

    Columns: number and name of the volume; the finding or target; truth, answer, score;
    of classes the score of the true one, of findings the threshold, of a regression the
    error.
    """
    about = {Task.CLASSES: [], Task.FINDINGS: ["finding"], Task.REGRESSION: ["target"]}[task]
    last = {
        Task.CLASSES: ["score", "score_of_truth"],
        Task.FINDINGS: ["score", "threshold"],
        Task.REGRESSION: ["error"],
    }[task]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["number", "name", *about, "truth", "answer", *last])
        for one in found:
            if one.is_wrong or task is Task.REGRESSION:
                named = [one.about] if about else []
                ends = [f"{value:.6g}" for value in _ends(one, task)]
                writer.writerow([one.number, one.name, *named, one.truth, one.answer, *ends])


def write_error_files(folder: Path, answers: Answers, found: Iterable[Mistake]) -> None:
    """Writes a JSON file for each volume with a mistake, at most MOST_FILES, the worst first.

    Args:
        folder: exists and is empty.
        answers: of the split.
        found: its mistakes.
    """
    wrong = dict.fromkeys(one.number for one in found if one.is_wrong)
    for number in list(wrong)[:MOST_FILES]:
        facts = error_facts(answers, number)
        name = file_name(facts["name"].lstrip("#"))
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{number:05d}-{name}.json").write_text(text, encoding="utf-8")


def file_name(text: str) -> str:
    """A text as part of a file's name; its end, if it is long."""
    return _NOT_IN_NAMES.sub("_", text)[-_NAME_LETTERS:]


def error_facts(answers: Answers, number: int) -> dict[str, Any]:
    """What is known of a volume: truth, answer, scores, as plain values."""
    names = answers.contract.labels
    label, chosen = answers.split.labels[number], answers.chosen[number]
    scores = dict(zip(names, (round(float(s), 6) for s in answers.scores[number]), strict=True))
    known: dict[str, Any] = {
        "split": answers.name,
        "number": number,
        "name": answers.split.name(number),
    }
    if answers.task is Task.CLASSES:
        known |= {
            "truth": names[label],
            "answer": names[chosen],
            "score": scores[names[chosen]],
            "score_of_truth": scores[names[label]],
        }
    else:
        sure = answers.split.is_known[number]
        known |= {
            "truth": _named(names, label),
            "answer": _named(names, chosen),
            "missed": _named(names, label & ~chosen),
            "false_alarms": _named(names, chosen & ~label & sure & np.isfinite(answers.limits)),
        }
        if not sure.all():
            known["unknown"] = _named(names, ~sure)
    return {**known, "scores": scores}


def percent(share: float) -> str:
    """A score for people; nothing is rounded to all or none that isn't."""
    if 0 < share < 0.0005:
        return f"under 0.1{_SPACE}%"
    if 0.9995 < share < 1:
        return f"over 99.9{_SPACE}%"
    return f"{100 * share:.1f}{_SPACE}%"


def _ends(one: Mistake, task: Task) -> list[float]:
    """The numbers that end a line of errors.csv."""
    if task is Task.REGRESSION:
        return [one.score - one.truth_score]
    second = one.truth_score if task is Task.CLASSES else one.limit
    return [one.score] if second is None else [one.score, second]


def _of_classes(answers: Answers) -> Iterator[Mistake]:
    names, labels, chosen = answers.contract.labels, answers.split.labels, answers.chosen
    rows = np.arange(len(answers))
    of_truth = answers.scores[rows, labels]
    wrong = chosen != labels
    for n in _worst(of_truth, wrong):
        yield Mistake(
            number=int(n),
            name=answers.split.name(int(n)),
            class_index=int(chosen[n]),
            about="",
            truth=names[labels[n]],
            answer=names[chosen[n]],
            score=float(answers.scores[n, chosen[n]]),
            truth_score=float(of_truth[n]),
            is_wrong=bool(wrong[n]),
        )


def _of_findings(answers: Answers) -> Iterator[Mistake]:
    names, there, chosen = answers.contract.labels, answers.split.labels, answers.chosen
    of_truth = np.where(there, answers.scores, 1 - answers.scores)
    known = answers.split.is_known
    wrong = (there != chosen) & np.isfinite(answers.limits)
    of_known = np.flatnonzero(known)
    for at in of_known[_worst(of_truth[known], wrong[known])]:
        n, k = divmod(int(at), len(names))
        yield Mistake(
            number=n,
            name=answers.split.name(n),
            class_index=k,
            about=names[k],
            truth="present" if there[n, k] else "absent",
            answer="found" if chosen[n, k] else "not found",
            score=float(answers.scores[n, k]),
            truth_score=float(of_truth[n, k]),
            is_wrong=bool(wrong[n, k]),
            limit=float(answers.limits[k]) if np.isfinite(answers.limits[k]) else None,
        )


def _of_values(answers: Answers) -> Iterator[Mistake]:
    names, truth = answers.contract.labels, answers.split.labels
    spread = truth.std(axis=0)
    errors = np.abs(answers.scores - truth) / np.where(spread > 0, spread, 1)
    worst = errors.argmax(axis=1)
    for n in np.argsort(-errors.max(axis=1), kind="stable"):
        k = int(worst[n])
        yield Mistake(
            number=int(n),
            name=answers.split.name(int(n)),
            class_index=k,
            about=names[k],
            truth=f"{truth[n, k]:.4g}",
            answer=f"{answers.scores[n, k]:.4g}",
            score=float(answers.scores[n, k]),
            truth_score=float(truth[n, k]),
            is_wrong=False,
        )


def _worst(of_truth: NDArray[np.float64], wrong: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of what is wrong, or of a few least certain, ascending by the score of the truth."""
    order = np.argsort(of_truth, kind="stable")
    return order[wrong[order]] if wrong.any() else order[:LEAST_CERTAIN]


def _named(names: Sequence[str], which: NDArray[np.bool_]) -> list[str]:
    return [name for name, one in zip(names, which, strict=True) if one]
