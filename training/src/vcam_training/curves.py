"""Draws a run's history."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vcam_training.run_folder import Row


def draw_curves(path: Path, history: Sequence[Row], title: str) -> None:
    """Loss and accuracy by epoch, training and validation, as PNG.

    The epoch with the lowest validation loss, whose network is kept, is marked.
    """
    figure = Figure(figsize=(10, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row.epoch for row in history]
    best = min(history, key=lambda row: row.val_loss).epoch
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = [getattr(row, prefix + name) for row in history]
            axes.plot(epochs, values, marker="o", label=label)
        axes.axvline(best, color="grey", linestyle=":", label=f"kept: epoch {best}")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.axes[0].set_yscale("log")
    figure.axes[1].set_ylim(top=1.01)
    figure.suptitle(title)
    figure.savefig(path, format="png")
