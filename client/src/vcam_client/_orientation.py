"""Axis codes and the orientation of an affine.

An affine maps voxel indices (i, j, k) to RAS+ millimetres of voxel centres.
A code names the direction in which an axis' index grows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ContractError

AXIS_OF_CODE = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}
"""World axis (x, y, z of RAS+) that a code runs along."""

SIGN_OF_CODE = {"L": -1, "R": 1, "P": -1, "A": 1, "I": -1, "S": 1}
"""+1 where a code runs along a positive RAS+ axis."""

CODES_OF_AXIS = (("L", "R"), ("P", "A"), ("I", "S"))


def check_axis_codes(codes: Sequence[str]) -> None:
    """Raises ContractError unless `codes` name three different anatomical axes."""
    if len(codes) != 3 or {AXIS_OF_CODE.get(c) for c in codes} != {0, 1, 2}:
        raise ContractError(
            f"Expected three axis codes, one each of R/L, A/P and S/I, received {tuple(codes)}."
        )


def axis_codes(affine: NDArray[np.float64]) -> tuple[str, str, str]:
    """The closest anatomical direction of each voxel axis, no direction used twice.

    Args:
        affine: float64 [4, 4], voxel indices to RAS+ mm; any shear or obliquity.
    """
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    strength = np.abs(direction)
    world_of: dict[int, int] = {}
    for _ in range(3):
        world, axis = np.unravel_index(int(np.argmax(strength)), strength.shape)
        world_of[int(axis)] = int(world)
        strength[world, :] = -1
        strength[:, axis] = -1
    codes = [CODES_OF_AXIS[world_of[a]][int(direction[world_of[a], a] > 0)] for a in range(3)]
    return codes[0], codes[1], codes[2]


def to_axes(
    affine: NDArray[np.float64], axes: Sequence[str], *, slowest_first: bool = False
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """How stored axes become the axes named by `axes`.

    Args:
        affine: float64 [4, 4], voxel indices to RAS+ mm.
        axes: codes of directions; empty for stored axes.
        slowest_first: whether the first stored axis is the slowest, instead of the last.

    Returns:
        order: for each wanted axis, the stored axis it is.
        flip: for each wanted axis, whether it runs against the stored axis.
        With empty `axes`: stored axes, slowest first, none flipped.
    """
    if not axes:
        return (0, 1, 2) if slowest_first else (2, 1, 0), (False, False, False)
    stored = axis_codes(affine)
    world = [AXIS_OF_CODE[c] for c in stored]
    order = [world.index(AXIS_OF_CODE[c]) for c in axes]
    flip = [stored[o] != c for o, c in zip(order, axes, strict=True)]
    return (order[0], order[1], order[2]), (flip[0], flip[1], flip[2])
