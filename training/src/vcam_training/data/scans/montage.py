"""The slices of a volume side by side on one sheet."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split

ROWS, COLUMNS = 4, 10
_WIDTH_INCHES = 12.0
_TITLE_INCHES = 0.35
_DPI = 100
_OUTLINE = "#ff5a36"


def montage(volume: NDArray, rows: int = ROWS, columns: int = COLUMNS) -> NDArray:
    """Slices along the first axis, evenly from the first to the last, line by line.

    Args:
        volume: [D, H, W].
        rows, columns: of the sheet. Where there are fewer slices, each is shown once, and
            the rest of the sheet is as the lowest value.

    Returns:
        [rows · H, columns · W], in the dtype of the volume.
    """
    sheet = np.full((rows, columns, *volume.shape[1:]), volume.min(), volume.dtype)
    for place, number in enumerate(slices_shown(len(volume), rows * columns)):
        sheet[divmod(place, columns)] = volume[number]
    return sheet.swapaxes(1, 2).reshape(rows * volume.shape[1], columns * volume.shape[2])


def slices_shown(depth: int, places: int) -> list[int]:
    """Which of `depth` slices a sheet shows."""
    return np.linspace(0, depth - 1, min(depth, places)).round().astype(int).tolist()


def draw_montage(
    path: Path,
    volume: NDArray,
    limits: tuple[float, float],
    title: str,
    *,
    mask: NDArray[np.bool_] | None = None,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> None:
    """Writes the sheet as PNG.

    Args:
        path: of the file.
        volume: [D, H, W].
        limits: values of black and of white.
        title: above it; how many slices are shown is added.
        mask: bool [D, H, W], outlined where there is any.
        rows, columns: of the sheet.
    """
    sheet = montage(volume, rows, columns)
    height = _WIDTH_INCHES * sheet.shape[0] / sheet.shape[1]
    figure = Figure(figsize=(_WIDTH_INCHES, height + _TITLE_INCHES), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, height / (height + _TITLE_INCHES)))
    axes.set_axis_off()
    axes.imshow(sheet, cmap="gray", vmin=limits[0], vmax=limits[1], aspect="auto")
    if mask is not None and mask.any():
        marked = montage(mask, rows, columns)
        axes.contour(marked, levels=[0.5], colors=_OUTLINE, linewidths=0.8)
    shown = len(slices_shown(len(volume), rows * columns))
    figure.suptitle(f"{title}: {shown} of {len(volume)} slices", x=0.01, ha="left", fontsize=10)
    figure.savefig(path, format="png")


def draw_first(path: Path, split: Split, contract: DataContract) -> None:
    """The sheet of the first volume of a split, as a look at what the network is given.

    Args:
        path: of the PNG file.
        split: volumes.
        contract: what their values mean; black and white are the ends of its window.
    """
    volume = np.asarray(split.volumes[0])
    limits = contract.intensity.window or (float(volume.min()), float(volume.max()))
    draw_montage(path, volume, limits, split.name(0), mask=split.masks[0])
