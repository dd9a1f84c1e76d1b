"""The picture of a prediction: slices of the scan, plain above and with the heatmap below.

Radiological orientation: seen from the feet, the patient's right is on the
left; letters at the edges say so. Pixels have the aspect of the voxel spacing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vcam_client._orientation import to_axes

if TYPE_CHECKING:
    from vcam_client.prediction import Prediction

_PANEL = 256  # pixels, the longer side of a slice
_GAP = 6
_LEAST_FOR_TWO_LETTERS = 44  # pixels; thinner slices have no room for top and bottom
_MARGIN = 14
_HEADER = 62
_FOOTER = 44
_AXIAL_PANELS = 4
_FAINT_HEAT = 127
"""Stored heat up to which a voxel doesn't count when slices are chosen: a faint haze over
the whole body would outweigh the strongest evidence."""
_MIN_SEPARATION_MM = 8.0
"""Distance between the axial slices shown, where the evidence is thick enough."""

_BACKGROUND = (16, 18, 22)
_TEXT = (232, 234, 238)
_FAINT = (150, 156, 166)
_OPACITY = 0.65
"""Opacity of the strongest evidence; weaker evidence is more transparent."""
_COLOURS = ((0, (60, 10, 90)), (0.35, (200, 40, 70)), (0.7, (250, 140, 20)), (1, (255, 250, 140)))
"""Colours of the heatmap from 0 to 1, growing in lightness."""

_PERCENTILES = (0.5, 99.5)
"""Grey range of scans whose model states no window."""

_CODES = ("S", "P", "L")
_PLANES = ("axial", "coronal", "sagittal")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """One slice: grey values and heatmap [rows, columns], pixel size in mm, edge letters."""

    title: str
    grey: NDArray[np.uint8]
    heat: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    letters: tuple[str, str, str, str]  # left, right, top, bottom


def overlay_png(prediction: Prediction) -> bytes:
    """The picture as PNG bytes."""
    views = _views(prediction)
    sizes = [_size(view) for view in views]
    height = max(h for _, h in sizes)
    width = 2 * _MARGIN + sum(w for w, _ in sizes) + _GAP * (len(views) - 1)
    canvas = Image.new("RGB", (max(width, 560), _HEADER + 2 * height + _GAP + _FOOTER), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    x = _MARGIN
    for view, size in zip(views, sizes, strict=True):
        plain, mixed = _pictures(view, size)
        for row, picture in enumerate((plain, mixed)):
            top = _HEADER + row * (height + _GAP) + (height - size[1]) // 2
            canvas.paste(picture, (x, top))
            _letter(draw, view.letters, (x, top), size)
        draw.text((x, _HEADER - 18), view.title, _FAINT, _font(12))
        x += size[0] + _GAP
    _headline(draw, prediction)
    _legend(canvas, draw, prediction)
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def _views(prediction: Prediction) -> list[_View]:
    volume = prediction.volume
    anatomical = bool(prediction.spec.grid.axes)
    # arrays as [z, y, x] of an LPS image: rows run down to posterior, columns to
    # the patient's left, which is how a radiologist looks at an axial slice
    order, flip = to_axes(volume.affine, _CODES if anatomical else ())
    turn = tuple(slice(None, None, -1 if f else 1) for f in flip)
    grey = volume.data.transpose(order)[turn]
    heat = prediction.stored_heatmap.transpose(order)[turn]
    spacing = [volume.spacing[o] for o in order]
    window = prediction.spec.intensity.window or _window(grey)

    def view(axis: int, index: int) -> _View:
        rows, columns = (a for a in range(3) if a != axis)
        stored = grey.shape[axis] - 1 - index if flip[axis] else index
        plane = _View(
            title=f"{_PLANES[axis]} " * anatomical + f"{'ijk'[order[axis]]} = {stored}",
            grey=_grey(np.take(grey, index, axis), window),
            heat=np.take(heat, index, axis),
            pixel_mm=(spacing[rows], spacing[columns]),
            letters=_letters(rows, columns) if anatomical else ("", "", "", ""),
        )
        return _upright(plane) if anatomical and rows == 0 else plane

    thin = [n for n in range(3) if grey.shape[n] == 1]
    if thin:
        return [view(thin[0], 0)]
    centre = _centre(prediction, order, flip)
    axial = _strongest(heat, centre[0], spacing[0])
    return [*(view(0, n) for n in axial), view(1, centre[1]), view(2, centre[2])]


def _letters(rows: int, columns: int) -> tuple[str, str, str, str]:
    left, top = _OPPOSITE[_CODES[columns]], _OPPOSITE[_CODES[rows]]
    return left, _CODES[columns], top, _CODES[rows]


def _upright(view: _View) -> _View:
    """The same slice with superior at the top."""
    left, right, top, bottom = view.letters
    return replace(
        view, grey=view.grey[::-1], heat=view.heat[::-1], letters=(left, right, bottom, top)
    )


def _centre(
    prediction: Prediction, order: tuple[int, int, int], flip: tuple[bool, bool, bool]
) -> list[int]:
    """The voxel, in turned axes, that the planes go through: the strongest cell's."""
    shape = prediction.volume.shape
    if not prediction.evidence.found:
        return [shape[o] // 2 for o in order]
    stored = [round(v) for v in prediction.evidence.voxel]
    inside = [min(max(v, 0), n - 1) for v, n in zip(stored, shape, strict=True)]
    return [shape[o] - 1 - inside[o] if f else inside[o] for o, f in zip(order, flip, strict=True)]


def _strongest(heat: NDArray[np.uint8], centre: int, spacing: float) -> list[int]:
    """Slices with most evidence, ascending, the one through the strongest cell among them."""
    strong = np.clip(heat, _FAINT_HEAT, None) - np.uint8(_FAINT_HEAT)
    weight = np.array([int(plane.sum(dtype=np.int64)) for plane in strong], np.float64)
    apart = max(1, round(_MIN_SEPARATION_MM / spacing))
    if not heat.any():
        return sorted({int(n) for n in np.linspace(0, len(heat) - 1, _AXIAL_PANELS + 2)[1:-1]})
    chosen = [centre]
    weight[max(0, centre - apart + 1) : centre + apart] = 0
    while len(chosen) < _AXIAL_PANELS and weight.any():
        best = int(np.argmax(weight))
        chosen.append(best)
        weight[max(0, best - apart + 1) : best + apart] = 0
    return sorted(chosen)


def _window(grey: NDArray[Any]) -> tuple[float, float]:
    sample = grey[tuple(slice(None, None, max(1, n // 64)) for n in grey.shape)]
    low, high = np.percentile(sample, _PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low) - 1, float(low) + 1)


def _grey(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    scaled = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(255 * scaled).astype(np.uint8)
    return grey


def _size(view: _View) -> tuple[int, int]:
    """Width and height in pixels, aspect from spacing."""
    height = view.grey.shape[0] * view.pixel_mm[0]
    width = view.grey.shape[1] * view.pixel_mm[1]
    scale = _PANEL / max(height, width)
    return max(8, round(width * scale)), max(8, round(height * scale))


def _pictures(view: _View, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    grey = Image.fromarray(np.ascontiguousarray(view.grey)).resize(size, Image.Resampling.BILINEAR)
    heat = Image.fromarray(np.ascontiguousarray(view.heat)).resize(size, Image.Resampling.BILINEAR)
    plain = grey.convert("RGB")
    level: NDArray[Any] = np.asarray(heat, np.float32) / 255
    base: NDArray[Any] = np.asarray(plain, np.float32)
    opacity: NDArray[Any] = (_OPACITY * np.minimum(1, 2 * level))[..., None]
    mixed = base * (1 - opacity) + _colour(level) * opacity
    return plain, Image.fromarray(np.rint(mixed).astype(np.uint8))


def _colour(level: NDArray[Any]) -> NDArray[Any]:
    at = [position for position, _ in _COLOURS]
    channels = [np.interp(level, at, [rgb[c] for _, rgb in _COLOURS]) for c in range(3)]
    return np.stack(channels, axis=-1)


def _letter(
    draw: ImageDraw.ImageDraw,
    letters: Sequence[str],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    (x, y), (w, h) = corner, size
    left, right, top, bottom = letters
    style: dict[str, Any] = {
        "fill": _TEXT,
        "font": _font(13),
        "stroke_width": 1,
        "stroke_fill": (0, 0, 0),
    }
    draw.text((x + 4, y + h // 2), left, anchor="lm", **style)
    draw.text((x + w - 4, y + h // 2), right, anchor="rm", **style)
    if h >= _LEAST_FOR_TWO_LETTERS:
        draw.text((x + w // 2, y + 3), top, anchor="ma", **style)
        draw.text((x + w // 2, y + h - 3), bottom, anchor="md", **style)


def _headline(draw: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    percent = prediction.percentages
    value = (
        f"{percent[prediction.label]:.2f} %"
        if percent is not None
        else f"{prediction.scores[prediction.class_index]:.4g} {prediction.spec.unit}".strip()
    )
    draw.text((_MARGIN, 10), f"{prediction.label}: {value}", _TEXT, _font(19))
    about = f"{prediction.volume.name} · {prediction.spec.name} version {prediction.version}"
    draw.text((draw.im.size[0] - _MARGIN, 14), about, _FAINT, _font(12), anchor="ra")


def _legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    y = canvas.height - _FOOTER + 14
    if not prediction.evidence.found:
        draw.text((_MARGIN, y), prediction.no_evidence, _TEXT, _font(14))
        return
    ramp = _colour(np.tile(np.linspace(0, 1, 120, dtype=np.float32), (12, 1)))
    canvas.paste(Image.fromarray(np.rint(ramp).astype(np.uint8)), (_MARGIN + 14, y + 2))
    draw.text((_MARGIN, y), "0", _FAINT, _font(12))
    draw.text((_MARGIN + 140, y), "1", _FAINT, _font(12))
    strength = prediction.evidence.strength
    typical = f", {strength:.0%} of a typical true positive's" if strength is not None else ""
    text = f"evidence for {prediction.label}, relative to its strongest cell{typical}"
    draw.text((_MARGIN + 160, y), text, _FAINT, _font(12))


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
