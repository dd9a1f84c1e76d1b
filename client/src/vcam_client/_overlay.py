"""The picture of a prediction: slices of the scan, plain above and with the map below.

Radiological orientation: seen from the feet, the patient's right is on the
left; letters at the edges say so. Pixels have the aspect of the voxel spacing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vcam_client import _outlines
from vcam_client._bands import EDGE
from vcam_client._heat_colours import mixed, ramp
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
from vcam_client._remarks import WHOLE
from vcam_client.regions import stored_level
from vcam_client.spec import Activation

if TYPE_CHECKING:
    from vcam_client.prediction import Prediction
    from vcam_client.truth import Truth

_HEADER = 62
_FOOTER = 44
_OUTLINE_LEGEND = 20
_LEAST_WIDTH = 560
_ONE_PANEL = 448
"""Longer side of the only slice, in pixels."""
_RAMP = (120, 12)
_LONGEST_LABEL = 48
"""Characters of a label or of a name; more are left out."""
_AXIAL_PANELS = 4
_FAINT_HEAT = 127
"""Stored heat up to which a voxel doesn't count when slices are chosen: a faint haze over
the whole body would outweigh the strongest evidence."""
_MIN_SEPARATION_MM = 8.0
"""Distance between the axial slices shown, where the evidence is thick enough."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a picture shows beside the scan.

    Attributes:
        signed: the signed map rather than the heatmap.
        threshold: value of the heatmap that is outlined, or None.
        truth: the mask that is outlined, or None.
    """

    signed: bool = False
    threshold: float | None = None
    truth: Truth | None = None


def overlay_png(
    prediction: Prediction,
    *,
    signed: bool = False,
    threshold: float | None = None,
    truth: Truth | None = None,
) -> bytes:
    """The picture as PNG bytes; see `Shown`."""
    shown = Shown(signed=signed, threshold=threshold, truth=truth)
    views = _views(prediction, shown)
    pictures = [_pictures(view, PANEL if len(views) > 1 else _ONE_PANEL) for view in views]
    if len(pictures) == 1:  # a single image: side by side rather than one above the other
        views, pictures = views * 2, [[picture] for picture in pictures[0]]
    widths = [column[0].width for column in pictures]
    heights = [max(p.height for p in row) for row in zip(*pictures, strict=True)]
    lines = _lines(prediction, shown)
    legend = _legend_text(prediction, shown)
    headline = f"{_short(prediction.label)}: {_value(prediction)}{_highest(prediction)}"
    about = (
        f"{_short(prediction.volume.name)} · {_short(prediction.spec.name)} "
        f"version {prediction.version}"
    )
    width = max(
        2 * MARGIN + sum(widths) + GAP * (len(widths) - 1),
        _LEAST_WIDTH,
        3 * MARGIN + int(font(19).getlength(headline) + font(12).getlength(about)),
        2 * MARGIN + _RAMP[0] + 50 + int(font(12).getlength(legend)),
        2 * MARGIN + sum(_outlines.legend_width(meaning) for _, meaning in lines),
    )
    footer = _FOOTER + (_OUTLINE_LEGEND if lines else 0)
    bottom = _HEADER + sum(heights) + GAP * (len(heights) - 1)
    canvas = Image.new("RGB", (width, bottom + footer), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    x = MARGIN
    for view, column in zip(views, pictures, strict=True):
        y = _HEADER
        for picture, height in zip(column, heights, strict=True):
            corner = (x, y + (height - picture.height) // 2)
            canvas.paste(picture, corner)
            draw_letters(draw, view.letters, corner, picture.size)
            y += height + GAP
        draw.text((x, _HEADER - 18), view.title, FAINT, font(12))
        x += column[0].width + GAP
    draw.text((MARGIN, 10), headline, TEXT, font(19))
    draw.text((width - MARGIN, 14), about, FAINT, font(12), anchor="ra")
    top = bottom + 14
    _draw_legend(canvas, draw, legend, top, _ramp_of(prediction, shown), "-1" if signed else "0")
    _outlines.draw_legend(draw, lines, (MARGIN, top + _OUTLINE_LEGEND + 2))
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def _views(prediction: Prediction, shown: Shown | None = None) -> list[View]:
    shown = shown or Shown()
    volume = prediction.volume
    turned = Turned.of(volume, anatomical=volume.anatomical)
    grey = turned.turn(volume.data)
    heat = turned.turn(prediction.stored_signed_map if shown.signed else prediction.stored_heatmap)
    # Hounsfield units have a window of their own; other values are shown by what is there
    known = prediction.spec.intensity.units == "HU"
    window = prediction.spec.intensity.window if known else None
    window = window or grey_window(grey, volume.padding)
    thin = [axis for axis in range(3) if grey.shape[axis] == 1]
    if thin:
        planes = [(thin[0], 0)]
    else:
        centre = _centre(prediction, shown, turned)
        axial = _strongest(heat, centre[0], turned.spacing[0])
        if shown.truth is not None:
            axial = _with_truth(axial, turned.turn(shown.truth.mask))
        planes = [*((0, n) for n in axial), (1, centre[1]), (2, centre[2])]
    return [
        turned.view(axis, n, window, heat, _parts(prediction, shown, turned, axis, n))
        for axis, n in planes
    ]


def _parts(
    prediction: Prediction, shown: Shown, turned: Turned, axis: int, index: int
) -> list[tuple[_outlines.Line, NDArray[np.bool_]]]:
    """What is outlined on a slice, in turned axes."""
    parts = []
    if min(prediction.placement.seen_share) < WHOLE:
        parts.append((_outlines.SEEN, _seen(prediction, turned, axis, index)))
    if shown.truth is not None:
        parts.append((_outlines.TRUE, np.take(turned.turn(shown.truth.mask), index, axis)))
    if shown.threshold is not None:
        heat = np.take(turned.turn(prediction.stored_heatmap), index, axis)
        parts.append((_outlines.STRONG, heat >= stored_level(shown.threshold)))
    return parts


def _seen(prediction: Prediction, turned: Turned, axis: int, index: int) -> NDArray[np.bool_]:
    """Where a slice lies on the model's grid."""
    shape = turned.turn(prediction.volume.data).shape
    at = [np.array([index]) if a == axis else np.arange(n) for a, n in enumerate(shape)]
    stored: list[Any] = [0.0] * 3
    grids = np.meshgrid(*at, indexing="ij", sparse=True)
    for a, grid in enumerate(grids):
        stored[turned.order[a]] = shape[a] - 1 - grid if turned.flip[a] else grid
    to_model = np.linalg.inv(prediction.map.model_to_scan())[:3]
    seen: NDArray[np.bool_] = np.ones(tuple(len(a) for a in at), bool)
    for row, grid_axis in zip(to_model, prediction.placement.axes, strict=True):
        model = row[0] * stored[0] + row[1] * stored[1] + row[2] * stored[2] + row[3]
        seen &= np.abs(model - (grid_axis.model_size - 1) / 2) <= grid_axis.model_size / 2 + EDGE
    return seen.squeeze(axis)


