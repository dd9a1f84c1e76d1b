"""Draws surfaces of phases as a picture, or turning as a GIF."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_training.drawing import canvas
from vcam_training.phases.colours import colour_of
from vcam_training.phases.surface import Surface

FRAMES = 36
"""Of a whole turn."""
_ELEVATION_DEG = 25.0
"""From which a volume is seen."""
_AZIMUTH_DEG = 30.0
"""Of the picture, and of a GIF's first frame."""
_LIGHT = np.array([-0.4, 0.5, 0.77])
"""Towards it, in the picture's axes: right, up, towards the eye; length 1."""
_AMBIENT = 0.45
"""Brightness of a face that turns away from the light."""
_FRAME_MS = 100
_FACES = 2
"""Matplotlib's order of drawing; the far edges of the box before, the near ones after."""
_INCHES, _DPI = 5.0, 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Surfaces in the box of their volume.

    Attributes:
        shape: columns, rows and slices of the volume.
        surfaces: by the phases that each is around, counted from 1.
        spacing: of columns, rows and slices, in one unit.
        title: above the picture.
    """

    shape: tuple[int, int, int]
    surfaces: Mapping[tuple[int, ...], Surface]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    title: str = ""


def draw_surfaces(path: Path, scene: Scene) -> None:
    """One view, as PNG."""
    _figure(scene, _AZIMUTH_DEG).savefig(path, format="png")


def draw_turning(path: Path, scene: Scene, *, frames: int = FRAMES) -> None:
    """A whole turn about the axis of the slices, as GIF without an end.

    Args:
        path: of the file.
        scene: what is shown.
        frames: of a turn.

    Raises:
        ConfigError: no frames.
    """
    if frames < 1:
        raise ConfigError(f"Expected at least one frame of a turn, received {frames}.")
    views = [_image(scene, _AZIMUTH_DEG + 360.0 * at / frames) for at in range(frames)]
    views[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=views[1:],
        duration=_FRAME_MS,
        loop=0,
    )


def _image(scene: Scene, azimuth: float) -> Image.Image:
    drawn = FigureCanvasAgg(_figure(scene, azimuth))
    drawn.draw()
    return Image.fromarray(np.asarray(drawn.buffer_rgba())[..., :3])


def _figure(scene: Scene, azimuth: float) -> Figure:
    """A view from the side; slices run upwards."""
    figure = canvas(_INCHES, _INCHES, dpi=_DPI)
    axes = figure.subplots()
    view = _view(azimuth)
    corners = _corners(scene)
    reach = 0.5 * float(np.linalg.norm(corners[-1] - corners[0]))
    _draw_box(axes, corners @ view.T, far=True)
    faces, colours = _lit(scene, view, corners)
    axes.add_collection(
        PolyCollection(faces, facecolors=colours, edgecolors=colours, linewidths=0.3, zorder=_FACES)
    )
    _draw_box(axes, corners @ view.T, far=False)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.axis("off")
    axes.set_title(scene.title, fontsize=10)
    legend = [
        Patch(color=colour_of(phases[0]), label=f"phase {' + '.join(map(str, phases))}")
        for phases in scene.surfaces
    ]
    axes.legend(handles=legend, loc="lower left", fontsize=8, frameon=False)
    return figure


def _view(azimuth: float) -> NDArray[np.float64]:
    """Rows: right, up and towards the eye, in (column, row, slice) with slices upright."""
    turn, lift = np.deg2rad((azimuth, _ELEVATION_DEG))
    away = np.array([-np.sin(turn), np.cos(turn), 0.0])
    upright = np.array([0.0, 0.0, 1.0])
    right = np.array([np.cos(turn), np.sin(turn), 0.0])
    up = np.cos(lift) * upright + np.sin(lift) * away
    eye = np.sin(lift) * upright - np.cos(lift) * away
    return np.stack([right, up, eye])


def _centred(scene: Scene, points: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (np.array(scene.shape) - 1) / 2
    return (points - middle) * np.array(scene.spacing)


def _corners(scene: Scene) -> NDArray[np.float64]:
    """Of the volume's box, [8, 3]; those of one edge differ in one bit of their number."""
    ends = np.array(np.unravel_index(range(8), (2, 2, 2))).T
    return _centred(scene, ends * np.array(scene.shape) - 0.5)


def _draw_box(axes: Axes, corners: NDArray[np.float64], *, far: bool) -> None:
    """The edges of the box that end at its farthest corner, or all others."""
    farthest = int(corners[:, 2].argmin())
    lines = [
        corners[[a, b], :2]
        for a in range(8)
        for b in (a | bit for bit in (1, 2, 4) if not a & bit)
        if (farthest in (a, b)) == far
    ]
    axes.add_collection(
        LineCollection(
            lines,
            colors="0.7" if far else "0.4",
            linewidths=0.8,
            zorder=_FACES - 1 if far else _FACES + 1,
        )
    )


def _lit(
    scene: Scene, view: NDArray[np.float64], corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Faces that look towards the eye, farthest first: [n, 4, 2] and their colours [n, 3]."""
    nearest = float((corners @ view[2]).max())
    faces, depths, colours = [np.empty((0, 4, 2))], [np.empty(0)], [np.empty((0, 3))]
    for phases, surface in scene.surfaces.items():
        seen = (_centred(scene, surface.vertices) @ view.T)[surface.faces]
        normal = np.cross(seen[:, 2] - seen[:, 0], seen[:, 3] - seen[:, 1])
        length = np.linalg.norm(normal, axis=1)
        front = (normal[:, 2] > 0) & (length > 0)
        seen, normal = seen[front], normal[front] / length[front, None]
        light = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ _LIGHT, 0, 1)
        depth = seen[..., 2].mean(axis=1)
        # what is farther away is a little darker
        haze = 1 - 0.3 * (nearest - depth) / (2 * nearest)
        faces.append(seen[..., :2])
        depths.append(depth)
        colours.append(np.outer(light * haze, colour_of(phases[0])))
    order = np.argsort(np.concatenate(depths), kind="stable")
    return np.concatenate(faces)[order], np.clip(np.concatenate(colours)[order], 0, 1)
