"""The answers of a regression against the truth."""

from pathlib import Path

import numpy as np

from vcam_training.drawing import BLUE, GREY, canvas, plain
from vcam_training.evaluation.intervals import r2
from vcam_training.results.answers import Answers

_COLUMNS = 3
_DPI = 110
_DENSE = 400
"""Points beyond which they are drawn smaller and fainter."""


def draw_scatter(path: Path, answers: Answers, title: str) -> None:
    """Draws a panel for each target: truth across, answer up, equal on the line, as PNG."""
    names, unit = answers.contract.labels, answers.contract.unit
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = canvas(4.6 * columns, 4.5 * rows + 0.3, dpi=_DPI)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    few = len(answers) <= _DENSE
    for axes, name, truth, answer in zip(
        panels, names, answers.split.labels.T, answers.scores.T, strict=False
    ):
        both = np.concatenate([truth, answer]).astype(np.float64)
        margin = 0.05 * (np.ptp(both) or 1.0)
        ends = (both.min() - margin, both.max() + margin)
        axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="equal")
        axes.scatter(
            truth, answer, s=18 if few else 6, color=BLUE, alpha=0.7 if few else 0.3, linewidths=0
        )
        error = answer - truth.astype(np.float64)
        spread = f", R² {r2(error, truth):.3f}" if truth.std() > 0 else ""
        of = f", {unit}" if unit else ""
        axes.set(
            xlabel=f"true{of}",
            ylabel=f"answered{of}",
            title=f"{name}\nmean absolute error {np.abs(error).mean():.3g}{spread}",
            xlim=ends,
            ylim=ends,
            aspect="equal",
        )
        axes.legend(frameon=False, loc="upper left")
        plain(axes)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, format="png")
