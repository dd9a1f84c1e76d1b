"""Separable linear maps in banded form: every output is a weighted sum of a few inputs.

Resampling along an axis, box averages and the upsampling of cells are all such
maps, so one routine applies them. Results don't depend on the memory layout of
the input: the same values in another storage order give the same bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EDGE = 1e-9
"""Slack, in voxels, for positions that rounding puts just beyond an edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bands:
    """Weights of one axis.

    Attributes:
        first: int [N], first input of each output.
        weights: float32 [N, T], weights of inputs first … first + T - 1. A row
            that sums to less than one lies partly outside the input.
        size: number of inputs; first + T may pass it only with zero weights.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float32]
    size: int

    @property
    def coverage(self) -> NDArray[np.float32]:
        """float32 [N]: how much of each output comes from inside the input."""
        total: NDArray[np.float32] = self.weights.sum(axis=1, dtype=np.float32)
        return total

    def apply(self, data: NDArray[Any], axis: int) -> NDArray[np.float32]:
        """float32 array with `axis` of length N; `data` is not changed."""
        out: NDArray[np.float32] | None = None
        broadcast = [1] * data.ndim
        broadcast[axis] = -1
        for tap in range(self.weights.shape[1]):
            index = np.minimum(self.first + tap, self.size - 1)
            part = np.take(data, index, axis=axis).astype(np.float32, copy=False)
            part = part * self.weights[:, tap].reshape(broadcast)
            out = part if out is None else np.add(out, part, out=out)
        assert out is not None
        return out

    def row(self, data: NDArray[Any], n: int) -> NDArray[np.float32]:
        """Output `n` along axis 0 alone: float32 [*data.shape[1:]]."""
        out = np.zeros(data.shape[1:], np.float32)
        for tap, weight in enumerate(self.weights[n]):
            if weight:
                out += weight * data[self.first[n] + tap].astype(np.float32, copy=False)
        return out


def linear(positions: NDArray[np.floating[Any]], size: int) -> Bands:
    """Linear interpolation at input positions (voxel centres at 0 … size - 1).

    Up to half a voxel beyond the outermost centres the edge value holds;
    further out all weights are zero.
    """
    inside = (positions >= -0.5 - _EDGE) & (positions <= size - 0.5 + _EDGE)
    clamped = np.clip(positions, 0, size - 1)
    first = np.clip(np.floor(clamped), 0, max(size - 2, 0)).astype(np.intp)
    upper = clamped - first
    weights = np.stack([1 - upper, upper], axis=1) * inside[:, None]
    if size == 1:
        weights = weights[:, :1]
    return Bands(first=first, weights=weights.astype(np.float32), size=size)


def box_average(centres: NDArray[np.floating[Any]], width: float, size: int) -> Bands:
    """Averages of boxes [centre - width/2, centre + width/2], input voxels one wide."""
    low = np.clip(centres - width / 2, -0.5, size - 0.5)
    high = np.clip(centres + width / 2, -0.5, size - 0.5)
    first = np.clip(np.floor(low + 0.5 + _EDGE), 0, size - 1).astype(np.intp)
    last = np.clip(np.ceil(high - 0.5 - _EDGE), 0, size - 1).astype(np.intp)
    taps = np.arange(int((last - first).max(initial=0)) + 1)
    voxel = first[:, None] + taps
    overlap = np.minimum(high[:, None], voxel + 0.5) - np.maximum(low[:, None], voxel - 0.5)
    weights = np.clip(overlap, 0, None) / width * (voxel < size)
    return Bands(first=first, weights=weights.astype(np.float32), size=size)
