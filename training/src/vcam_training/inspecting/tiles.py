"""Small pictures side by side on one sheet, each with a line of text above it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from vcam_training.drawing import OUTLINE

TILE_INCHES = 1.35
"""Side of a tile on the sheet."""
_LARGEST_TILE = 192
"""Pixels of a side that are drawn; larger pictures are averaged down."""
_TEXT_INCHES = 0.23
_GAP_INCHES = 0.1
_LEFT_INCHES = 0.3
_TITLE_INCHES = 0.4
_BAR_INCHES, _LONGEST_BAR_INCHES = 0.75, 4.0
_DPI = 110
_LETTERS = 22
"""Of a tile's text; longer ones are cut in the middle."""
_END = 8
"""Letters of it that are kept behind the cut."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One picture.

    Attributes:
        picture: float [rows, columns].
        text: above it.
        mask: bool [rows, columns], outlined; None for no outline.
        aspect: height of a pixel, in widths.
    """

    picture: NDArray
    text: str = ""
    mask: NDArray[np.bool_] | None = None
    aspect: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Tiles that belong together, with a name beside them."""

    name: str
    tiles: Sequence[Tile]


def draw_tiles(
    path: Path,
    blocks: Sequence[Block],
    *,
    title: str,
    limits: tuple[float, float],
    colours: str = "gray",
    columns: int = 8,
    bar: str = "",
) -> None:
    """Writes a sheet of tiles as PNG.

    Args:
        path: of the file.
        blocks: of tiles; each begins a row.
        title: above all.
        limits: values of the darkest and the brightest colour, the same for all tiles.
        colours: matplotlib's name of a colour map.
        columns: tiles in a row at most.
        bar: what the values are, for a colour bar; "" for none.
    """
    columns = min(columns, max(len(block.tiles) for block in blocks))
    left = _LEFT_INCHES if any(block.name for block in blocks) else _GAP_INCHES
    rows = sum(math.ceil(len(block.tiles) / columns) for block in blocks)
    across, down = TILE_INCHES + _GAP_INCHES, TILE_INCHES + _TEXT_INCHES
    # the title has room even above a single tile
    inner = max(columns * across, 0.075 * len(title) - left)
    width = left + inner + (_BAR_INCHES if bar else 0)
    height = _TITLE_INCHES + rows * down + _GAP_INCHES
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    # one system of axes for all, in inches: dozens of them take seconds
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(0, height))
    sheet.set_axis_off()
    sheet.text(left, height - 0.55 * _TITLE_INCHES, title, va="center", fontsize=10)
    row = 0
    shown = None
    for block in blocks:
        top = height - _TITLE_INCHES - row * down
        block_rows = math.ceil(len(block.tiles) / columns)
        middle = top - block_rows * down / 2
        sheet.text(left / 2, middle, block.name, rotation=90, ha="center", va="center")
        for at, tile in enumerate(block.tiles):
            corner = (left + at % columns * across, top - (at // columns + 1) * down)
            shown = _draw(sheet, tile, corner, limits, colours)
        row += block_rows
    if bar and shown is not None:
        long = min(height - _TITLE_INCHES - _TEXT_INCHES - _GAP_INCHES, _LONGEST_BAR_INCHES)
        place = figure.add_axes(
            (
                (left + inner + 0.05) / width,
                (height - _TITLE_INCHES - _TEXT_INCHES - long) / height,
                0.13 / width,
                long / height,
            )
        )
        figure.colorbar(shown, cax=place).set_label(bar, fontsize=8)
        place.tick_params(labelsize="small")
    figure.savefig(path, format="png")


def reduced(picture: NDArray, side: int = _LARGEST_TILE) -> NDArray[np.float32]:
    """A picture averaged down by a whole number so that no side is longer than `side`."""
    step = math.ceil(max(picture.shape) / side)
    values = picture.astype(np.float32)
    if step == 1:
        return values
    rows, columns = (size // step * step for size in values.shape)
    blocks = values[:rows, :columns].reshape(rows // step, step, columns // step, step)
    averaged: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return averaged


def _draw(
    sheet: Axes,
    tile: Tile,
    corner: tuple[float, float],
    limits: tuple[float, float],
    colours: str,
) -> AxesImage:
    """Draws a tile into a square whose lower left corner is given, inches."""
    picture = reduced(tile.picture)
    rows, columns = picture.shape
    high, wide = rows * tile.aspect, float(columns)
    scale = TILE_INCHES / max(high, wide)
    high, wide = high * scale, wide * scale
    x, y = corner[0] + (TILE_INCHES - wide) / 2, corner[1] + (TILE_INCHES - high) / 2
    shown = sheet.imshow(
        picture,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(x, x + wide, y, y + high),
        aspect="auto",
        interpolation="nearest",
    )
    if tile.mask is not None and tile.mask.any():
        covered = reduced(tile.mask)
        sheet.contour(
            x + (np.arange(columns) + 0.5) * wide / columns,
            y + high - (np.arange(rows) + 0.5) * high / rows,
            covered,
            levels=[0.5],
            colors=OUTLINE,
            linewidths=0.9,
        )
    text = tile.text
    if len(text) > _LETTERS:  # names differ at their ends
        text = f"{text[: _LETTERS - _END - 1]}…{text[-_END:]}"
    middle, above = corner[0] + TILE_INCHES / 2, corner[1] + TILE_INCHES + 0.03
    sheet.text(middle, above, text, fontsize=7, ha="center", va="bottom")
    return shown
