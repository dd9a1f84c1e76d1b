"""Slices of a volume as pictures: turned to the radiological view, in true proportions.

Seen from the feet, the patient's right is on the left; letters at the edges say so.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vcam_client._orientation import to_axes
from vcam_client.volume import Volume

PANEL = 256  # pixels, the longer side of a slice
GAP = 6
MARGIN = 14
BACKGROUND = (16, 18, 22)
TEXT = (232, 234, 238)
FAINT = (150, 156, 166)
_LEAST_FOR_TWO_LETTERS = 44  # pixels; thinner slices have no room for top and bottom
_LARGE_PANEL = 384
_LEAST_WIDTH = 110  # pixels, for a caption
_HEADER = 26

_PERCENTILES = (0.5, 99.5)
"""Grey range of scans whose model states no window."""

_CODES = ("S", "P", "L")
_PLANES = ("axial", "coronal", "sagittal")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


Parts = Sequence[tuple[Any, NDArray[np.bool_]]]
"""Lines and what they run around, bool [rows, columns]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One slice, [rows, columns].

    Attributes:
        title: plane and index.
        grey: uint8.
        heat: a map as it is stored, uint8 or int8.
        pixel_mm: height and width of a pixel.
        letters: at the left, right, top and bottom edge.
        parts: what is outlined, bool, and how.
    """

    title: str
    grey: NDArray[np.uint8]
    heat: NDArray[Any] | None
    pixel_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    parts: Parts = ()

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Width and height."""
        rows, columns = self.grey.shape
        return columns * self.pixel_mm[1], rows * self.pixel_mm[0]

    def size(self, panel: int, panel_mm: float | None = None) -> tuple[int, int]:
        """Width and height in pixels, aspect from spacing.

        Args:
            panel: pixels of the longer side, or of `panel_mm` where that is given.
        """
        width, height = self.extent_mm
        scale = panel / (panel_mm or max(width, height))
        return max(8, round(width * scale)), max(8, round(height * scale))


@dataclass(frozen=True, kw_only=True, eq=False)
class Turned:
    """A volume with axes turned for display: down to the feet last, as [z, y, x] of LPS.

    Attributes:
        volume: the volume.
        anatomical: whether its axes have anatomical directions.
        order, flip: stored axis of each turned axis, and whether it runs backwards.
    """

    volume: Volume
    anatomical: bool
    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    @classmethod
    def of(cls, volume: Volume, *, anatomical: bool = True) -> "Turned":
        """Arrays as [z, y, x] of an LPS image: rows run down to posterior, columns to the
        patient's left, which is how a radiologist looks at an axial slice.
        """
        codes = _CODES if anatomical else ()
        order, flip = to_axes(volume.affine, codes, slowest_first=volume.slowest_first)
        return cls(volume=volume, anatomical=anatomical, order=order, flip=flip)

    def turn(self, data: NDArray[Any]) -> NDArray[Any]:
        """A view of an array [I, J, K] in turned axes."""
        steps = tuple(slice(None, None, -1 if f else 1) for f in self.flip)
        return data.transpose(self.order)[steps]

    @property
    def spacing(self) -> list[float]:
        """Millimetres along each turned axis."""
        return [self.volume.spacing[o] for o in self.order]

    def view(
        self,
        axis: int,
        index: int,
        window: tuple[float, float],
        heat: NDArray[Any] | None = None,
        parts: Parts = (),
    ) -> View:
        """A slice across a turned axis; `heat` and `parts` are in turned axes."""
        grey = self.turn(self.volume.data)
        rows, columns = (a for a in range(3) if a != axis)
        stored = grey.shape[axis] - 1 - index if self.flip[axis] else index
        name = f"{_PLANES[axis]} " if self.anatomical else ""
        plane = View(
            title=f"{name}{'ijk'[self.order[axis]]} = {stored}",
            grey=_grey(np.take(grey, index, axis), window),
            heat=None if heat is None else np.take(heat, index, axis),
            pixel_mm=(self.spacing[rows], self.spacing[columns]),
            letters=_letters(rows, columns) if self.anatomical else ("", "", "", ""),
            parts=parts,
        )
        return _upright(plane) if self.anatomical and rows == 0 else plane


