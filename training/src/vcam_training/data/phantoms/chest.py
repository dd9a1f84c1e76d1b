"""Draws one chest in Hounsfield units on a given voxel grid. No files here.

Coordinates are RAS+ millimetres about the middle of the lungs: x grows to the
patient's right, y to the front, z to the head. Sizes are those of adults, HU
those of textbooks; see `ct_phantom` for what is meant to be hard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

AIR_HU = -1000.0
FAT_HU = -100.0
MUSCLE_HU = 45.0
BONE_HU = 350.0
TABLE_HU = -300.0
INTERVALS = {
    # name: (low, high), drawn uniformly for each chest; millimetres unless it says HU
    "body_x": (150, 178),
    "body_y": (100, 122),
    "fat": (8, 22),
    "lung_x": (54, 62),
    "lung_y": (74, 88),
    "lung_z": (98, 116),
    "lung_centre_x": (68, 76),
    "lung_hu": (-880, -800),
    "lung_gradient_hu_per_mm": (0.3, 1.0),
    "dome": (-72, -52),
    "heart_x": (46, 58),
    "heart_y": (40, 50),
    "heart_z": (46, 58),
    "blood_hu": (35, 60),
    "contrast_hu": (120, 250),
    "hilum_radius": (7, 12),
    "vessel_radius": (6, 9),
    "trachea_radius": (7, 10),
    "spine_radius": (16, 20),
    "atelectasis": (4, 12),
    "atelectasis_hu": (-550, -250),
}
CONTRAST_AGENT_SHARE = 0.5
"""Share of chests whose blood is enhanced by contrast agent."""
ATELECTASIS_SHARE = 0.4
"""Share of chests with a dense posterior rim of the lungs (dependent atelectasis)."""
VESSEL_LEVELS = 6
"""Generations of branching of each lung's vessel tree."""
VESSEL_TAPER = 0.76
"""Radius of a branch, as a fraction of its parent's."""
LUNG_CENTRE_Y_MM = -4.0
RIB_PITCH_MM, RIB_WIDTH_MM = 28.0, 9.0


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A ball of consolidated lung.

    Attributes:
        centre: RAS+ mm.
        radius: mm.
    """

    centre: tuple[float, float, float]
    radius: float


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Positions of the voxel centres along x, y and z, mm, ascending, evenly spaced."""

    x: Array
    y: Array
    z: Array

    @property
    def open(self) -> tuple[Array, Array, Array]:
        """The three positions, shaped so that they broadcast to [nx, ny, nz]."""
        return self.x[:, None, None], self.y[None, :, None], self.z[None, None, :]

    def near(
        self, low: Sequence[float], high: Sequence[float]
    ) -> tuple[tuple[slice, ...], tuple[Array, ...]]:
        """The part of the grid within a box in mm: index slices, open positions."""
        axes = (self.x, self.y, self.z)
        parts = tuple(
            slice(int(np.searchsorted(a, lo)), int(np.searchsorted(a, hi, "right")))
            for a, lo, hi in zip(axes, low, high, strict=True)
        )
        x, y, z = (a[p] for a, p in zip(axes, parts, strict=True))
        return parts, (x[:, None, None], y[None, :, None], z[None, None, :])


def draw_chest(rng: np.random.Generator, axes: Axes) -> tuple[Array, NDArray[np.bool_]]:
    """A chest without lesions, edges hard and noise absent.

    Returns:
        volume: float32 [nx, ny, nz], HU.
        lungs: bool [nx, ny, nz], lung tissue and the vessels in it.
    """
    size = {name: float(rng.uniform(*interval)) for name, interval in INTERVALS.items()}
    contrast_agent = rng.random() < CONTRAST_AGENT_SHARE
    blood = size["contrast_hu"] if contrast_agent else size["blood_hu"]
    x, y, _ = axes.open
    shape = (axes.x.size, axes.y.size, axes.z.size)
    volume = np.full(shape, AIR_HU, np.float32)

    _draw_wall(volume, axes, size)
    lungs = _lungs(axes, size)
    heart = _ellipsoid(
        axes, (-22, 22, -38), (size["heart_x"], size["heart_y"], size["heart_z"]), power=2
    )
    lungs &= ~heart
    rim = lungs & (y < LUNG_CENTRE_Y_MM - size["lung_y"] + 8 + size["atelectasis"])
    depth = np.broadcast_to(size["lung_hu"] - size["lung_gradient_hu_per_mm"] * y, shape)
    volume[lungs] = depth[lungs]
    if rng.random() < ATELECTASIS_SHARE:
        volume[rim] = size["atelectasis_hu"]
    volume[heart] = blood
    aorta = (x + 22) ** 2 + (y + 38) ** 2 < 12**2
    volume[np.broadcast_to(aorta, shape)] = blood

    for side in (-1, 1):
        hilum = np.array([side * 30.0, -4.0, 5.0]) + rng.normal(0, 4, 3)
        for _ in range(3):  # nodes and vessel stumps: round, dense, at the lung's root
            place = hilum + rng.normal(0, 9, 3) + (side * 6.0, 0, 0)
            _draw_capsule(volume, axes, place, place, size["hilum_radius"], blood)
        _draw_vessels(rng, volume, lungs, axes, hilum, side, size["vessel_radius"], blood)
        carina = np.array([0.0, -12.0, 32.0])
        _draw_capsule(volume, axes, carina, hilum, size["trachea_radius"] * 0.6, AIR_HU)
    top = np.array([0.0, -12.0, 400.0])
    _draw_capsule(volume, axes, carina, top, size["trachea_radius"], AIR_HU)
    return volume, lungs


