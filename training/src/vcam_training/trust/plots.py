"""The drawings of a report, as PNG."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from vcam_training.drawing import BLUE, GREY, ORANGE, RED, canvas, draw_plane, plain, png
from vcam_training.evaluation.reliability import Reliability
from vcam_training.trust.checks import SAME_MAP
from vcam_training.trust.figure import Curve
from vcam_training.trust.figures import CAM, EDGES, NOISY
from vcam_training.trust.report import Example, TrustReport

_LAYER_LETTERS = 22
"""Longer names of layers are cut in front."""


def score_plot(report: TrustReport) -> bytes:
    """Deletion and insertion curves with those of shuffled maps."""
    sheet = canvas(9.2, 3.4)
    by_name = {curve.name: curve for curve in report.score_curves}
    percent = 100 * np.array(report.fractions)
    titles = {
        "deletion": "Deletion: what the map marks is hidden first",
        "insertion": "Insertion: what the map marks is shown first",
    }
    for axes, (name, title) in zip(sheet.subplots(1, 2), titles.items(), strict=True):
        _band(axes, percent, by_name[name], BLUE, "map")
        _band(axes, percent, by_name[f"{name}, shuffled maps"], GREY, "shuffled map", dashed=True)
        axes.set(
            title=title,
            xlabel=f"voxels {'hidden' if name == 'deletion' else 'shown'}, %",
            ylabel="score of the class",
            ylim=(-0.02, 1.02),
            xlim=(0, 100),
        )
        plain(axes)
    lines, labels = sheet.axes[0].get_legend_handles_labels()
    sheet.legend(lines, labels, frameon=False, ncols=2, loc="outside lower center")
    return png(sheet)


def weight_plot(report: TrustReport) -> bytes:
    """Similarity of the maps while layer after layer is randomised."""
    sheet = canvas(9.2, 3.6)
    axes = sheet.subplots()
    by_name = {curve.name: curve for curve in report.weight_curves}
    place = np.arange(len(report.layers))
    for name, colour, dashed in (
        (EDGES, GREY, True),
        (NOISY, ORANGE, True),
        (CAM, BLUE, False),
    ):
        _band(axes, place, by_name[name], colour, name, dashed=dashed)
    axes.axhline(SAME_MAP, color=RED, linewidth=1, linestyle=":")
    axes.text(0.02, SAME_MAP + 0.02, "the same map above", color=RED, fontsize=8)
    axes.set(
        ylabel="rank correlation",
        ylim=(min(-0.1, *(min(c.lower) for c in by_name.values())) - 0.03, 1.06),
        xlim=(-0.1, len(report.layers) - 0.9),
    )
    axes.set_xticks(place, list(map(_short, report.layers)), rotation=30, ha="right", fontsize=8)
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plain(axes)
    return png(sheet)


def reliability_plot(found: Reliability) -> bytes:
    """How often scores come true, by score."""
    sheet = canvas(4.4, 3.8)
    axes = sheet.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="scores that are true")
    sizes = 18 + 160 * np.array([b.count for b in found.bins]) / found.count
    axes.plot([b.score for b in found.bins], [b.frequency for b in found.bins], color=BLUE)
    axes.scatter([b.score for b in found.bins], [b.frequency for b in found.bins], sizes, BLUE)
    axes.set(
        xlabel="score", ylabel="how often it came true", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
    )
    axes.legend(frameon=False, loc="upper left")
    plain(axes)
    return png(sheet)


def example_picture(example: Example, window: tuple[float, float] | None) -> bytes:
    """The planes through the middle of the object, or through the strongest voxel.

    The heatmap lies over the scan, the object is outlined.
    """
    place = _middle(example)
    planes = range(example.volume.ndim) if example.volume.ndim == 3 else [None]
    sheet = canvas(1.9 * len(planes), 2.0)
    seen = example.volume.astype(np.float32)
    limits = window if window is not None else (float(seen.min()), float(seen.max()))
    all_axes = np.atleast_1d(sheet.subplots(1, len(planes)))
    for axes, axis in zip(all_axes, planes, strict=True):
        scan, heat, mask = (
            array if axis is None else array.take(place[axis], axis)
            for array in (seen, example.heatmap, example.mask)
        )
        draw_plane(axes, scan, limits, heat=heat, mask=mask)
    return png(sheet)


def _middle(example: Example) -> NDArray[np.intp]:
    if example.mask.any():
        centre: NDArray[np.intp] = np.rint(np.argwhere(example.mask).mean(axis=0)).astype(np.intp)
        return centre
    if example.heatmap.max() > 0:
        return np.array(np.unravel_index(example.heatmap.argmax(), example.heatmap.shape))
    return np.array(example.volume.shape) // 2


def _band(
    axes: Axes,
    place: NDArray | Sequence[float],
    curve: Curve,
    colour: str,
    label: str,
    *,
    dashed: bool = False,
) -> None:
    axes.plot(
        place,
        curve.values,
        color=colour,
        label=label,
        marker="o",
        markersize=3,
        linestyle="--" if dashed else "-",
    )
    axes.fill_between(place, curve.lower, curve.upper, color=colour, alpha=0.16, linewidth=0)


def _short(name: str) -> str:
    return name if len(name) <= _LAYER_LETTERS else "…" + name[1 - _LAYER_LETTERS :]
