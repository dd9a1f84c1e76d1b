"""Points in space: where a map or a filter is strong in a volume, as PNG and rotating GIF."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D  # noqa: F401  registers the projection
from numpy.typing import NDArray
from PIL import Image

from vcam_client.spec import CamLayer, Grid
from vcam_training.inspecting.pictures import colours_of, norm_of
from vcam_training.inspecting.placing import centres, on_grid

FRAMES = 30
"""Of a rotation."""
_FRAME_MS = 120
_ELEVATION, _AZIMUTH = 20.0, -60.0
"""Degrees; of the picture and of the first frame."""
_MOST_POINTS = 3000
_WEAK = 0.25
"""Share of the strongest value below which a map is not drawn outside the object."""
_LARGEST = 60.0
"""Area of the point of a filter's strongest cell, points²."""
_RIM = 0.35
"""Width of rims, points."""
_GREY = (0.6, 0.63, 0.66)
_SIZE, _DPI = (5.9, 4.8), 90
_GREYS, _SHADES = 40, 70
"""Colours of a GIF: from black to white, and of the scale, each also mixed with white."""
_MIXED = (1.0, 0.65, 0.35)


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Points of one kind.

    Attributes:
        places: float64 [n, 3], voxel index along each tensor axis.
        values: float [n] for colours; None for grey.
        size: area of a point, in points², or float [n].
        alpha: opacity.
        edge: opacity of the points' dark rims.
    """

    places: NDArray
    values: NDArray | None = None
    size: float | NDArray
    alpha: float
    edge: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What is drawn: points in a grid, with one scale of colours.

    Attributes:
        points: the ones behind first.
        scale: of all values.
        bar: what the values are.
        grid: for the axes' lengths and names.
        title: above.
    """

    points: Sequence[Points]
    scale: Normalize
    bar: str
    grid: Grid
    title: str


