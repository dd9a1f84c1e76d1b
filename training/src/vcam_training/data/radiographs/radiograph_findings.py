"""The findings of a radiograph phantom: a mark of its own kind for each, and its mask.

Diseases are only hinted at: what matters is that each mark can be told from the others by
its look, that marks overlap as they may, and that their places are known to the pixel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.radiographs.radiograph_phantom import (
    Anatomy,
    Chest,
    Lung,
    Plane,
    bones,
    expose,
    lay,
    ridges,
    smooth_noise,
    soft,
    tissue,
)

Mask = NDArray[np.bool_]
Mark = Callable[[Chest, Plane, np.random.Generator], Mask]
"""Draws a finding into an image and returns its mask, bool [N, N]."""

_FLUID = 0.66
"""Brightness of fluid and of lung without air."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Radiograph:
    """An image with what is in it.

    Attributes:
        image: uint8 [N, N], rows and columns.
        masks: of each finding that is there, bool [N, N], never empty.
    """

    image: NDArray[np.uint8]
    masks: Mapping[str, Mask]


def radiograph(
    anatomy: Anatomy, findings: frozenset[str], size: int, rng: np.random.Generator
) -> Radiograph:
    """Draws one image of a patient.

    Args:
        anatomy: of the patient.
        findings: names out of PREVALENCE.
        size: N, pixels along both sides.
        rng: of the image.
    """
    if "Cardiomegaly" in findings:
        wide, high = rng.uniform(1.38, 1.62), rng.uniform(1.05, 1.2)
        anatomy = replace(
            anatomy, heart=anatomy.heart * wide, heart_height=anatomy.heart_height * high
        )
    if "Emphysema" in findings:
        anatomy = replace(anatomy, dome=0.02, base=anatomy.base - 0.01, heart=0.85 * anatomy.heart)
    chest = lay(anatomy, size, rng)
    image = tissue(chest, rng, texture=0.45 if "Emphysema" in findings else 1.0)
    masks = {}
    for name, mark in _IN_LUNGS.items():
        if name in findings:
            masks[name] = mark(chest, image, rng)
    bones(chest, image, rng)
    for name, mark in _OVER_HEART.items():
        if name in findings:
            masks[name] = mark(chest, image, rng)
    return Radiograph(image=expose(image, rng), masks=masks)


def _emphysema(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """Dark lungs above a flat diaphragm, with thin-walled bubbles."""
    mask = np.zeros(image.shape, bool)
    for lung in chest.lungs:
        image -= 0.09 * lung.share
        mask |= lung.inside
        for _ in range(rng.integers(1, 4)):
            x, y = _place(chest, lung, rng, (0.25, 0.8), (0.2, 0.8))
            radius = rng.uniform(0.06, 0.10)
            distance = np.hypot(chest.x - x, chest.y - y) - radius
            image -= 0.07 * soft(-distance) * lung.share
            image += 0.13 * np.exp(-((distance / 0.012) ** 2)) * lung.share
    return mask


def _fibrosis(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A fine net in the lower outer parts of both lungs."""
    net = np.maximum(ridges(rng, chest.size, 44), ridges(rng, chest.size, 30))
    start = rng.uniform(0.48, 0.66)
    mask = np.zeros(image.shape, bool)
    for lung in chest.lungs:
        where = soft(lung.v - start, 0.08) * soft(lung.u - 0.25, 0.12) * lung.share
        image += where * (0.05 + 0.24 * net)
        mask |= where > 0.5
    return mask


def _edema(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A haze about both hila, like the wings of a bat."""
    strength, reach = rng.uniform(0.20, 0.28), rng.uniform(0.42, 0.55)
    cloud = 1 + 0.18 * smooth_noise(rng, chest.size, 12)
    mask = np.zeros(image.shape, bool)
    for lung in chest.lungs:
        haze = np.exp(-(((lung.u - 0.15) / reach) ** 4) - ((lung.v - 0.52) / 0.27) ** 4)
        image += strength * haze * cloud * lung.share
        mask |= (haze > 0.5) & lung.inside
    return mask


def _infiltration(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A loose group of soft spots."""
    lung = _one_of(chest, rng)
    x, y = _place(chest, lung, rng, (0.45, 0.75), (0.25, 0.68))
    spots = np.zeros(image.shape, np.float32)
    for _ in range(rng.integers(10, 16)):
        dx, dy = rng.normal(0, 0.10, 2)
        width = rng.uniform(0.018, 0.034)
        apart = (chest.x - x - dx) ** 2 + (chest.y - y - dy) ** 2
        np.maximum(spots, np.exp(-apart / (2 * width**2)), out=spots)
    image += rng.uniform(0.17, 0.23) * spots * lung.share
    return _never_empty((spots > 0.3) & lung.inside, spots * lung.share)


def _pneumonia(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A mottled lobe that ends at a straight fissure below and fades upwards."""
    lung = _one_of(chest, rng)
    low, tilt = rng.uniform(0.42, 0.66), rng.uniform(-0.15, 0.15)
    depth = low + tilt * (lung.u - 0.5) - lung.v
    where = soft(depth, 0.015) * np.exp(-((np.clip(depth, 0, 2) / 0.2) ** 2)) * lung.share
    mottled = 0.75 + 0.3 * smooth_noise(rng, chest.size, 26)
    image += rng.uniform(0.26, 0.34) * where * np.clip(mottled, 0.1, 1.4)
    return where > 0.35


def _consolidation(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A dense cloud in which air-filled branches show dark."""
    lung = _one_of(chest, rng)
    x, y = _place(chest, lung, rng, (0.45, 0.7), (0.35, 0.68))
    radius = rng.uniform(0.13, 0.19) * (1 + 0.22 * smooth_noise(rng, chest.size, 9))
    where = soft(radius - np.hypot(chest.x - x, chest.y - y), 0.03) * lung.share
    branches = ridges(rng, chest.size, 16)
    image += 0.9 * where * (_FLUID - 0.10 - 0.30 * branches - image)
    return _never_empty(where > 0.5, where)


def _atelectasis(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """One to three plates: straight, bright, nearly level bands."""
    lung = _one_of(chest, rng)
    mask = np.zeros(image.shape, bool)
    v, slope = rng.uniform(0.5, 0.68), rng.uniform(-0.3, 0.3)
    for _ in range(rng.integers(1, 4)):
        x, y = _at(chest.anatomy, lung.side, 0.5, v)
        off = (chest.y - y - slope * (chest.x - x)) / rng.uniform(0.014, 0.02)
        ends = soft(rng.uniform(0.26, 0.34) - np.abs(lung.u - 0.55), 0.03)
        band = np.exp(-(off**2)) * ends * lung.share
        image += rng.uniform(0.24, 0.32) * band
        mask |= band > 0.4
        v += rng.uniform(0.09, 0.13)
    return mask


def _nodule(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A small round spot."""
    return _ball(chest, image, rng, radius=(0.045, 0.062), wave=0.03)


def _mass(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A large, lobed one."""
    return _ball(chest, image, rng, radius=(0.105, 0.15), wave=0.1)


def _effusion(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """Fluid at the base of a lung, its level rising towards the chest wall."""
    lung = _one_of(chest, rng)
    level = rng.uniform(0.58, 0.82) - 0.24 * np.clip(lung.u - 0.2, 0, 1) ** 2
    where = soft(lung.v - level, 0.025) * _up_to_the_edge(lung)
    image += where * (_FLUID - image)
    return _never_empty((where > 0.5) & lung.inside, where * lung.share)


def _pleural_thickening(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A wavy bright rim along the chest wall."""
    lung = _one_of(chest, rng)
    start, length = rng.uniform(0.15, 0.35), rng.uniform(0.4, 0.6)
    depth = rng.uniform(0.10, 0.15) * (1 + 0.3 * smooth_noise(rng, chest.size, 14))
    along = soft(lung.v - start, 0.03) * soft(start + length - lung.v, 0.03)
    where = soft(lung.u - 1 + depth, 0.03) * along * _up_to_the_edge(lung)
    image += 0.9 * where * (_FLUID - 0.04 - image)
    return _never_empty((where > 0.5) & lung.inside, where * lung.share)


def _pneumothorax(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """Air outside the lung: a black rim without vessels, behind a fine bright line."""
    lung = _one_of(chest, rng)
    width, end = rng.uniform(0.20, 0.36), rng.uniform(0.6, 0.95)
    edge = 1 - width * np.clip(1.25 - lung.v, 0, 1)
    where = soft(lung.u - edge) * soft(end - lung.v, 0.04) * lung.share
    image += where * (0.05 - image)
    line = np.exp(-(((lung.u - edge) / 0.022) ** 2)) * soft(end - lung.v, 0.04) * lung.share
    image += 0.30 * line
    return _never_empty(where > 0.5, where)


def _cardiomegaly(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """The wide heart that the anatomy has already."""
    return chest.heart.copy()


def _hernia(chest: Chest, image: Plane, rng: np.random.Generator) -> Mask:
    """A bubble of gas with a fluid level, over the heart."""
    x, y = rng.uniform(-0.02, 0.18), chest.anatomy.base - rng.uniform(0.14, 0.26)
    radius = rng.uniform(0.11, 0.16)
    distance = np.hypot((chest.x - x) / 1.15, chest.y - y) - radius
    gas = soft(-distance) * soft(y + rng.uniform(0.0, 0.05) - chest.y, 0.015)
    image -= 0.34 * gas * np.clip(image / 0.5, 0, 1)
    image += 0.14 * np.exp(-((distance / 0.016) ** 2))
    return distance <= 0


def _ball(
    chest: Chest,
    image: Plane,
    rng: np.random.Generator,
    *,
    radius: tuple[float, float],
    wave: float,
) -> Mask:
    lung = _one_of(chest, rng)
    x, y = _place(chest, lung, rng, (0.4, 0.75), (0.25, 0.66))
    angle = np.arctan2(chest.y - y, chest.x - x)
    lobes = np.cos(rng.integers(3, 6) * angle + rng.uniform(0, 6))
    edge = rng.uniform(*radius) * (1 + wave * lobes) - np.hypot(chest.x - x, chest.y - y)
    image += rng.uniform(0.28, 0.34) * soft(edge, 0.012)
    return edge >= 0


def _up_to_the_edge(lung: Lung) -> Plane:
    """0 to 1: what is lung and its soft edge, so that no dark line is left beside fluid."""
    return np.clip(6 * lung.share, 0, 1)


def _one_of(chest: Chest, rng: np.random.Generator) -> Lung:
    return chest.lungs[rng.integers(2)]


def _place(
    chest: Chest,
    lung: Lung,
    rng: np.random.Generator,
    u: tuple[float, float],
    v: tuple[float, float],
) -> tuple[float, float]:
    """Body coordinates of a random point of a lung, between those shares of it."""
    return _at(chest.anatomy, lung.side, float(rng.uniform(*u)), float(rng.uniform(*v)))


def _at(a: Anatomy, side: int, u: float, v: float) -> tuple[float, float]:
    rise = max(0.0, 1 - v / 0.6)
    outer, inner = a.width * (1 - rise**2.3) ** (1 / 2.3), 0.8 * a.mediastinum
    return side * (inner + u * (outer - inner)), a.apex + v * (a.base - a.apex)


def _never_empty(mask: Mask, strength: Plane) -> Mask:
    """The mask, or the pixel where the mark is strongest if it is fainter than that."""
    return mask if mask.any() else strength == strength.max()


_IN_LUNGS: dict[str, Mark] = {
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Edema": _edema,
    "Infiltration": _infiltration,
    "Pneumonia": _pneumonia,
    "Consolidation": _consolidation,
    "Atelectasis": _atelectasis,
    "Nodule": _nodule,
    "Mass": _mass,
    "Effusion": _effusion,
    "Pleural_Thickening": _pleural_thickening,
    "Pneumothorax": _pneumothorax,
}
"""In the order they are drawn: air outside a lung covers what is in it."""
_OVER_HEART: dict[str, Mark] = {"Cardiomegaly": _cardiomegaly, "Hernia": _hernia}

PREVALENCE = {
    "Atelectasis": 0.18,
    "Cardiomegaly": 0.15,
    "Effusion": 0.18,
    "Infiltration": 0.20,
    "Mass": 0.15,
    "Nodule": 0.16,
    "Pneumonia": 0.12,
    "Pneumothorax": 0.16,
    "Consolidation": 0.14,
    "Edema": 0.12,
    "Emphysema": 0.12,
    "Fibrosis": 0.12,
    "Pleural_Thickening": 0.14,
    "Hernia": 0.10,
}
"""Share of images with each finding, which are drawn independently of each other."""
