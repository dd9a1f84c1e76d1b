"""Made-up micro-CT of soil: six materials between pore and dense grain, known to the voxel.

A Gaussian random field is cut at five levels into six materials; what lies next to each
other in the field does so in the medium, as in soil, where pores have rims and grains
have shells. The levels follow profiles that wander along the slices: the fractions of the
materials differ from slice to slice and hardly between neighbours. Grey values of the
materials are evenly spaced, then blurred as by the scanner's optics, made noisy and stored in
8 bits, where they saturate.

The same seed gives the same bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.special import ndtri

from vcam_client.errors import ConfigError

MATERIALS = ("pore", "organic matter", "clay", "silt", "quartz", "iron oxide")
"""From dark to bright."""
_GREY = (np.arange(len(MATERIALS)) + 0.5) * 255 / len(MATERIALS)
"""Grey value of each material: the middle of a sixth of the 8-bit range."""
_USUAL = np.array([0.2, 0.12, 0.2, 0.2, 0.16, 0.12])
"""Fraction of each material where no profile wanders."""
_CUT = 4.0
"""Standard deviations at which Gaussian filters are cut off."""


@dataclass(frozen=True, kw_only=True)
class PorousMedium:
    """How a medium looks.

    Attributes:
        shape: slices, rows and columns.
        structure: correlation length of the field (σ of its Gaussian filter), voxels.
        profile: correlation length of the fractions along the slices, slices.
        contrast: standard deviation of the logarithm of each fraction along the slices.
        blur: σ of the optics, voxels.
        noise: standard deviation of a voxel, grey values of 255.

    Raises:
        ConfigError: values out of range.
    """

    shape: tuple[int, int, int] = (1600, 64, 64)
    structure: float = 2.0
    profile: float = 5.0
    contrast: float = 0.8
    blur: float = 0.5
    noise: float = 12.0

    def __post_init__(self) -> None:
        if min(self.shape) < 2 or min(self.structure, self.profile) <= 0:
            raise ConfigError(
                "Expected at least 2 voxels along each axis, and structure and profile above 0, "
                f"received {self}."
            )
        if min(self.contrast, self.blur, self.noise) < 0:
            raise ConfigError(f"Expected contrast, blur and noise of 0 or more, received {self}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class PorousCube:
    """A medium, and what it was made of.

    Attributes:
        grey: uint8 [slices, rows, columns].
        materials: uint8 [slices, rows, columns], index into MATERIALS.
        fractions: float64 [slices, 6], of the materials that the profiles ask for; a
            slice has them but for its own structure.
    """

    grey: NDArray[np.uint8]
    materials: NDArray[np.uint8]
    fractions: NDArray[np.float64]


def generate(medium: PorousMedium, *, seed: int = 0) -> PorousCube:
    """Makes one cube.

    Args:
        medium: how it looks.
        seed: the same seed gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    fractions = _profiles(medium, rng)
    noise = rng.standard_normal(medium.shape, np.float32)
    field = gaussian_filter(noise, medium.structure, mode="wrap", truncate=_CUT)
    field /= np.float32(np.prod([_left(size, medium.structure) for size in medium.shape]))
    levels = ndtri(np.cumsum(fractions, axis=1)[:, :-1]).astype(np.float32)
    materials = np.zeros(medium.shape, np.uint8)
    for level in levels.T:
        materials += field > level[:, None, None]
    grey = _GREY.astype(np.float32)[materials]
    if medium.blur:
        grey = gaussian_filter(grey, medium.blur, truncate=_CUT)
    grey += np.float32(medium.noise) * rng.standard_normal(medium.shape, np.float32)
    return PorousCube(
        grey=np.clip(np.rint(grey), 0, 255).astype(np.uint8),
        materials=materials,
        fractions=fractions,
    )


def _profiles(medium: PorousMedium, rng: np.random.Generator) -> NDArray[np.float64]:
    """Fractions of the materials by slice, [slices, 6], each row with the sum 1."""
    steps = rng.standard_normal((medium.shape[0], len(MATERIALS)))
    slow = gaussian_filter1d(steps, medium.profile, axis=0, mode="wrap", truncate=_CUT)
    weights = _USUAL * np.exp(medium.contrast * slow / _left(medium.shape[0], medium.profile))
    return weights / weights.sum(axis=1, keepdims=True)


def _left(size: int, sigma: float) -> float:
    """Standard deviation that a periodic Gaussian filter leaves of independent values of 1."""
    impulse = np.zeros(size)
    impulse[0] = 1.0
    return float(np.linalg.norm(gaussian_filter1d(impulse, sigma, mode="wrap", truncate=_CUT)))