def _centre(prediction: Prediction, shown: Shown, turned: Turned) -> list[int]:
    """The voxel, in turned axes, that the planes go through: the strongest cell's."""
    shape = prediction.volume.shape
    cells = prediction.map.signed if shown.signed else prediction.map.positive
    voxel = prediction.map.strongest(cells)
    if voxel is None:
        return [shape[o] // 2 for o in turned.order]
    inside = [min(max(round(v), 0), n - 1) for v, n in zip(voxel, shape, strict=True)]
    return [
        shape[o] - 1 - inside[o] if f else inside[o]
        for o, f in zip(turned.order, turned.flip, strict=True)
    ]


def _strongest(heat: NDArray[Any], centre: int, spacing: float) -> list[int]:
    """Slices with most evidence, ascending, the one through the strongest cell among them."""
    faint, scale = np.uint8(_FAINT_HEAT), np.uint8(2 if heat.dtype == np.int8 else 1)
    strengths = (np.abs(plane).view(np.uint8) * scale for plane in heat)
    weight = np.array(
        [int((np.maximum(s, faint) - faint).sum(dtype=np.int64)) for s in strengths], np.float64
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


def _with_truth(slices: list[int], mask: NDArray[np.bool_]) -> list[int]:
    """The same, and where none of them meets the mask, the slice with most of it."""
    if mask[slices].any() or not mask.any():
        return slices
    most = int(np.argmax([np.count_nonzero(plane) for plane in mask]))
    return sorted([*slices, most])


def _highest(prediction: Prediction) -> str:
    """The class with the highest score, where classes exclude each other and it is another."""
    percent, best = prediction.percentages, int(np.argmax(prediction.scores))
    if percent is None or not prediction.spec.exclusive or best == prediction.class_index:
        return ""
    label = prediction.spec.labels[best]
    return f"  (highest: {_short(label)} {percent[label]:.2f} %)"


def _pictures(view: View, panel: int) -> list[Image.Image]:
    """The slice alone, and with its map and outlines."""
    assert view.heat is not None
    size = view.size(panel)
    plain = greyscale(view, size)
    over = mixed(np.asarray(plain, np.float32), view.heat, size)
    for line, part in view.parts:
        _outlines.draw_around(over, _outlines.enlarged(part, size), line)
    return [plain, Image.fromarray(np.rint(over).astype(np.uint8))]


def _lines(prediction: Prediction, shown: Shown) -> list[tuple[_outlines.Line, str]]:
    """The legend of outlines."""
    lines = []
    if min(prediction.placement.seen_share) < WHOLE:
        lines.append((_outlines.SEEN, "what the model saw"))
    if shown.truth is not None:
        name = "truth" if shown.truth.voxels else "truth (empty)"
        lines.append((_outlines.TRUE, name))
    if shown.threshold is not None and prediction.has_evidence:
        lines.append((_outlines.STRONG, f"heatmap at least {shown.threshold:g}"))
    return lines


def _value(prediction: Prediction) -> str:
    percent = prediction.percentages
    if percent is not None:
        return f"{percent[prediction.label]:.2f} %"
    return f"{prediction.scores[prediction.class_index]:.4g} {prediction.spec.unit}".strip()


def _ramp_of(prediction: Prediction, shown: Shown) -> Image.Image | None:
    """The scale of colours; none where nothing is coloured."""
    coloured = prediction.has_evidence or (shown.signed and prediction.has_counter_evidence)
    return ramp(*_RAMP, signed=shown.signed) if coloured else None


def _legend_text(prediction: Prediction, shown: Shown) -> str:
    label = _short(prediction.label)
    if shown.signed and (prediction.has_evidence or prediction.has_counter_evidence):
        up, down = f"speaks for {label}", "speaks against it"
        if prediction.spec.activation is Activation.IDENTITY:
            up, down = f"raises {label}", "lowers it"
        if not prediction.has_evidence:
            return f"no evidence for {label}; blue {down}, relative to its strongest cell"
        return f"orange {up}, blue {down}; relative to the strongest cell of either"
    if not prediction.has_evidence:
        return prediction.no_evidence
    reference = prediction.explanation.reference_maximum
    strength = float(prediction.cam.max()) / reference if reference else None
    typical = (
        "" if strength is None else f", {strength:.0%} as strong as in a typical true positive"
    )
    return f"evidence for {label}, relative to its strongest cell{typical}"


def _draw_legend(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    text: str,
    y: int,
    scale: Image.Image | None,
    low: str,
) -> None:
    if scale is None:
        draw.text((MARGIN, y), text, TEXT, font(12))
        return
    canvas.paste(scale, (MARGIN + 18, y + 2))
    draw.text((MARGIN, y), low, FAINT, font(12))
    draw.text((MARGIN + 144, y), "1", FAINT, font(12))
    draw.text((MARGIN + 164, y), text, FAINT, font(12))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[:_LONGEST_LABEL]}..."
