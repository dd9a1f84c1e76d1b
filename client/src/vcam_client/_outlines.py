"""Thin lines around parts of a slice: what the model saw, what is true, what is strong.

A line runs just outside of what it encloses, so that it never covers evidence, and has a
dark rim, so that it shows on bright bone, too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vcam_client._planes import FAINT, font

_RIM = 0.35
"""Brightness that is left of pixels just outside of a line."""
_SAMPLE = 26
"""Width of a line in the legend, in pixels."""
_HALF = 128


@dataclass(frozen=True, kw_only=True)
class Line:
    """How a line looks: its colour, and pixels of a dash (0: solid)."""

    colour: tuple[int, int, int]
    dash: int


SEEN = Line(colour=(150, 156, 166), dash=2)
TRUE = Line(colour=(90, 255, 110), dash=0)
STRONG = Line(colour=(255, 255, 255), dash=4)


def enlarged(part: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A part of a slice at the picture's size (width, height), smoothed."""
    grey = Image.fromarray(np.where(part, np.uint8(255), np.uint8(0)))
    large: NDArray[Any] = np.asarray(grey.resize(size, Image.Resampling.BILINEAR))
    return large >= _HALF


def draw_around(pixels: NDArray[np.float32], part: NDArray[np.bool_], line: Line) -> None:
    """Draws a line around a part, in place.

    Args:
        pixels: float32 [rows, columns, 3], 0 to 255.
        part: bool [rows, columns]; where it meets the edge of the picture there is no line.
        line: its look.
    """
    wider = _grown(part)
    rim = _grown(wider) & ~wider
    pixels[rim] *= _RIM
    ring = wider & ~part
    if line.dash:
        rows, columns = np.indices(part.shape)
        ring &= (rows + columns) // line.dash % 2 == 0
    pixels[ring] = line.colour


def draw_legend(
    draw: ImageDraw.ImageDraw, lines: list[tuple[Line, str]], corner: tuple[int, int]
) -> None:
    """A sample of each line, and what it means, side by side."""
    x, y = corner
    for line, meaning in lines:
        for step in range(_SAMPLE):
            if not line.dash or step // line.dash % 2 == 0:
                draw.line((x + step, y + 7, x + step, y + 8), line.colour)
        draw.text((x + _SAMPLE + 6, y), meaning, FAINT, font(12))
        x += legend_width(meaning)


def legend_width(meaning: str) -> int:
    """Pixels of one entry of the legend."""
    return _SAMPLE + 6 + int(font(12).getlength(meaning)) + 18


def _grown(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A part and its neighbours, corners included."""
    grown = part.copy()
    grown[1:] |= part[:-1]
    grown[:-1] |= part[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide
