"""What was answered for what is true, counted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from vcam_training.drawing import canvas
from vcam_training.evaluation.calibration import Fitted
from vcam_training.results.answers import Answers
from vcam_training.task import Task

_ABSENT_PRESENT = ("absent", "present")
_MOST_WITH_TEXT = 24
"""Classes beyond which cells have no numbers."""
_COLUMNS = 5
_DPI = 110


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """A table of counts.

    Attributes:
        title: which decision it is of.
        labels: of rows and columns.
        counts: int [K, K], rows are true, columns answered.
    """

    title: str
    labels: tuple[str, ...]
    counts: NDArray[np.intp]

    @property
    def shares(self) -> NDArray[np.float64]:
        """float64 [K, K]: of each row; zeros for a row without a volume."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"title": self.title, "labels": list(self.labels), "counts": self.counts.tolist()}


def confusions(answers: Answers) -> list[Confusion]:
    """The tables of a split.

    Of exclusive classes by the highest score; of two also at the decision threshold,
    where there is one. Of findings one each, at its own threshold. None of a regression.
    """
    labels, names = answers.split.labels, answers.contract.labels
    if answers.task is Task.CLASSES:
        found = [_counted("by the highest score", names, labels, answers.chosen)]
        threshold = _decision_threshold(answers.fitted)
        if threshold is not None:
            decided = (answers.scores[:, 1] >= threshold).astype(int)
            found.append(_counted(f"at the threshold {threshold:.3f}", names, labels, decided))
        return found
    if answers.task is Task.REGRESSION:
        return []
    return [
        _counted(
            f"{name}, from {limit:.3f} on",
            _ABSENT_PRESENT,
            there[known].astype(int),
            said[known].astype(int),
        )
        for name, limit, there, said, known in zip(
            names,
            answers.limits,
            labels.T,
            answers.chosen.T,
            answers.split.is_known.T,
            strict=True,
        )
        if np.isfinite(limit)
    ]


def draw_confusions(path: Path, tables: list[Confusion], title: str) -> None:
    """Draws tables side by side: counts, and their share of the row, as PNG."""
    columns = min(_COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    side = 1.4 + 0.62 * len(tables[0].labels)
    figure = canvas(columns * (side + 0.5) + 0.3, rows * side + 0.7, dpi=_DPI)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, table in zip(panels, tables, strict=False):
        _draw(axes, table)
    for axes in panels[len(tables) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, format="png")


def _decision_threshold(fitted: Fitted | None) -> float | None:
    return fitted.decision_threshold if fitted else None


def _counted(title: str, labels: tuple[str, ...], truth: NDArray, answer: NDArray) -> Confusion:
    counts = np.zeros((len(labels),) * 2, np.intp)
    np.add.at(counts, (truth, answer), 1)
    return Confusion(title=title, labels=labels, counts=counts)


def _draw(axes: Axes, table: Confusion) -> None:
    shares = table.shares
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = np.arange(len(table.labels))
    long = max(map(len, table.labels)) > 12 or len(places) > 4
    axes.set_xticks(
        places, table.labels, rotation=40 if long else 0, ha="right" if long else "center"
    )
    axes.set_yticks(places, table.labels)
    axes.tick_params(length=0, labelsize=8)
    axes.set_title(table.title, fontsize=9)
    axes.set_xlabel("answered", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    if len(places) > _MOST_WITH_TEXT:
        return
    for i, j in np.ndindex(*table.counts.shape):
        axes.text(
            j,
            i,
            f"{table.counts[i, j]}\n{100 * shares[i, j]:.0f} %",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[i, j] > 0.55 else "black",
        )