def draw_lesion(
    rng: np.random.Generator, volume: Array, axes: Axes, lesion: Lesion, density_hu: float
) -> None:
    """Fills a ball of lung in place; the edge is soft, some bronchi stay open.

    Args:
        rng: draws the bronchi.
        volume: float32 [nx, ny, nz], HU; changed.
        axes: where the voxels are.
        lesion: where and how large.
        density_hu: HU of the consolidated lung.
    """
    edge_mm = float(rng.uniform(2, 5))
    centre = np.array(lesion.centre)
    parts, (x, y, z) = axes.near(centre - lesion.radius, centre + lesion.radius)
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    weight = np.clip((lesion.radius - distance) / edge_mm, 0, 1).astype(np.float32)
    volume[parts] += weight * (density_hu - volume[parts])
    for _ in range(int(rng.integers(0, 3))):  # air bronchograms
        direction = rng.normal(size=3)
        direction *= 0.6 * lesion.radius / np.linalg.norm(direction)
        middle = centre + rng.normal(0, 0.2 * lesion.radius, 3)
        start, end = middle - direction, middle + direction
        _draw_capsule(volume, axes, start, end, float(rng.uniform(1.5, 2.5)), -900.0)


def ball(axes: Axes, lesion: Lesion) -> NDArray[np.bool_]:
    """Bool [nx, ny, nz]: voxels whose centre lies in the lesion."""
    x, y, z = axes.open
    cx, cy, cz = lesion.centre
    inside: NDArray[np.bool_] = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= lesion.radius**2
    return inside


def _draw_wall(volume: Array, axes: Axes, size: dict[str, float]) -> None:
    """Skin, fat, muscle, ribs, spine and the table below, in place."""
    x, y, z = axes.open
    a, b, fat = size["body_x"], size["body_y"], size["fat"]
    outside = (np.abs(x) / a) ** 2.5 + (np.abs(y) / b) ** 2.5
    inner = (np.abs(x) / (a - fat)) ** 2.5 + (np.abs(y) / (b - fat)) ** 2.5
    wall = np.where(inner < 1, MUSCLE_HU, np.where(outside < 1, FAT_HU, AIR_HU))
    table = (y > -b - 20) & (y < -b - 8) & (np.abs(x) < 200)
    volume[:] = np.where(table, TABLE_HU, wall)
    rib_cage = (inner < 0.9) & (inner > 0.72)
    slant = (z + 0.35 * y) % RIB_PITCH_MM < RIB_WIDTH_MM
    volume[rib_cage & slant & (np.abs(x) > 25)] = BONE_HU
    spine = x**2 + (y + b - fat - 38) ** 2 < size["spine_radius"] ** 2
    disc = (z % 30.0) < 7.0
    volume[spine & ~disc] = BONE_HU


def _lungs(axes: Axes, size: dict[str, float]) -> NDArray[np.bool_]:
    """Two rounded lungs on domed diaphragms, apart by the mediastinum."""
    x, y, z = axes.open
    radii = (size["lung_x"], size["lung_y"], size["lung_z"])
    lungs = np.zeros((axes.x.size, axes.y.size, axes.z.size), bool)
    for side in (-1, 1):
        centre = side * size["lung_centre_x"]
        lung = _ellipsoid(axes, (centre, LUNG_CENTRE_Y_MM, 0), radii, power=2.4)
        dome = size["dome"] + 12 * (side > 0) - (x - centre) ** 2 / 110 - (y - 5) ** 2 / 170
        lungs |= lung & (z > dome)
    return lungs & (np.abs(x) > 20)


def _draw_vessels(
    rng: np.random.Generator,
    volume: Array,
    lungs: NDArray[np.bool_],
    axes: Axes,
    root: NDArray[np.float64],
    side: int,
    radius: float,
    blood_hu: float,
) -> None:
    """A tree of tapering branches from the hilum outwards, inside the lungs, in place."""
    outwards = np.array([side * 1.0, 0.0, 0.0])
    branches = [(root, outwards, radius)]
    for _ in range(VESSEL_LEVELS):
        grown = []
        for start, direction, width in branches:
            for _ in range(2):
                bent = direction + rng.normal(0, 0.65, 3)
                bent /= np.linalg.norm(bent)
                end = start + bent * rng.uniform(14, 26)
                _draw_capsule(volume, axes, start, end, width, blood_hu, within=lungs)
                grown.append((end, bent, width * VESSEL_TAPER))
        branches = grown


def _ellipsoid(
    axes: Axes, centre: Sequence[float], radii: Sequence[float], power: float
) -> NDArray[np.bool_]:
    """Bool [nx, ny, nz]: inside a (super)ellipsoid, mm."""
    terms = [(np.abs(a - c) / r) ** power for a, c, r in zip(axes.open, centre, radii, strict=True)]
    inside: NDArray[np.bool_] = terms[0] + terms[1] + terms[2] < 1
    return inside


def _draw_capsule(
    volume: Array,
    axes: Axes,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    value_hu: float,
    within: NDArray[np.bool_] | None = None,
) -> None:
    """Sets voxels within `radius` mm of the segment from start to end, in place."""
    parts, (x, y, z) = axes.near(np.minimum(start, end) - radius, np.maximum(start, end) + radius)
    along = end - start
    length2 = float(along @ along) or 1.0
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / length2, 0, 1)
    distance2 = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2
    inside = distance2 <= radius**2
    if within is not None:
        inside &= within[parts]
    volume[parts][inside] = value_hu
