"""The files of an ascent: the pattern as picture and array, the curve as picture and CSV."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.table_cells import CsvWriter
from vcam_client.writing import Write
from vcam_training.drawing import BLUE, canvas, plain
from vcam_training.inspecting.ascent import Ascent
from vcam_training.inspecting.writing import write_all

_DPI = 110


def write_ascent(found: Ascent, folder: Path | str, *, title: str, units: str) -> list[str]:
    """Writes pattern.npy, pattern.png, ascent.csv, ascent.png and ascent.json.

    Args:
        found: the ascent.
        folder: made if need be.
        title: of the model.
        units: of physical values; "" for none.

    Returns:
        Names of the files.

    Raises:
        OutputError: they can't be written.
    """
    title = f"{title}: filter {found.filter_index} of {found.layer}"
    files: dict[str, Write] = {
        "pattern.npy": lambda part: _save(part, found.pattern),
        "pattern.png": lambda part: _draw_pattern(part, found, title, units),
        "ascent.csv": lambda part: _write_csv(part, found),
        "ascent.png": lambda part: _draw_curve(part, found, title),
        "ascent.json": lambda part: part.write_text(_text(found), encoding="utf-8"),
    }
    return write_all(folder, files)


def _text(found: Ascent) -> str:
    values = {
        "layer": found.layer,
        "filter": found.filter_index,
        "steps": len(found.step_sizes),
        "window": list(found.window),
        "behind_intensity": found.behind_intensity,
        "activation": {"start": found.activation[0], "end": found.activation[-1]},
    }
    return json.dumps(values, indent=2) + "\n"


def _save(part: Path, pattern: NDArray[np.float32]) -> None:
    with part.open("wb") as stream:
        np.save(stream, pattern)


def _write_csv(part: Path, found: Ascent) -> None:
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["step", "activation", "step_size"])
        writer.writerow([0, found.activation[0], ""])
        rows = zip(found.activation[1:], found.step_sizes, strict=True)
        writer.writerows([number, *row] for number, row in enumerate(rows, start=1))


def _draw_curve(part: Path, found: Ascent, title: str) -> None:
    figure = canvas(6, 4, dpi=_DPI)
    axes = figure.subplots()
    axes.plot(found.activation, color=BLUE)
    axes.set(xlabel="step", ylabel="mean activation of the filter")
    plain(axes)
    figure.suptitle(title, fontsize=10)
    figure.savefig(part, format="png")


def _draw_pattern(part: Path, found: Ascent, title: str, units: str) -> None:
    """An image; of a volume its middle planes; of bands one beside the other."""
    bands = [found.pattern]
    if found.behind_intensity:
        bands = list(np.moveaxis(found.pattern, -1, 0))
    planes = [plane for band in bands for plane in _planes(band)]
    across = len(planes) // len(bands) if len(planes) > len(bands) else len(planes)
    down = -(-len(planes) // across)
    figure = canvas(3.1 * across + 1.2, 3.2 * down + 0.5, dpi=_DPI)
    panels = figure.subplots(down, across, squeeze=False)
    shown = None
    for number, (axes, (name, picture)) in enumerate(zip(panels.ravel(), planes, strict=True)):
        shown = axes.imshow(
            picture,
            cmap="gray",
            vmin=found.window[0],
            vmax=found.window[1],
            interpolation="nearest",
        )
        band = f"band {number * len(bands) // len(planes)} " if found.behind_intensity else ""
        axes.set_title(f"{band}{name}", fontsize=9)
        axes.tick_params(labelsize=7)
    assert shown is not None
    label = "behind the intensity layer" if found.behind_intensity else units or "value"
    figure.colorbar(shown, ax=panels, shrink=0.8, label=label)
    figure.suptitle(title, fontsize=10)
    figure.savefig(part, format="png")


def _planes(picture: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    if picture.ndim == 2:
        return [("", picture)]
    middles = [size // 2 for size in picture.shape]
    return [
        (f"axis {axis} at {at}", picture.take(at, axis=axis)) for axis, at in enumerate(middles)
    ]
