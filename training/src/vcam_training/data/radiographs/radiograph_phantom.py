"""Radiograph-like images of a chest: lungs, heart, spine, ribs, and what is found in them.

Coordinates of the body are (x, y), x to the patient's left (right in the image), y down,
both −1 to 1 over an image in the mean pose. Values are brightness from 0 to 1: air is dark.
A patient has an anatomy; each image of a patient has a pose, an exposure, noise and
findings of its own. The same seeds give the same bytes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

Plane = NDArray[np.float32]
"""float32 [N, N], rows and columns of an image."""

_SOFT = 0.02
"""Width of an edge, in body coordinates."""
_TISSUE, _LUNG = 0.62, 0.20
"""Brightness of the chest wall, and of a lung."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One patient's chest, in body coordinates.

    Attributes:
        torso: half width of the chest wall.
        width: half width of both lungs at their base.
        apex, base: y of the lungs' tops, and of the diaphragm beside the spine.
        dome: how far the diaphragm rises in the middle of a lung.
        heart: half width of the heart as a share of `width`.
        heart_height: half height of the heart.
        ribs: distance of two ribs.
        rib_start: y of the first rib beside the spine.
        mediastinum: half width of what lies between the lungs.
    """

    torso: float
    width: float
    apex: float
    base: float
    dome: float
    heart: float
    heart_height: float
    ribs: float
    rib_start: float
    mediastinum: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Lung:
    """One lung of an image.

    Attributes:
        side: −1 for the patient's right lung, left in the image; 1 for the other.
        share: 0 to 1, how much of a pixel is lung.
        u: 0 at the mediastinum, 1 at the chest wall.
        v: 0 at the apex, 1 at the diaphragm beside the spine.
    """

    side: int
    share: Plane
    u: Plane
    v: Plane

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Bool [N, N]: pixels that are mostly lung."""
        return self.share > 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Chest:
    """A chest as it lies in one image.

    Attributes:
        anatomy: of the patient.
        x, y: body coordinates of each pixel.
        lungs: the right one, then the left one.
        heart: bool [N, N], pixels that show the heart.
    """

    anatomy: Anatomy
    x: Plane
    y: Plane
    lungs: tuple[Lung, Lung]
    heart: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """N, pixels along both sides."""
        return len(self.x)


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A patient."""
    return Anatomy(
        torso=float(rng.uniform(0.86, 0.98)),
        width=float(rng.uniform(0.68, 0.78)),
        apex=float(rng.uniform(-0.80, -0.68)),
        base=float(rng.uniform(0.40, 0.54)),
        dome=float(rng.uniform(0.12, 0.20)),
        heart=float(rng.uniform(0.42, 0.50)),
        heart_height=float(rng.uniform(0.28, 0.34)),
        ribs=float(rng.uniform(0.135, 0.165)),
        rib_start=float(rng.uniform(-0.72, -0.62)),
        mediastinum=float(rng.uniform(0.11, 0.15)),
    )


def lay(anatomy: Anatomy, size: int, rng: np.random.Generator) -> Chest:
    """The chest in a random pose.

    Args:
        anatomy: of the patient, changed as findings change it.
        size: N, pixels along both sides.
        rng: of the image.
    """
    step = np.linspace(-1, 1, size, dtype=np.float32)
    angle = np.deg2rad(rng.uniform(-4, 4))
    zoom, right, down = rng.uniform(0.93, 1.07), *rng.uniform(-0.05, 0.05, 2)
    rows, columns = (step[:, None] - down) / zoom, (step[None, :] - right) / zoom
    x = (np.cos(angle) * columns + np.sin(angle) * rows).astype(np.float32)
    y = (np.cos(angle) * rows - np.sin(angle) * columns).astype(np.float32)
    half = anatomy.heart * anatomy.width
    # two thirds of a heart lie to the patient's left
    middle = (half / 3, anatomy.base - 0.62 * anatomy.heart_height)
    across = 0.9 * (x - middle[0]) + 0.35 * (y - middle[1])
    along = 0.95 * (y - middle[1]) - 0.25 * (x - middle[0])
    heart = (across / half) ** 2 + (along / anatomy.heart_height) ** 2 <= 1
    return Chest(
        anatomy=anatomy,
        x=x,
        y=y,
        lungs=(_lung(anatomy, x, y, -1), _lung(anatomy, x, y, 1)),
        heart=heart,
    )


def tissue(chest: Chest, rng: np.random.Generator, *, texture: float = 1.0) -> Plane:
    """Brightness of the chest wall, the lungs and their vessels, without bones and heart.

    Args:
        chest: in its pose.
        rng: of the image.
        texture: how clearly vessels show; 1 for healthy lungs.
    """
    a, x, y = chest.anatomy, chest.x, chest.y
    shoulder = a.torso * np.clip(0.72 + 0.42 * (y + 1.0), 0, 1)
    neck = soft(0.24 - np.abs(x)) * soft(-0.6 - y)
    wall = np.maximum(soft((shoulder - np.abs(x)) * soft(y + 0.93)), neck)
    image = _TISSUE * wall * (1 + 0.05 * smooth_noise(rng, chest.size, 5))
    vessels = ridges(rng, chest.size, 22) + 0.6 * ridges(rng, chest.size, 40)
    for lung in chest.lungs:
        near = np.exp(-((lung.u / 0.55) ** 2) - ((lung.v - 0.55) / 0.38) ** 2)
        hilum = np.exp(-(((lung.u - 0.06) / 0.16) ** 2) - ((lung.v - 0.5) / 0.11) ** 2)
        inner = _LUNG + texture * (0.13 * near * vessels + 0.03 * vessels) + 0.14 * hilum
        image += lung.share * (inner - image)
    return image


def bones(chest: Chest, image: Plane, rng: np.random.Generator) -> None:
    """Draws heart, mediastinum, spine, ribs and collar bones over an image."""
    a, x, y = chest.anatomy, chest.x, chest.y
    heart = smooth(chest.heart.astype(np.float32))
    image += heart * 0.9 * (_TISSUE + 0.06 - image)
    wide = a.mediastinum * (1 + 0.25 * np.clip(y + 0.4, 0, 1))
    middle = soft(wide - np.abs(x)) * soft(y + 0.95)
    image += middle * 0.85 * (_TISSUE + 0.05 - image)
    trachea = soft(0.045 - np.abs(x)) * soft(-0.28 - y) * soft(y + 0.98)
    image -= 0.14 * trachea
    discs = 0.5 + 0.5 * np.cos(2 * np.pi * y / 0.13 + rng.uniform(0, 6))
    image += soft(0.075 - np.abs(x)) * (0.05 + 0.05 * discs)
    side = np.abs(x)
    arch = a.rib_start - 0.10 + 0.42 * (side - 0.25) ** 2 + 0.22 * side
    within = soft(a.torso - 0.03 - side) * soft(side - 0.09) * soft(0.62 - y) * soft(y - a.apex)
    phase = (y - arch) / a.ribs
    ribs = np.clip(np.cos(2 * np.pi * phase), 0, 1) ** 1.5
    image += 0.085 * within * ribs
    collar = np.abs(y - (a.apex + 0.13 - 0.20 * (side - 0.12))) / 0.028
    image += 0.13 * np.exp(-(collar**4)) * soft(0.75 - side) * soft(side - 0.10)


def expose(image: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Stored values of a brightness: exposure, scatter, noise and eight bits.

    Returns:
        uint8 [N, N].
    """
    size = len(image)
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.85, 1.2))
    image = image * np.float32(rng.uniform(0.95, 1.15)) + np.float32(rng.uniform(0.0, 0.06))
    image += 0.015 * smooth_noise(rng, size, 4)
    # of an image of 256 pixels; larger ones have smaller pixels with fewer photons each
    grain = rng.uniform(0.012, 0.03) * size / 256
    image = smooth(image + grain * 1.5 * rng.standard_normal(image.shape, dtype=np.float32))
    stored: NDArray[np.uint8] = np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)
    return stored