def planes_png(volume: Volume) -> bytes:
    """The three planes through the middle of a volume, or its only slice, as PNG bytes."""
    turned = Turned.of(volume, anatomical=volume.anatomical)
    shape = turned.turn(volume.data).shape
    window = grey_window(turned.turn(volume.data), volume.padding)
    thin = [axis for axis in range(3) if shape[axis] == 1]
    axes = thin[:1] or range(3)
    views = [turned.view(axis, shape[axis] // 2, window) for axis in axes]
    largest_mm = max(mm for view in views for mm in view.extent_mm)
    sizes = [view.size(_LARGE_PANEL, largest_mm) for view in views]
    widths = [max(w, _LEAST_WIDTH) for w, _ in sizes]
    width = 2 * MARGIN + sum(widths) + GAP * (len(views) - 1)
    height = _HEADER + max(h for _, h in sizes) + MARGIN
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    x = MARGIN
    for view, size, room in zip(views, sizes, widths, strict=True):
        canvas.paste(greyscale(view, size), (x, _HEADER))
        draw_letters(draw, view.letters, (x, _HEADER), size)
        draw.text((x, 6), view.title, FAINT, font(12))
        x += room + GAP
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def greyscale(view: View, size: tuple[int, int]) -> Image.Image:
    """The slice alone, RGB of `size` pixels."""
    image = Image.fromarray(np.ascontiguousarray(view.grey))
    return image.resize(size, Image.Resampling.BILINEAR).convert("RGB")


def grey_window(grey: NDArray[Any], padding: tuple[float, float] | None) -> tuple[float, float]:
    """Percentiles of the real values; `padding` is the range that means "not measured"."""
    sample = grey[tuple(slice(None, None, max(1, n // 64)) for n in grey.shape)]
    finite = sample[np.isfinite(sample)]
    sample = finite if finite.size else np.zeros(1)
    if padding is not None:
        real = sample[(sample < padding[0]) | (sample > padding[1])]
        sample = real if real.size else sample
    low, high = np.percentile(sample, _PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low) - 1, float(low) + 1)


def _grey(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    finite = np.nan_to_num(values.astype(np.float32), nan=low)
    scaled = np.clip((finite - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(255 * scaled).astype(np.uint8)
    return grey


def _letters(rows: int, columns: int) -> tuple[str, str, str, str]:
    left, top = _OPPOSITE[_CODES[columns]], _OPPOSITE[_CODES[rows]]
    return left, _CODES[columns], top, _CODES[rows]


def _upright(view: View) -> View:
    """The same slice with superior at the top."""
    left, right, top, bottom = view.letters
    return replace(
        view,
        grey=view.grey[::-1],
        heat=None if view.heat is None else view.heat[::-1],
        letters=(left, right, bottom, top),
        parts=[(line, part[::-1]) for line, part in view.parts],
    )


def draw_letters(
    draw: ImageDraw.ImageDraw,
    letters: Sequence[str],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Letters at the left, right, top and bottom edge of a slice."""
    (x, y), (w, h) = corner, size
    left, right, top, bottom = letters
    style: dict[str, Any] = {
        "fill": TEXT,
        "font": font(13),
        "stroke_width": 1,
        "stroke_fill": (0, 0, 0),
    }
    draw.text((x + 4, y + h // 2), left, anchor="lm", **style)
    draw.text((x + w - 4, y + h // 2), right, anchor="rm", **style)
    if h >= _LEAST_FOR_TWO_LETTERS:
        draw.text((x + w // 2, y + 3), top, anchor="ma", **style)
        draw.text((x + w // 2, y + h - 3), bottom, anchor="md", **style)


def font(size: int) -> Any:
    """The font of all text in pictures."""
    return ImageFont.load_default(size)
