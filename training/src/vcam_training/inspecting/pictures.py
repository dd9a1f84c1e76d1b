"""Pictures of a look: the channels of a layer, and what lies over an image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.drawing import OUTLINE, canvas
from vcam_training.inspecting.look import Look
from vcam_training.inspecting.placing import on_grid
from vcam_training.inspecting.tiles import Block, Tile, draw_tiles

MOST_CHANNELS = 64
"""Channels on a sheet; of more, those with the largest sums are shown."""
SIGNED, UNSIGNED = "coolwarm", "inferno"
"""Colours of values with a sign and without."""
_MOST_OPAQUE = 0.85
_DARKER = 1.0
"""How far the white of an image under colours is moved up, in widths of its limits."""
_DPI = 110


def draw_channels(
    path: Path, seen: Look, mask: NDArray[np.bool_], *, channels: Sequence[int], title: str
) -> None:
    """Channels of the layer as tiles of one scale, as PNG.

    Of a volume each tile is a slice of cells along the first axis, the one through the
    middle of the mask or, without one, of the grid.

    Args:
        path: of the file.
        seen: what the layer answers.
        mask: bool [*grid].
        channels: to be shown; the ones with the largest sums if they are too many.
        title: above the tiles; what is left out and which slice is added.
    """
    shown = list(channels)
    if len(shown) > MOST_CHANNELS:
        shown = sorted(sorted(shown, key=lambda k: -seen.sums[k])[:MOST_CHANNELS])
        title += f"; the {MOST_CHANNELS} largest sums of {len(channels)}"
    cells = seen.activation
    if cells.ndim == 4:
        at = slice_of_cells(mask, seen.place)
        cells = cells[at]
        title += f"; slice {at} of {len(seen.activation)}"
    tiles = [Tile(picture=cells[..., k], text=f"{k}: sum {seen.sums[k]:.3g}") for k in shown]
    values = cells[..., shown]
    low, high = min(0.0, float(values.min())), max(float(values.max()), 1e-6)
    if low < 0:
        low, high = -max(-low, high), max(-low, high)
    draw_tiles(
        path,
        [Block(name="", tiles=tiles)],
        title=title,
        limits=(low, high),
        colours=SIGNED if low < 0 else UNSIGNED,
        bar="activation",
    )


def channels_above(seen: Look, threshold: float) -> list[int]:
    """The channels whose activation, summed over the cells, is larger than a threshold.

    Raises:
        ConfigError: there is none.
    """
    found = [int(k) for k in np.flatnonzero(seen.sums > threshold)]
    if not found:
        raise ConfigError(
            f"Expected a channel of {seen.place.name!r} whose sum is above {threshold:g}, the "
            f"largest is {seen.sums.max():.4g} (channel {seen.sums.argmax()}). Set a lower "
            "--channels-above."
        )
    return found


def draw_overlay(
    path: Path,
    values: NDArray[np.float32],
    place: CamLayer,
    image: NDArray,
    mask: NDArray[np.bool_],
    *,
    limits: tuple[float, float],
    title: str,
    bar: str,
    signed: bool = False,
) -> None:
    """An image, and values of a layer's cells over it, interpolated, as PNG.

    Where values are small the image shows through, darkened.

    Args:
        path: of the file.
        values: float32 [*cells].
        place: of the cells.
        image: [rows, columns].
        mask: bool, of the same shape; outlined.
        limits: values of the image that are black and white.
        title: above both.
        bar: what the values are.
        signed: whether colours show signs; they do in any case if a value is negative.
    """
    on_image = on_grid(values, image.shape, place)
    scale = norm_of(values, signed=signed)
    strength = np.abs(on_image) / max(abs(scale.vmin or 0.0), abs(scale.vmax or 0.0))
    figure = canvas(9.4, 4.7, dpi=_DPI)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = limits
    for axes, white in zip(panels, (high, high + _DARKER * (high - low)), strict=True):
        axes.imshow(image, cmap="gray", vmin=low, vmax=white)
        if mask.any():
            axes.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=1)
        axes.set(xlabel="column, pixels")
    panels[0].set(ylabel="row, pixels")
    panels[0].set_title("input, mask outlined" if mask.any() else "input", fontsize=9)
    shown = panels[1].imshow(
        on_image,
        cmap=colours_of(scale),
        norm=scale,
        alpha=np.clip(strength, 0, 1) * _MOST_OPAQUE,
        interpolation="nearest",
    )
    panels[1].set_title(bar, fontsize=9)
    colours = figure.colorbar(shown, ax=panels, shrink=0.85, label=bar)
    colours.solids.set(alpha=1)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, format="png")


def norm_of(values: NDArray, *, signed: bool = False) -> Normalize:
    """From 0, or symmetric about it if it is to show signs or any value is negative."""
    largest = max(float(np.abs(values).max()), 1e-12)
    return Normalize(-largest if signed or values.min() < 0 else 0.0, largest)


def colours_of(scale: Normalize) -> str:
    """SIGNED or UNSIGNED, as the scale is."""
    return SIGNED if (scale.vmin or 0.0) < 0 else UNSIGNED


def slice_of_cells(mask: NDArray[np.bool_], place: CamLayer) -> int:
    """Index along the first axis of cells: through the middle of a mask, else of the grid."""
    marked = np.flatnonzero(mask.any(axis=tuple(range(1, mask.ndim))))
    middle = marked.mean() if marked.size else (len(mask) - 1) / 2
    nearest = round((middle - place.offset[0]) / place.stride[0])
    return int(np.clip(nearest, 0, place.cells[0] - 1))
