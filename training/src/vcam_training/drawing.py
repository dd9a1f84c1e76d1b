"""What the pictures of reports have in common: a canvas, colours, a map over a scan."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

BLUE, ORANGE, GREY, GREEN, RED = "#1f5fa8", "#d1701b", "#8a8f98", "#2c8a57", "#b03030"
OUTLINE = "#37e0d0"
"""Colour of a mask's edge over a scan."""
_HEAT = "inferno"
_MOST_OPAQUE = 0.75
"""Of the strongest voxel of a heatmap over the scan."""
_TITLE_SIZE = 10


def canvas(width: float, height: float, *, dpi: int = 160) -> Figure:
    """A figure of so many inches, without a window."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def plain(axes: Axes) -> None:
    """A light grid, no box."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(_TITLE_SIZE)


def draw_plane(
    axes: Axes,
    scan: NDArray,
    limits: tuple[float, float],
    *,
    heat: NDArray | None = None,
    mask: NDArray | None = None,
    aspect: float = 1.0,
) -> None:
    """A slice in grey, a heatmap over it, an object outlined.

    Args:
        axes: loses its frame.
        scan: [rows, columns].
        limits: values that are black and white.
        heat: [rows, columns] in [0, 1].
        mask: bool [rows, columns]; nothing is drawn of one that marks nothing.
        aspect: height of a pixel, in widths.
    """
    low, high = limits
    axes.imshow(scan, cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect=aspect)
    if heat is not None:
        opacity = heat * _MOST_OPAQUE
        axes.imshow(heat, cmap=_HEAT, vmin=0, vmax=1, alpha=opacity, aspect=aspect)
    if mask is not None and mask.any():
        axes.contour(mask, levels=[0.5], colors=[OUTLINE], linewidths=1.1)
    axes.set_axis_off()
