"""Draws the histogram of a volume with its phases."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_training.drawing import canvas
from vcam_training.phases.colours import colour_of
from vcam_training.phases.partition import Partition

_DPI = 100
_BINS = 300
"""Bars at most; enough for each value of 8 bits."""


def draw_histogram(
    path: Path, values: NDArray[np.float32], phases: Partition, *, units: str, title: str
) -> None:
    """Voxels by value on a logarithmic scale, each phase in its colour, as PNG.

    Args:
        path: of the file.
        values: of the whole volume.
        phases: of that volume.
        units: of the values, "" for none.
        title: above the picture.
    """
    edges = bin_edges(values, _BINS)
    counts, _ = np.histogram(values, edges)
    figure = canvas(9, 4.5, dpi=_DPI)
    axes = figure.subplots()
    middles = (edges[:-1] + edges[1:]) / 2
    limits = np.array(phases.edges[1:-1])
    owners = np.searchsorted(limits, middles, side="right") + 1
    axes.bar(
        middles,
        counts,
        width=np.diff(edges),
        color=[colour_of(int(owner)) for owner in owners],
        linewidth=0,
    )
    for edge in phases.edges:
        axes.axvline(edge, color="0.2", linestyle="--", linewidth=0.8)
    shares = phases.counts(values).sum(axis=0) / values.size
    for phase, share in enumerate(shares, start=1):
        middle = (phases.edges[phase - 1] + phases.edges[phase]) / 2
        axes.text(
            middle,
            1.02,
            f"phase {phase}\n{share:.2%}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=9,
        )
    axes.set_yscale("log")
    axes.set(xlabel=f"value{f', {units}' if units else ''}", ylabel="voxels")
    figure.suptitle(title)
    figure.savefig(path, format="png")


def bin_edges(values: NDArray[np.float32], wanted: int) -> NDArray[np.float64]:
    """Edges of bars over all values; of whole numbers, bars hold equally many of them.

    Args:
        values: real numbers, more than one of them different.
        wanted: bars, at most.
    """
    low, high = float(values.min()), float(values.max())
    whole = bool((values == np.rint(values)).all())
    if not whole:
        return np.linspace(low, high, wanted + 1)
    width = max(1.0, np.ceil((high - low + 1) / wanted))
    return np.arange(low - 0.5, high + 0.5 + width, width)
