"""Mistakes to be looked at: the scan, and what the map marks for the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vcam_client.evidence import Finding, finding, nothing_up_to
from vcam_client.spec import CamLayer, Explanation
from vcam_training.cams.maps import explained
from vcam_training.drawing import plane_image
from vcam_training.evaluation.evaluate import Fixed
from vcam_training.evaluation.localisation import heatmap_on_grid
from vcam_training.inspecting.gallery import limits_of, middle_slice
from vcam_training.results.answers import Answers
from vcam_training.results.mistakes import Mistake
from vcam_training.task import Task

MOST_SHOWN = 24
_COLUMNS = 4
_SIDE = 180
"""Pixels of the longer side of a slice."""
_GAP, _TEXT, _TITLE = 18, 52, 44
"""Pixels between panels, for a caption, for the title."""
_FONT = 7
_LETTERS = 56
"""Of a line of a caption."""
_LINES = 3
_DPI = 110


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A mistake and its picture; of a volume one slice along the first axis.

    Attributes:
        caption: what is to be seen.
        scan: float32 [rows, columns], physical values.
        heat: float32 [rows, columns] in [0, 1]; zero where the map holds no evidence.
        mask: bool [rows, columns], the object that the truth is about.
        limits: values that are black and white.
        aspect: height of a pixel, in widths.
    """

    caption: str
    scan: NDArray[np.float32] = field(repr=False)
    heat: NDArray[np.float32] = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)
    limits: tuple[float, float]
    aspect: float = 1.0

    def picture(self, side: int = _SIDE) -> NDArray[np.uint8]:
        """The scan, and beside it the scan with map and object.

        Args:
            side: pixels of the longer side of one of them.

        Returns:
            uint8 [rows, columns, 3].
        """
        plain = plane_image(self.scan, self.limits, side, aspect=self.aspect)
        marked = plane_image(
            self.scan, self.limits, side, heat=self.heat, mask=self.mask, aspect=self.aspect
        )
        gap = np.full((len(plain), side // 20, 3), 255, np.uint8)
        return np.concatenate([plain, gap, marked], axis=1)


def panels(
    model: keras.Model,
    layer: CamLayer,
    fixed: Fixed,
    answers: Answers,
    found: Sequence[Mistake],
) -> list[Panel]:
    """Explains the first MOST_SHOWN mistakes, each for what it is about.

    Of exclusive classes that is the class answered.

    Args:
        model: a training model.
        layer: where maps are read.
        fixed: the method, and from which level on its maps are evidence.
        answers: of the split.
        found: mistakes, the worst first.
    """
    shown = found[:MOST_SHOWN]
    if not shown:
        return []
    level = nothing_up_to(
        Explanation(
            signature=fixed.method,
            method=fixed.method,
            layer=layer.name,
            reference_maximum=fixed.levels.reference_maximum,
            evidence_minimum=fixed.levels.evidence_minimum,
        )
    )
    volumes = np.stack([np.asarray(answers.split.volumes[one.number]) for one in shown])
    asked = np.array([[one.class_index] for one in shown], np.int32)
    maps = explained(
        model,
        layer.name,
        volumes,
        asked,
        methods=(fixed.method,),
        exclusive=answers.task is Task.CLASSES,
    )
    limits = limits_of(answers.contract, list(volumes))
    return [
        _panel(answers, one, volume, each.cams[fixed.method][0], layer, level, limits)
        for one, volume, each in zip(shown, volumes, maps, strict=True)
    ]


def draw_sheet(path: Path, shown: Sequence[Panel], title: str) -> None:
    """All panels on one sheet with their captions, as PNG."""
    pictures = [panel.picture() for panel in shown]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    widest, highest = (max(picture.shape[axis] for picture in pictures) for axis in (1, 0))
    across, down = widest + _GAP, highest + _TEXT + _GAP
    width, height = columns * across + _GAP, rows * down + _TITLE
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    # one system of axes for all, in pixels from the upper left
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(height, 0))
    sheet.set_axis_off()
    sheet.text(width / 2, _TITLE / 2, title, ha="center", va="center", fontsize=11)
    for at, (panel, picture) in enumerate(zip(shown, pictures, strict=True)):
        left = _GAP + at % columns * across
        top = _TITLE + at // columns * down
        text = _folded(panel.caption)
        sheet.text(left, top + _TEXT - _GAP / 2, text, va="bottom", fontsize=_FONT)
        ends = (left, left + picture.shape[1], top + _TEXT + picture.shape[0], top + _TEXT)
        sheet.imshow(picture, extent=ends, aspect="auto", interpolation="nearest")
    figure.savefig(path, format="png")


def _panel(
    answers: Answers,
    mistake: Mistake,
    volume: NDArray,
    cam: NDArray[np.float32],
    layer: CamLayer,
    level: float,
    limits: tuple[float, float],
) -> Panel:
    label = answers.split.labels[mistake.number]
    about = int(label) if answers.task is Task.CLASSES else mistake.class_index
    mask = np.asarray(answers.split.mask(mistake.number, about))
    evidence = finding(cam, level) is Finding.EVIDENCE
    heat = heatmap_on_grid(cam, volume.shape, layer) * evidence
    if volume.ndim == 3:
        at = middle_slice(mask if mask.any() else heat)
        volume, mask, heat = volume[at], mask[at], heat[at]
    spacing = answers.contract.grid.spacing_mm
    caption = mistake.caption(answers.contract.unit)
    return Panel(
        caption=caption if evidence else f"{caption}. The map holds no evidence.",
        scan=np.asarray(volume, np.float32),
        heat=heat.astype(np.float32),
        mask=mask,
        limits=limits,
        aspect=spacing[-2] / spacing[-1] if len(spacing) >= 2 else 1.0,
    )


def _folded(text: str) -> str:
    """On some lines; what does not fit is left out."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= _LETTERS:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines[:_LINES])
