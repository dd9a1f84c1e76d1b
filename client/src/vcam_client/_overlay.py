"""The picture of a prediction: slices of the scan, plain above and with the heatmap below.

Radiological orientation: seen from the feet, the patient's right is on the
left; letters at the edges say so. Pixels have the aspect of the voxel spacing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vcam_client._planes import (
    BACKGROUND,
    FAINT,
    GAP,
    MARGIN,
    PANEL,
    TEXT,
    Turned,
    View,
    draw_letters,
    font,
    grey_window,
    greyscale,
)

if TYPE_CHECKING:
    from vcam_client.prediction import Prediction
    from vcam_client.truth import Truth

_HEADER = 62
_FOOTER = 44
_AXIAL_PANELS = 4
_FAINT_HEAT = 127
"""Stored heat up to which a voxel doesn't count when slices are chosen: a faint haze over
the whole body would outweigh the strongest evidence."""
_MIN_SEPARATION_MM = 8.0
"""Distance between the axial slices shown, where the evidence is thick enough."""

_OPACITY = 0.65
"""Opacity of the strongest evidence; weaker evidence is more transparent."""
_COLOURS = ((0, (60, 10, 90)), (0.35, (200, 40, 70)), (0.7, (250, 140, 20)), (1, (255, 250, 140)))
"""Colours of the heatmap from 0 to 1, growing in lightness."""


def overlay_png(
    prediction: Prediction,
    *,
    signed: bool = False,
    threshold: float | None = None,
    truth: Truth | None = None,
) -> bytes:
    """The picture as PNG bytes."""
    views = _views(prediction)
    sizes = [view.size(PANEL) for view in views]
    height = max(h for _, h in sizes)
    width = 2 * MARGIN + sum(w for w, _ in sizes) + GAP * (len(views) - 1)
    canvas = Image.new("RGB", (max(width, 560), _HEADER + 2 * height + GAP + _FOOTER), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    x = MARGIN
    for view, size in zip(views, sizes, strict=True):
        plain, mixed = _pictures(view, size)
        for row, picture in enumerate((plain, mixed)):
            top = _HEADER + row * (height + GAP) + (height - size[1]) // 2
            canvas.paste(picture, (x, top))
            draw_letters(draw, view.letters, (x, top), size)
        draw.text((x, _HEADER - 18), view.title, FAINT, font(12))
        x += size[0] + GAP
    _headline(draw, prediction)
    _legend(canvas, draw, prediction)
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def _views(prediction: Prediction) -> list[View]:
    volume = prediction.volume
    turned = Turned.of(volume, anatomical=bool(prediction.spec.grid.axes) and volume.anatomical)
    grey, heat = turned.turn(volume.data), turned.turn(prediction.stored_heatmap)
    window = prediction.spec.intensity.window or grey_window(grey, volume.padding)
    thin = [axis for axis in range(3) if grey.shape[axis] == 1]
    if thin:
        return [turned.view(thin[0], 0, window, heat)]
    centre = _centre(prediction, turned.order, turned.flip)
    axial = _strongest(heat, centre[0], turned.spacing[0])
    planes = [*((0, n) for n in axial), (1, centre[1]), (2, centre[2])]
    return [turned.view(axis, n, window, heat) for axis, n in planes]


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
    faint = np.uint8(_FAINT_HEAT)
    weight = np.array(
        [int((np.maximum(plane, faint) - faint).sum(dtype=np.int64)) for plane in heat], np.float64
    )
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


def _pictures(view: View, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    assert view.heat is not None
    heat = Image.fromarray(np.ascontiguousarray(view.heat)).resize(size, Image.Resampling.BILINEAR)
    plain = greyscale(view, size)
    level: NDArray[Any] = np.asarray(heat, np.float32) / 255
    base: NDArray[Any] = np.asarray(plain, np.float32)
    opacity: NDArray[Any] = (_OPACITY * np.minimum(1, 2 * level))[..., None]
    mixed = base * (1 - opacity) + _colour(level) * opacity
    return plain, Image.fromarray(np.rint(mixed).astype(np.uint8))


def _colour(level: NDArray[Any]) -> NDArray[Any]:
    at = [position for position, _ in _COLOURS]
    channels = [np.interp(level, at, [rgb[c] for _, rgb in _COLOURS]) for c in range(3)]
    return np.stack(channels, axis=-1)


def _headline(draw: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    percent = prediction.percentages
    value = (
        f"{percent[prediction.label]:.2f} %"
        if percent is not None
        else f"{prediction.scores[prediction.class_index]:.4g} {prediction.spec.unit}".strip()
    )
    draw.text((MARGIN, 10), f"{prediction.label}: {value}", TEXT, font(19))
    about = f"{prediction.volume.name} · {prediction.spec.name} version {prediction.version}"
    draw.text((draw.im.size[0] - MARGIN, 14), about, FAINT, font(12), anchor="ra")


def _legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    y = canvas.height - _FOOTER + 14
    if not prediction.evidence.found:
        draw.text((MARGIN, y), prediction.no_evidence, TEXT, font(14))
        return
    ramp = _colour(np.tile(np.linspace(0, 1, 120, dtype=np.float32), (12, 1)))
    canvas.paste(Image.fromarray(np.rint(ramp).astype(np.uint8)), (MARGIN + 14, y + 2))
    draw.text((MARGIN, y), "0", FAINT, font(12))
    draw.text((MARGIN + 140, y), "1", FAINT, font(12))
    strength = prediction.evidence.strength
    typical = f", {strength:.0%} of a typical true positive's" if strength is not None else ""
    text = f"evidence for {prediction.label}, relative to its strongest cell{typical}"
    draw.text((MARGIN + 160, y), text, FAINT, font(12))