def soft(depth: Plane, width: float = _SOFT) -> Plane:
    """0 to 1: how far inside an edge something lies, given its depth behind the edge."""
    inside: Plane = (0.5 + 0.5 * np.tanh(depth / width)).astype(np.float32)
    return inside


def smooth(image: Plane) -> Plane:
    """Convolution with [1, 2, 1] / 4 along both axes, edges repeated."""
    for axis in (0, 1):
        wide = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        wide = wide if axis == 0 else wide.T
        image = 0.25 * wide[:-2] + 0.5 * wide[1:-1] + 0.25 * wide[2:]
        image = image if axis == 0 else image.T
    return image


def smooth_noise(rng: np.random.Generator, size: int, waves: int) -> Plane:
    """Normal noise of mean 0 and standard deviation about 1, with `waves` bumps along a side."""
    basis = _splines(size, waves)
    rows = basis @ rng.standard_normal((basis.shape[1],) * 2, dtype=np.float32)
    noise: Plane = (basis @ rows.T).T
    return noise


def ridges(rng: np.random.Generator, size: int, waves: int) -> Plane:
    """0 to 1: winding lines, where smooth noise changes its sign."""
    lines: Plane = np.exp(-((smooth_noise(rng, size, waves) / 0.22) ** 2))
    return lines


@lru_cache(maxsize=32)
def _splines(size: int, waves: int) -> csr_array:
    """[size, waves + 3]: cubic B-splines, scaled to the variance of their coefficients."""
    at = np.clip(np.linspace(0, waves, size), 0, waves - 1e-9)
    knots = np.arange(-3, waves + 4, dtype=np.float64)
    values = csr_array(BSpline.design_matrix(at, knots, 3))
    lengths = np.sqrt(values.power(2).sum(axis=1))
    return csr_array(values.multiply(1 / lengths[:, None]), dtype=np.float32)


def _lung(a: Anatomy, x: Plane, y: Plane, side: int) -> Lung:
    v = (y - a.apex) / (a.base - a.apex)
    rise = np.clip(1 - np.clip(v / 0.6, 0, 1), 0, 1)
    outer = a.width * (1 - rise**2.3) ** (1 / 2.3)
    inner = np.float32(a.mediastinum * 0.8)
    across = side * x
    u = (across - inner) / np.maximum(outer - inner, 0.05)
    # the liver lifts the right side; the diaphragm falls towards the chest wall
    top = a.base - a.dome - (0.05 if side < 0 else 0.0)
    floor = top + a.dome * np.clip((u - 0.35) / 0.5, -0.75, 1.6) ** 2
    share = soft(outer - across) * soft(across - inner) * soft(floor - y)
    return Lung(
        side=side,
        share=share,
        u=np.clip(u, -1, 2).astype(np.float32),
        v=np.clip(v, -1, 2).astype(np.float32),
    )
