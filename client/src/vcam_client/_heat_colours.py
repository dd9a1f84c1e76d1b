"""Colours of maps over grey slices: weak evidence lets the slice through.

The heatmap runs from purple to light yellow, growing in lightness. Signed maps are orange
for a class and blue against it, which people who don't tell red from green do tell apart;
the strongest is the most saturated, on bright tissue as well.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_OPACITY = 0.65
"""Opacity of the strongest evidence; weaker evidence is more transparent."""

_Ramp = tuple[tuple[float, tuple[int, int, int]], ...]
_HEAT: _Ramp = (
    (0, (60, 10, 90)),
    (0.35, (200, 40, 70)),
    (0.7, (250, 140, 20)),
    (1, (255, 250, 140)),
)
_SIGNED: _Ramp = (
    (-1, (0, 95, 255)),
    (-0.5, (85, 165, 255)),
    (0, (200, 225, 255)),
    (0.001, (255, 230, 200)),
    (0.5, (255, 165, 70)),
    (1, (255, 85, 0)),
)


def mixed(
    grey: NDArray[np.float32], stored: NDArray[Any], size: tuple[int, int]
) -> NDArray[np.float32]:
    """A slice with its map over it.

    Args:
        grey: float32 [rows, columns, 3], 0 to 255, of the picture.
        stored: uint8 or int8, the map of the slice as it is stored.
        size: width and height of the picture.

    Returns:
        float32 [rows, columns, 3].
    """
    signed = stored.dtype == np.int8
    level = _level(stored, size)
    opacity = (_OPACITY * np.minimum(1, 2 * np.abs(level)))[..., None]
    over: NDArray[np.float32] = grey * (1 - opacity) + _colour(level, signed) * opacity
    return over


def ramp(width: int, height: int, *, signed: bool) -> Image.Image:
    """The scale of colours, from 0 (or -1) to 1."""
    level = np.tile(np.linspace(-1 if signed else 0, 1, width, dtype=np.float32), (height, 1))
    return Image.fromarray(np.rint(_colour(level, signed)).astype(np.uint8))


def _level(stored: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """float32 of the picture's size: -1 to 1, or 0 to 1."""
    if stored.dtype == np.int8:
        values = Image.fromarray(stored.astype(np.float32) / 127)
    else:
        values = Image.fromarray(np.ascontiguousarray(stored).astype(np.float32) / 255)
    return np.asarray(values.resize(size, Image.Resampling.BILINEAR), np.float32)


def _colour(level: NDArray[np.float32], signed: bool) -> NDArray[np.float32]:
    colours = _SIGNED if signed else _HEAT
    at = [position for position, _ in colours]
    channels = [np.interp(level, at, [rgb[c] for _, rgb in colours]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
