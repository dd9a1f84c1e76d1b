"""Draws a run's history, and how often its scores come true."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from vcam_training.drawing import canvas
from vcam_training.evaluation.calibration import Calibration
from vcam_training.evaluation.intervals import wilson_interval
from vcam_training.evaluation.reliability import Reliability
from vcam_training.learning.history import LOWER_IS_BETTER, Row, best

_DPI = 100


def draw_curves(path: Path, history: Sequence[Row], monitor: str, title: str) -> None:
    """Each value by epoch, training and validation, and the learning rate, as PNG.

    The best epoch by the value that is monitored, whose network is kept, is marked.
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history[0].values))
    figure = canvas(4.5 * (len(names) + 1), 4, dpi=_DPI)
    epochs = [row.epoch for row in history]
    kept = best(history, monitor).epoch
    panels = figure.subplots(1, len(names) + 1, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=False):
        for key, label, colour in (
            (name, "training", "C0"),
            (f"val_{name}", "validation", "C1"),
        ):
            if key in history[0].values:
                values = [row.values[key] for row in history]
                axes.plot(epochs, values, marker="o", color=colour, label=label)
        axes.axvline(kept, color="grey", linestyle=":", label=f"kept: epoch {kept}")
        axes.set(xlabel="epoch", ylabel=name)
        axes.legend()
        if name in LOWER_IS_BETTER and min(row.values[f"val_{name}"] for row in history) > 0:
            axes.set_yscale("log")
        elif name not in LOWER_IS_BETTER:
            axes.set_ylim(top=1.01)
    panels[-1].plot(epochs, [row.learning_rate for row in history], marker="o", color="grey")
    panels[-1].set(xlabel="epoch", ylabel="learning rate at its end")
    for axes in panels:
        if len(epochs) == 1:
            axes.set_xticks(epochs)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, format="png")


def draw_reliability(
    path: Path, calibration: Calibration, title: str, *, split: str = "test"
) -> None:
    """How often scores of a held-out split came true, before and after calibration, as PNG.

    A dot for each bin with its 95 % interval and its number of scores. Dots on the
    diagonal are scores that are probabilities.
    """
    figure = canvas(10, 5.2, dpi=_DPI)
    cases = (
        (calibration.before, "as trained"),
        (calibration.after, f"calibrated, T = {calibration.temperature:.2f}"),
    )
    for axes, (shown, name) in zip(figure.subplots(1, 2, sharey=True), cases, strict=True):
        _draw_bins(axes, shown)
        error = f"error {shown.error:.3f} ({shown.lower:.3f} to {shown.upper:.3f})"
        perfect = f"true probabilities would show {shown.error_of_perfect:.3f}"
        axes.set(xlabel="mean score", title=f"{name}\n{error};\n{perfect}")
    if calibration.decision_threshold is not None:
        threshold = calibration.decision_threshold
        figure.axes[1].axvline(
            threshold, color="grey", linestyle=":", label=f"decision threshold {threshold:.3f}"
        )
    figure.axes[0].set_ylabel("how often it came true")
    figure.axes[1].legend(loc="upper left")
    figure.suptitle(f"{title}: {calibration.after.count} scores of the {split} split")
    figure.savefig(path, format="png")


def _draw_bins(axes: Any, shown: Reliability) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="scores are probabilities")
    shares = np.array([one.frequency for one in shown.bins])
    ends = np.array(
        [wilson_interval(round(one.frequency * one.count), one.count) for one in shown.bins]
    )
    axes.errorbar(
        [one.score for one in shown.bins],
        shares,
        yerr=np.clip([shares - ends[:, 0], ends[:, 1] - shares], 0, None),
        fmt="o",
        capsize=3,
        label="bins with 95 % intervals",
    )
    for one in shown.bins:
        right = one.score > 0.5
        axes.annotate(
            str(one.count),
            (one.score, one.frequency),
            xytext=(-6 if right else 6, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize="small",
        )
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axes.grid(alpha=0.3)
