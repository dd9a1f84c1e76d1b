"""Separable linear maps in banded form: every output is a weighted sum of a few inputs.

Resampling along an axis, box averages and the upsampling of cells are all such
maps, so one routine applies them. Results don't depend on the memory layout of
the input: the same values in another storage order give the same bits. So there
is no matrix product here: BLAS adds in an order of its own, and its threads wait
for each other wherever cores are busy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGE = 1e-9
"""Slack, in voxels or cells, for positions that rounding puts just beyond an edge: what is on
the edge is inside. Every check of whether a position is inside uses this one."""

Terms = list[tuple[int, float]]
"""Inputs of one output, with their weights."""

_ROUNDING = 1e-6
"""Share of a weight that float32 may lose when weights are added."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bands:
    """Weights of one axis.

    Attributes:
        first: int [..., N], first input of each output. With two axes, [R, N], each
            of R rows has weights of its own.
        weights: float64 [..., N, T], weights of inputs first … first + T - 1. Those of
            an output that sum to less than one lie partly outside the input.
        size: number of inputs; first + T may pass it only with zero weights.
        backwards: the inputs are stored in the opposite order.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float64]
    size: int
    backwards: bool = False

    @property
    def coverage(self) -> NDArray[np.float32]:
        """float32 [..., N]: how much of each output comes from inside the input."""
        return rounded_to_one(self.weights.sum(axis=-1)).astype(np.float32)

    def inputs(self, tap: int) -> NDArray[np.intp]:
        """int [..., N]: where input first + tap of each output is stored."""
        index: NDArray[np.intp] = np.minimum(self.first + tap, self.size - 1)
        return self.size - 1 - index if self.backwards else index

    def outputs_reversed(self) -> "Bands":
        """The same map with its outputs in the opposite order."""
        return replace(self, first=self.first[..., ::-1], weights=self.weights[..., ::-1, :])

    def apply(self, data: NDArray[Any], axis: int) -> NDArray[np.floating[Any]]:
        """Weighted sums of `data` along one axis.

        Args:
            data: any shape with `size` entries along `axis`; not changed. [R, size]
                and axis 1 where rows have weights of their own.
            axis: which axis.

        Returns:
            `axis` of length N; float64 where `data` is, else float32.
        """
        kind = np.float64 if data.dtype == np.float64 else np.float32
        along_rows = self.first.ndim > 1
        broadcast = [1] * data.ndim
        broadcast[axis] = -1
        out: NDArray[np.floating[Any]] | None = None
        for tap in range(self.weights.shape[-1]):
            index, weights = self.inputs(tap), self.weights[..., tap].astype(kind)
            if along_rows:
                part = np.take_along_axis(data, index, axis)
            else:
                part = data.take(index, axis, mode="clip")
                weights = weights.reshape(broadcast)
            part = part.astype(kind, copy=False)  # taken, so it is ours to change
            part *= weights
            out = part if out is None else np.add(out, part, out=out)
        assert out is not None
        return out

    @property
    def matrix(self) -> NDArray[np.float64]:
        """float64 [N, size]: the weight of each input in each output; one axis alone."""
        dense = np.zeros((len(self.first), self.size))
        for tap in range(self.weights.shape[-1]):
            np.add.at(dense, (np.arange(len(dense)), self.inputs(tap)), self.weights[:, tap])
        return dense

    def terms(self, n: int) -> Terms:
        """Inputs and weights of output `n`, those without weight left out."""
        first = int(self.first[n])
        return [(first + tap, float(w)) for tap, w in enumerate(self.weights[n]) if w]

    def row(self, data: NDArray[Any], n: int) -> NDArray[np.float32]:
        """Output `n` along axis 0 alone: float32 [*data.shape[1:]]."""
        terms = self.terms(n)
        return mixed(terms, data) if terms else np.zeros(data.shape[1:], np.float32)


def mixed(terms: Terms, planes: NDArray[Any] | Mapping[int, NDArray[Any]]) -> NDArray[np.float32]:
    """float32: the weighted sum of at least one plane."""
    (first, weight), *others = terms
    out = planes[first].astype(np.float32)
    out *= weight
    for n, weight in others:
        out += weight * planes[n].astype(np.float32, copy=False)
    return out


def rounded_to_one(coverage: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Coverage with what rounding took from (or added to) one put back."""
    return np.where(np.abs(coverage - 1) < _ROUNDING, 1, coverage)


def linear(positions: NDArray[np.floating[Any]], size: int) -> Bands:
    """Linear interpolation at input positions [..., N] (voxel centres at 0 … size - 1).

    Up to half a voxel beyond the outermost centres the edge value holds;
    further out all weights are zero.
    """
    inside = (positions >= -0.5 - EDGE) & (positions <= size - 0.5 + EDGE)
    clamped = np.clip(positions, 0, size - 1)
    first = np.clip(np.floor(clamped), 0, max(size - 2, 0)).astype(np.intp)
    upper = clamped - first
    weights = np.stack([1 - upper, upper], axis=-1) * inside[..., None]
    if size == 1:
        weights = weights[..., :1]
    return Bands(first=first, weights=weights, size=size)


def between_cells(index: NDArray[Any], cells: int, offset: float, stride: float) -> Bands:
    """Linear interpolation between cell centres: the rule of every map, in the graph and here.

    Up to half a cell beyond the outermost centres, the edge itself included, the value of the
    outermost cell holds; further out all weights are zero.

    Args:
        index: [..., N], positions on the model's grid, in voxels.
        cells: how many there are along the axis.
        offset, stride: the centre of cell c is at index offset + stride · c.
    """
    return linear((index - offset) / stride, cells)


def box_average(centres: NDArray[np.floating[Any]], width: float, size: int) -> Bands:
    """Averages of boxes [centre - width/2, centre + width/2], input voxels one wide.

    Args:
        centres: [..., N], in input voxels.
        width: in input voxels.
        size: number of inputs.
    """
    low = np.clip(centres - width / 2, -0.5, size - 0.5)
    high = np.clip(centres + width / 2, -0.5, size - 0.5)
    first = np.clip(np.floor(low + 0.5 + EDGE), 0, size - 1).astype(np.intp)
    last = np.clip(np.ceil(high - 0.5 - EDGE), 0, size - 1).astype(np.intp)
    taps = np.arange(int((last - first).max(initial=0)) + 1)
    voxel = first[..., None] + taps
    overlap = np.minimum(high[..., None], voxel + 0.5) - np.maximum(low[..., None], voxel - 0.5)
    weights = np.clip(overlap, 0, None) / width * (voxel < size)
    return Bands(first=first, weights=weights, size=size)
