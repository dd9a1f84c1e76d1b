"""What the pictures of reports have in common: a canvas, colours, a map over a scan."""

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

BLUE, ORANGE, GREY, RED = "#1f5fa8", "#d1701b", "#8a8f98", "#b03030"
OUTLINE = "#37e0d0"
"""Colour of a mask's edge over a scan."""
_HEAT = "inferno"
_MOST_OPAQUE = 0.75
"""Of the strongest voxel of a heatmap over the scan."""
_TITLE_SIZE = 10
_EDGE = 2
"""Pixels of an outline."""


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


def plane_image(
    scan: NDArray,
    limits: tuple[float, float],
    side: int,
    *,
    heat: NDArray | None = None,
    mask: NDArray | None = None,
    aspect: float = 1.0,
) -> NDArray[np.uint8]:
    """The same as an array, in no time: dozens of axes take seconds.

    Args:
        side: pixels of the longer side.
        scan, limits, heat, mask, aspect: as for `draw_plane`.

    Returns:
        uint8 [rows, columns, 3].
    """
    low, high = limits
    grey = np.clip((np.asarray(scan, np.float32) - low) / (high - low), 0, 1)
    colours = np.repeat(grey[..., None], 3, axis=-1)
    if heat is not None:
        opacity = (np.asarray(heat, np.float32) * _MOST_OPAQUE)[..., None]
        colours = (1 - opacity) * colours + opacity * colormaps[_HEAT](heat)[..., :3]
    rows, columns = scan.shape[0] * aspect, scan.shape[1]
    scale = side / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Image.fromarray((255 * colours).round().astype(np.uint8))
    shown = np.array(picture.resize(size, Image.Resampling.NEAREST))
    if mask is not None and mask.any():
        large = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
        inside = np.array(large, bool)
        edge = inside & ~binary_erosion(inside, iterations=_EDGE, border_value=1)
        shown[edge] = np.round(255 * np.array(to_rgb(OUTLINE)))
    return shown


def png_of(picture: NDArray[np.uint8]) -> bytes:
    """An array [rows, columns, 3] as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="png")
    return stream.getvalue()
