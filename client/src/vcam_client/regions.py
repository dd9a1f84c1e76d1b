"""Where a map is strong: the mask at a threshold, and its connected regions."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from vcam_client._components import components
from vcam_client.errors import InputError
from vcam_client.evidence import HEATMAP_STEP
from vcam_client.volume import Volume

_ROUNDING = 1e-6
"""Steps of a stored map that a threshold, such as 0.2 of 255, may be off by."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Voxels that touch by faces, edges or corners, and the box around them.

    Attributes:
        lower, upper: first and last voxel (i, j, k) of the box, both inclusive.
        world_lower, world_upper: RAS+ millimetres between which the outer corners of the
            box lie, along x, y and z; None where the spacing is unknown.
        voxels: how many there are.
        volume_mm3: their volume; None for a picture or where the spacing is unknown.
        peak: largest value of the heatmap in it, in [0, 1].
    """

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]
    world_lower: tuple[float, float, float] | None
    world_upper: tuple[float, float, float] | None
    voxels: int
    volume_mm3: float | None
    peak: float


@dataclass(frozen=True, kw_only=True)
class Regions:
    """The part of a scan where the heatmap is at least a threshold.

    Attributes:
        threshold: value of the heatmap, above 0 and up to 1.
        voxels: how many there are.
        share: of the scan's voxels.
        volume_mm3: their volume; None for a picture or where the spacing is unknown.
        largest_first: connected regions; none without evidence.
    """

    threshold: float
    voxels: int
    share: float
    volume_mm3: float | None
    largest_first: tuple[Region, ...]


def check_threshold(threshold: float) -> None:
    """Raises InputError unless it is above 0 and at most 1."""
    if not 0 < threshold <= 1:  # NaN neither
        raise InputError(
            f"Expected a threshold of the heatmap above 0 and up to 1, received {threshold:g}. "
            "Half of the strongest cell is 0.5."
        )


def stored_level(threshold: float) -> int:
    """The stored value, 1 … 255, from which a voxel is at least `threshold`.

    Raises:
        InputError: a threshold out of range.
    """
    check_threshold(threshold)
    return max(1, math.ceil(threshold / HEATMAP_STEP - _ROUNDING))


def regions(
    stored: NDArray[np.uint8], volume: Volume, threshold: float, mm3_per_voxel: float | None
) -> Regions:
    """The strong regions of a map.

    Args:
        stored: uint8 [I, J, K] in steps of HEATMAP_STEP, on the grid of `volume`.
        volume: the scan.
        threshold: value of the heatmap.
        mm3_per_voxel: None where nobody knows.
    """
    found = components(stored, stored_level(threshold))
    order = np.lexsort((*found.lower.T, -found.voxels))
    total = int(found.voxels.sum())
    listed = []
    for n in order:
        lower, upper = _index(found.lower[n]), _index(found.upper[n])
        world = _world_bounds(volume, lower, upper) if volume.spacing_known else (None, None)
        voxels = int(found.voxels[n])
        listed.append(
            Region(
                lower=lower,
                upper=upper,
                world_lower=world[0],
                world_upper=world[1],
                voxels=voxels,
                volume_mm3=None if mm3_per_voxel is None else voxels * mm3_per_voxel,
                peak=float(found.peaks[n]) * HEATMAP_STEP,
            )
        )
    return Regions(
        threshold=threshold,
        voxels=total,
        share=total / stored.size,
        volume_mm3=None if mm3_per_voxel is None else total * mm3_per_voxel,
        largest_first=tuple(listed),
    )


def _index(values: NDArray[np.int64]) -> tuple[int, int, int]:
    i, j, k = (int(v) for v in values)
    return i, j, k


def _world_bounds(
    volume: Volume, lower: tuple[int, int, int], upper: tuple[int, int, int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Least and largest RAS+ mm of the eight outer corners: half a voxel beyond centres."""
    edges = [(low - 0.5, high + 0.5) for low, high in zip(lower, upper, strict=True)]
    corners = np.array([volume.world((i, j, k)) for i, j, k in product(*edges)])
    low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
