"""Values for hidden voxels that go on from what lies around them."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTHING = 4
"""Rounds of averaging with neighbours at each resolution."""


def inpainted(values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """An array whose unknown voxels go on smoothly from the known ones.

    Unknown voxels take the mean of the known ones around them, coarse to fine: at each
    resolution what the next coarser one says, then averaged with their neighbours.

    Args:
        values: of any number of axes.
        known: which of them count; none known gives zeros.

    Returns:
        float64, known values as they are.
    """
    plain = np.where(known, values, 0).astype(np.float64)
    if known.all() or not known.any():
        return plain
    coarse, weight = _halved(plain), _halved(known.astype(np.float64))
    mean = np.divide(coarse, weight, out=np.zeros_like(coarse), where=weight > 0)
    filled = _doubled(inpainted(mean, weight > 0), values.shape)
    filled[known] = plain[known]
    for _ in range(_SMOOTHING):
        filled = np.where(known, plain, _neighbours(filled))
    return filled


def _halved(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over blocks of 2 along each axis; the last block may be smaller."""
    for axis, size in enumerate(values.shape):
        values = np.add.reduceat(values, np.arange(0, size, 2), axis=axis)
    return values


def _doubled(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    for axis in range(values.ndim):
        values = np.repeat(values, 2, axis=axis)
    return values[tuple(slice(0, n) for n in shape)]


def _neighbours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the neighbours along each axis; beyond the border the border itself."""
    padded = np.pad(values, 1, mode="edge")
    total = np.zeros_like(values)
    for axis, step in itertools.product(range(values.ndim), (0, 2)):
        at = [slice(1, -1)] * values.ndim
        at[axis] = slice(step, step + values.shape[axis])
        total += padded[tuple(at)]
    return total / (2 * values.ndim)
