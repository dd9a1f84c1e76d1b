"""Curves of sensitivity against false alarms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray

from vcam_client.spec import Metric
from vcam_training.drawing import GREY, canvas, plain
from vcam_training.evaluation.epoch_figures import against_others
from vcam_training.results.answers import Answers
from vcam_training.task import Task

_MOST_BELOW = 6
"""Curves whose legend stands below the picture; that of more stands beside it."""
_DPI = 110
_LINE = 0.2
"""Inches of a line of the legend below."""


def roc_curve(
    scores: NDArray, positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of negatives and of positives at or above each threshold, from (0, 0) to (1, 1).

    Args:
        scores: [n].
        positive: bool [n], both kinds.
    """
    order = np.argsort(-scores, kind="stable")
    there = positive[order]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.append(0, np.cumsum(there)[ends]) / there.sum()
    alarms = np.append(0, np.cumsum(~there)[ends]) / (~there).sum()
    return alarms, found


def draw_roc(path: Path, answers: Answers, metrics: Sequence[Metric], title: str) -> None:
    """Draws a curve for each class or finding that has an area, as PNG.

    Args:
        path: of the file.
        answers: of classes or findings; of two classes the second is the positive one.
        metrics: where the areas and their intervals are, at least one.
        title: above the curves.
    """
    areas = {metric.name: metric for metric in metrics}
    curves = [one for one in _curves(answers) if one[0] in areas]
    beside = len(curves) > _MOST_BELOW
    lines = 0 if beside else len(curves) + 5  # heading, decision threshold, margins
    figure = canvas(8.6 if beside else 5.4, 5.2 + _LINE * lines, dpi=_DPI)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    colours = colormaps["tab10" if len(curves) <= 10 else "tab20"].colors
    for at, (name, scores, there) in enumerate(curves):
        area = areas[name]
        label = name.removeprefix("AUC, ").removeprefix("AUC")
        axes.plot(
            *roc_curve(scores, there),
            color=colours[at % len(colours)],
            linewidth=1.6,
            label=f"{label or answers.contract.labels[1]}: {area.value:.3f} "
            f"({area.lower:.3f} to {area.upper:.3f})",
        )
    _mark_decision(axes, answers)
    axes.set(
        xlabel="false alarms, share of negatives",
        ylabel="sensitivity, share of positives",
        title=title,
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    heading = "area (95 % interval)"
    if beside:
        axes.legend(frameon=False, fontsize=8, title=heading, bbox_to_anchor=(1.02, 1))
    else:
        figure.legend(frameon=False, fontsize=8, title=heading, loc="outside lower center")
    plain(axes)
    figure.savefig(path, format="png")


def _curves(answers: Answers) -> list[tuple[str, NDArray, NDArray[np.bool_]]]:
    """Name of the area, scores and labels of each curve."""
    logits, labels, names = answers.logits, answers.split.labels, answers.contract.labels
    if answers.task is Task.CLASSES and len(names) == 2:
        return [("AUC", logits[:, 1] - logits[:, 0], labels == 1)]
    scores, there = logits, labels
    if answers.task is Task.CLASSES:
        scores = against_others(logits / (answers.fitted.temperature if answers.fitted else 1))
        there = np.eye(len(names), dtype=bool)[labels]
        known = np.ones_like(there)
    else:
        known = answers.split.is_known
    return [
        (f"AUC, {name}", scores[known[:, k], k], there[known[:, k], k])
        for k, name in enumerate(names)
    ]


def _mark_decision(axes: Axes, answers: Answers) -> None:
    threshold = answers.fitted.decision_threshold if answers.fitted else None
    if threshold is None:
        return
    positive = answers.split.labels == 1
    decided = answers.scores[:, 1] >= threshold
    axes.plot(
        [decided[~positive].mean()],
        [decided[positive].mean()],
        "o",
        color="black",
        markersize=6,
        markerfacecolor="none",
        label=f"decision threshold {threshold:.3f}",
    )