def map_scene(
    cam: NDArray[np.float32],
    place: CamLayer,
    volume: NDArray,
    mask: NDArray[np.bool_],
    *,
    grid: Grid,
    limits: tuple[float, float],
    title: str,
) -> Scene:
    """The signed map over the object.

    Each voxel of the object has the colour of the map there. Outside of it the map is
    drawn where it has a quarter of its largest value or more, in smaller points.

    Args:
        cam: float32 [*cells].
        place: of the cells.
        volume: [D, H, W].
        mask: bool [D, H, W], the object; where it marks nothing, bright voxels are.
        grid: of the model.
        limits: values of the volume that are dark and bright.
        title: above.
    """
    values = on_grid(cam, volume.shape, place)
    scale = norm_of(cam, signed=True)
    bright = _bright(volume, limits)
    thing = mask if mask.any() else bright
    outside = (np.abs(values) >= _WEAK * np.abs(cam).max()) & (values != 0) & ~thing
    points = [Points(places=_some(bright & ~thing, _MOST_POINTS // 3), size=3, alpha=0.12)]
    spots = _some(outside, _MOST_POINTS)
    points.append(Points(places=spots, values=_at(values, spots), size=5, alpha=0.3))
    spots = _some(thing, _MOST_POINTS)
    points.append(Points(places=spots, values=_at(values, spots), size=16, alpha=0.9, edge=0.3))
    return Scene(points=points, scale=scale, bar="map, signed", grid=grid, title=title)


def filter_scene(
    activation: NDArray[np.float32],
    strong: NDArray[np.bool_],
    place: CamLayer,
    volume: NDArray,
    mask: NDArray[np.bool_],
    *,
    grid: Grid,
    limits: tuple[float, float],
    title: str,
) -> Scene:
    """The cells where a filter is strong, over the object in grey.

    Args:
        activation: float32 [*cells], of the filter.
        strong: bool [*cells].
        place, volume, mask, grid, limits, title: see `map_scene`.
    """
    thing = mask if mask.any() else _bright(volume, limits)
    cells = np.argwhere(strong)
    if len(cells) > _MOST_POINTS:
        cells = cells[_drawn(len(cells), _MOST_POINTS)]
    chosen = np.zeros_like(strong)
    chosen[tuple(cells.T)] = True
    values = activation[chosen]
    share = np.abs(values) / max(float(np.abs(activation).max()), 1e-12)
    dots = Points(
        places=centres(chosen, place), values=values, size=4 + _LARGEST * share, alpha=0.8
    )
    grey = Points(places=_some(thing, _MOST_POINTS // 2), size=5, alpha=0.25)
    return Scene(
        points=[grey, dots],
        scale=norm_of(activation),
        bar="activation",
        grid=grid,
        title=title,
    )


def draw_scene(path: Path, scene: Scene) -> None:
    """Writes the scene as PNG."""
    figure, _ = _drawing(scene)
    figure.savefig(path, format="png")


def draw_rotation(path: Path, scene: Scene, *, frames: int = FRAMES) -> None:
    """Writes one turn about the vertical as GIF; the same scene gives the same bytes."""
    figure, axes = _drawing(scene)
    canvas = FigureCanvasAgg(figure)
    pictures = []
    for number in range(frames):
        axes.view_init(elev=_ELEVATION, azim=_AZIMUTH + 360 * number / frames)
        canvas.draw()
        rgba = np.asarray(canvas.buffer_rgba())
        pictures.append(Image.fromarray(rgba[..., :3].copy()))
    palette = _palette(colours_of(scene.scale))
    paletted = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    paletted[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=paletted[1:],
        duration=_FRAME_MS,
        loop=0,
        optimize=False,
    )


def _drawing(scene: Scene) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((-0.02, 0.035, 0.8, 0.9), projection="3d")
    colours = ScalarMappable(scene.scale, colours_of(scene.scale))
    for points in scene.points:
        if not len(points.places):
            continue
        z, y, x = points.places.T
        inside = _GREY if points.values is None else colours.to_rgba(points.values)[:, :3]
        axes.scatter(
            x,
            y,
            z,
            s=points.size,
            facecolors=to_rgba_array(inside, points.alpha),
            edgecolors=(0, 0, 0, points.edge),
            linewidths=_RIM if points.edge else 0,
            depthshade=False,
        )
    depth, height, width = scene.grid.shape
    axes.set(xlim=(0, width - 1), ylim=(0, height - 1), zlim=(0, depth - 1))
    spacing = scene.grid.spacing_mm or (1.0, 1.0, 1.0)
    sides = np.array([width * spacing[2], height * spacing[1], depth * spacing[0]])
    axes.set_box_aspect(sides / sides.max())
    names = _axis_names(scene.grid)
    axes.set_xlabel(names[2], fontsize=8)
    axes.set_ylabel(names[1], fontsize=8)
    axes.set_zlabel(names[0], fontsize=8)
    axes.tick_params(labelsize=7)
    axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)
    place = figure.add_axes((0.835, 0.18, 0.022, 0.6))
    figure.colorbar(colours, cax=place).set_label(scene.bar, fontsize=8)
    place.tick_params(labelsize=7)
    figure.text(0.5, 0.965, scene.title, ha="center", va="center", fontsize=9)
    return figure, axes


def _palette(name: str) -> Image.Image:
    """A picture with the colours of a scene; a palette made of frames would lack rare ones."""
    greys = np.repeat(np.linspace(0, 1, _GREYS)[:, None], 3, axis=1)
    scale = colormaps[name](np.linspace(0, 1, _SHADES))[:, :3]
    colours = np.concatenate([greys, *(share * scale + 1 - share for share in _MIXED)])
    picture = Image.new("P", (1, 1))
    picture.putpalette(np.rint(255 * colours).astype(np.uint8).tobytes())
    return picture


def _axis_names(grid: Grid) -> list[str]:
    codes = grid.axes or ("axis 0", "axis 1", "axis 2")
    towards = "towards " if grid.axes else ""
    return [f"{towards}{code}, voxels" for code in codes]


def _bright(volume: NDArray, limits: tuple[float, float]) -> NDArray[np.bool_]:
    """Voxels above the middle of what is dark and bright."""
    found: NDArray[np.bool_] = volume > (limits[0] + limits[1]) / 2
    return found


def _some(which: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """int [n, 3]: indices of marked voxels, drawn at random where they are too many."""
    places = np.argwhere(which)
    return places if len(places) <= most else places[_drawn(len(places), most)]


def _drawn(count: int, most: int) -> NDArray[np.intp]:
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(count, most, replace=False))


def _at(values: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values[tuple(places.T)]
    return found
