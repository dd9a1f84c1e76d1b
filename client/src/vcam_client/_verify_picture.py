"""The picture of a verification: the map, the occlusion map, and what hiding does to the score.

Planes lie through the strongest cell, or the strongest block where there is no map.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vcam_client import _outlines
from vcam_client._heat_colours import mixed, ramp
from vcam_client._planes import (
    BACKGROUND,
    FAINT,
    GAP,
    MARGIN,
    TEXT,
    Turned,
    View,
    draw_letters,
    font,
    grey_window,
    greyscale,
)
from vcam_client._verify_text import case_rows, format_change, format_score, is_value
from vcam_client.evidence import HEATMAP_STEP
from vcam_client.regions import stored_level
from vcam_client.verification import Outcome, Verdict, Verification

_HEADER = 62
_PANEL = 288
_ONE_PANEL = 432
"""Longer side of a slice, and of the only one, in pixels."""
_RAMP = (120, 12)
_RAMP_ROW = 26
_BAR_ROW = 24
_BAR_HEIGHT = 13
_NAMES = 330
_BARS = 220
_VALUES = 330
"""Widths of the three columns below the slices, in pixels."""
_LONGEST_LABEL = 40
_BAR = (250, 140, 20)
_BAR_FAINT = (110, 116, 126)
_TRACK = (38, 42, 50)
_CAPTION = 20


def verification_png(verification: Verification) -> bytes:
    """The picture as PNG bytes."""
    maps = _views(verification)
    one = len(maps[0]) == 1
    rows = [[_picture(view, _ONE_PANEL if one else _PANEL) for view in views] for views in maps]
    where = ("left", "right") if one else ("above", "below")
    texts = (_map_caption(verification), _occlusion_caption(verification))
    captions = [f"{side}: {text}" for side, text in zip(where, texts, strict=True)]
    if one:  # side by side rather than one above the other
        maps, rows = [[*maps[0], *maps[1]]], [[*rows[0], *rows[1]]]
    return _drawn(verification, maps, rows, captions)


def _drawn(
    verification: Verification,
    maps: list[list[View]],
    rows: list[list[Image.Image]],
    captions: list[str],
) -> bytes:
    widths = [max(row[n].width for row in rows) for n in range(len(rows[0]))]
    heights = [max(picture.height for picture in row) for row in rows]
    width = max(
        2 * MARGIN + sum(widths) + GAP * (len(widths) - 1),
        2 * MARGIN + _NAMES + _BARS + _VALUES,
    )
    bottom = _HEADER + sum(heights) + GAP * (len(rows) - 1)
    bars = _bars(verification)
    legend = _CAPTION * len(captions) + _RAMP_ROW
    canvas = Image.new(
        "RGB", (width, bottom + legend + _BAR_ROW * len(bars) + 2 * MARGIN), BACKGROUND
    )
    draw = ImageDraw.Draw(canvas)
    _draw_head(draw, verification, width)
    y = _HEADER
    for views, pictures, height in zip(maps, rows, heights, strict=True):
        x = MARGIN
        for view, picture, room in zip(views, pictures, widths, strict=True):
            corner = (x + (room - picture.width) // 2, y + (height - picture.height) // 2)
            canvas.paste(picture, corner)
            draw_letters(draw, view.letters, corner, picture.size)
            if y == _HEADER:
                draw.text((x, _HEADER - 18), view.title, FAINT, font(12))
            x += room + GAP
        y += height + GAP
    _draw_legend(canvas, draw, captions, bottom + 10)
    _draw_bars(draw, bars, bottom + legend + MARGIN)
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def _views(verification: Verification) -> list[list[View]]:
    """The same planes with the map, and with the occlusion map."""
    prediction, occlusion = verification.prediction, verification.occlusion
    volume = prediction.volume
    turned = Turned.of(volume, anatomical=volume.anatomical)
    grey = turned.turn(volume.data)
    known = prediction.spec.intensity.units == "HU"
    window = (prediction.spec.intensity.window if known else None) or grey_window(
        grey, volume.padding
    )
    heat = turned.turn(prediction.stored_heatmap)
    drops = turned.turn(occlusion.map.on_scan(occlusion.map.positive, np.uint8, 1 / HEATMAP_STEP))
    thin = [axis for axis in range(3) if grey.shape[axis] == 1]
    planes = [(thin[0], 0)] if thin else list(enumerate(_centre(verification, turned)))

    def parts(axis: int, index: int) -> list[tuple[_outlines.Line, NDArray[np.bool_]]]:
        if not prediction.has_evidence:
            return []
        strong = np.take(heat, index, axis) >= stored_level(verification.level)
        return [(_outlines.STRONG, strong)]

    return [
        [turned.view(axis, n, window, shown, parts(axis, n)) for axis, n in planes]
        for shown in (heat, drops)
    ]


def _centre(verification: Verification, turned: Turned) -> list[int]:
    """The voxel, in turned axes, that the planes go through."""
    prediction, shape = verification.prediction, verification.prediction.volume.shape
    voxel = prediction.map.strongest(prediction.map.positive) or verification.occlusion.voxel
    if voxel is None:
        return [shape[o] // 2 for o in turned.order]
    inside = [min(max(round(v), 0), n - 1) for v, n in zip(voxel, shape, strict=True)]
    return [
        shape[o] - 1 - inside[o] if f else inside[o]
        for o, f in zip(turned.order, turned.flip, strict=True)
    ]


def _picture(view: View, panel: int) -> Image.Image:
    assert view.heat is not None
    size = view.size(panel)
    over = mixed(np.asarray(greyscale(view, size), np.float32), view.heat, size)
    for line, part in view.parts:
        _outlines.draw_around(over, _outlines.enlarged(part, size), line)
    return Image.fromarray(np.rint(over).astype(np.uint8))


def _draw_head(draw: ImageDraw.ImageDraw, verification: Verification, width: int) -> None:
    prediction = verification.prediction
    score = format_score(verification, verification.whole.score)
    headline = f"{_short(prediction.label)}: {score}; map {verification.verdict.value}"
    about = (
        f"{_short(prediction.volume.name)} · {_short(prediction.spec.name)} "
        f"version {prediction.version}"
    )
    if verification.verdict is Verdict.NO_MAP:
        headline = f"{_short(prediction.label)}: {score}; no map to check"
    draw.text((MARGIN, 10), headline, TEXT, font(19))
    left = MARGIN + int(font(19).getlength(headline))
    if left + 2 * MARGIN + font(12).getlength(about) < width:
        draw.text((width - MARGIN, 14), about, FAINT, font(12), anchor="ra")


def _map_caption(verification: Verification) -> str:
    prediction = verification.prediction
    if not prediction.has_evidence:
        return prediction.no_evidence
    return (
        f"map: evidence for {_short(prediction.label)}, relative to its strongest cell; dashed "
        f"from {verification.level:g}, what the map marks"
    )


def _occlusion_caption(verification: Verification) -> str:
    occlusion = verification.occlusion
    blocks = "x".join(map(str, occlusion.logit_drops.shape))
    if occlusion.strongest is None:
        return f"occlusion map: none of {blocks} blocks lowers the score"
    largest = float(occlusion.logit_drops.max())
    what = "value" if is_value(verification) else "logit"
    return (
        f"occlusion map: drop of the {what} where one of {blocks} blocks is hidden, relative to "
        f"the largest, {largest:.3g}"
    )


def _draw_legend(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, captions: list[str], y: int
) -> None:
    canvas.paste(ramp(*_RAMP, signed=False), (MARGIN + 18, y + 2))
    draw.text((MARGIN, y), "0", FAINT, font(12))
    draw.text((MARGIN + 144, y), "1", FAINT, font(12))
    for n, caption in enumerate(captions):
        draw.text((MARGIN + 164, y + n * _CAPTION), caption, FAINT, font(12))


_Bar = tuple[str, str, list[float], bool]
"""A name, values in words, shares of the track from the lowest to the highest, whether it is
what decides."""


def _bars(verification: Verification) -> list[_Bar]:
    """Nothing hidden, what is marked, elsewhere, the rest, and the strongest block alone."""
    scale = _scale(verification)
    whole = verification.whole

    def share(outcomes: list[Outcome]) -> list[float]:
        return [scale(outcome.score) for outcome in outcomes]

    groups = [
        ([verification.marked] if verification.marked else [], True),
        (list(verification.controls), False),
        ([verification.rest] if verification.rest else [], False),
    ]
    present = [(outcomes, strong) for outcomes, strong in groups if outcomes]
    bars: list[_Bar] = [
        ("nothing hidden", format_score(verification, whole.score), share([whole]), False)
    ]
    for (name, score, change), (outcomes, strong) in zip(
        case_rows(verification), present, strict=True
    ):
        bars.append((name, f"{score},  {change}", share(outcomes), strong))
    occlusion = verification.occlusion
    if occlusion.strongest is not None:
        alone = whole.score - float(occlusion.score_drops[occlusion.strongest])
        drop = float(occlusion.logit_drops[occlusion.strongest])
        words = f"{format_score(verification, alone)},  {format_change(verification, [-drop])}"
        bars.append(("hiding the strongest block alone", words, [scale(alone)], False))
    return bars


def _scale(verification: Verification) -> Any:
    """From a score to a share of the track: all of it is 1, or the largest value there is."""
    largest = 1.0
    if is_value(verification):
        outcomes = [verification.whole, verification.marked, verification.rest]
        values = [o.score for o in (*outcomes, *verification.controls) if o is not None]
        largest = max(map(abs, values)) or 1.0
    return lambda score: min(1.0, max(0.0, abs(score) / largest))


def _draw_bars(draw: ImageDraw.ImageDraw, bars: list[_Bar], y: int) -> None:
    left = MARGIN + _NAMES
    whole = left + round(bars[0][2][0] * _BARS)
    for name, words, shares, strong in bars:
        top = y + 2
        draw.text((MARGIN, y), name, TEXT if strong else FAINT, font(12))
        draw.rectangle((left, top, left + _BARS, top + _BAR_HEIGHT), _TRACK)
        mean = sum(shares) / len(shares)
        colour = _BAR if strong else _BAR_FAINT
        draw.rectangle((left, top, left + round(mean * _BARS), top + _BAR_HEIGHT), colour)
        if len(shares) > 1:
            low, high = (left + round(end(shares) * _BARS) for end in (min, max))
            middle = top + _BAR_HEIGHT // 2
            draw.line((low, middle, high, middle), TEXT, 1)
            for at in (low, high):
                draw.line((at, middle - 3, at, middle + 3), TEXT, 1)
        draw.line((whole, top, whole, top + _BAR_HEIGHT), TEXT, 1)
        words = words.replace("−", "-")  # the font has no minus
        draw.text((left + _BARS + 12, y), words, TEXT if strong else FAINT, font(12))
        y += _BAR_ROW


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[:_LONGEST_LABEL]}..."
