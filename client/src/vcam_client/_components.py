"""Connected components of the strong part of a map, from runs of voxels.

A run is a stretch of neighbours along the axis that is contiguous in memory. A smooth
map has few, so that components need neither an array of labels as large as four maps
nor SciPy, and a CT of 512×512×300 takes a fraction of a second.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Components of voxels that touch by faces, edges or corners, in no order.

    Attributes:
        voxels: int64 [N], how many voxels each has.
        peaks: uint8 [N], the largest value in each.
        lower, upper: int64 [N, 3], first and last index along i, j and k.
    """

    voxels: _Ints
    peaks: NDArray[np.uint8]
    lower: _Ints
    upper: _Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class _Runs:
    """Runs in the order in which they are stored: int64 [N] each, `stop` exclusive."""

    plane: _Ints
    row: _Ints
    start: _Ints
    stop: _Ints
    peak: NDArray[np.uint8]


def components(values: NDArray[np.uint8], level: int) -> Components:
    """Components of the voxels at or above a level.

    Args:
        values: uint8 [I, J, K], in any order in memory.
        level: 1 … 255.
    """
    order = sorted(range(3), key=lambda axis: -abs(values.strides[axis]))
    stored = values.transpose(order)
    runs = _runs(stored, level)
    of = _joined(runs, (stored.shape[1], stored.shape[2]))
    count = int(of.max(initial=-1)) + 1
    voxels = np.zeros(count, np.int64)
    np.add.at(voxels, of, runs.stop - runs.start)
    peaks = np.zeros(count, np.uint8)
    np.maximum.at(peaks, of, runs.peak)
    lower, upper = np.zeros((count, 3), np.int64), np.zeros((count, 3), np.int64)
    ends = ((runs.plane, runs.plane), (runs.row, runs.row), (runs.start, runs.stop - 1))
    for axis, (first, last) in zip(order, ends, strict=True):
        lower[:, axis] = values.shape[axis]
        np.minimum.at(lower[:, axis], of, first)
        np.maximum.at(upper[:, axis], of, last)
    return Components(voxels=voxels, peaks=peaks, lower=lower, upper=upper)


def _runs(stored: NDArray[np.uint8], level: int) -> _Runs:
    """Runs along the last axis, a plane of the first at a time."""
    rows, columns = stored.shape[1:]
    found: list[tuple[Any, ...]] = []
    edges = np.zeros((rows, columns + 2), bool)
    for number, plane in enumerate(stored):
        edges[:, 1:-1] = plane >= level
        if not edges.any():
            continue
        turns = np.flatnonzero(edges[:, 1:] != edges[:, :-1])
        row, start = np.divmod(turns[::2], columns + 1)
        stop = turns[1::2] % (columns + 1)
        bounds = np.stack([row * columns + start, row * columns + stop], axis=1).ravel()
        flat = np.append(plane.ravel(), np.uint8(0))  # reduceat takes no end beyond the last
        peak = np.maximum.reduceat(flat, bounds)[::2]
        found.append((np.full(len(row), number), row, start, stop, peak))
    if not found:
        none = np.zeros(0, np.int64)
        return _Runs(plane=none, row=none, start=none, stop=none, peak=none.astype(np.uint8))
    plane, row, start, stop, peak = (np.concatenate(part) for part in zip(*found, strict=True))
    return _Runs(plane=plane, row=row, start=start, stop=stop, peak=peak)


def _joined(runs: _Runs, size: tuple[int, int]) -> _Ints:
    """int64 [N]: the component of each run, numbered from 0."""
    rows, width = size[0] + 1, size[1] + 1  # an empty row between planes, no key twice
    line = runs.plane * rows + runs.row
    starts, stops = line * width + runs.start, line * width + runs.stop
    left, right = [], []
    for step in (1, rows - 1, rows, rows + 1):  # the lines that touch this one and come later
        first = np.searchsorted(stops, starts + step * width, "left")
        beyond = np.searchsorted(starts, stops + step * width, "right")
        many = np.maximum(beyond - first, 0)
        left.append(np.repeat(np.arange(len(line)), many))
        counted = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        right.append(np.repeat(first, many) + counted)
    return _numbered(np.concatenate(left), np.concatenate(right), len(line))


def _numbered(left: _Ints, right: _Ints, count: int) -> _Ints:
    """Components of a graph: each node takes the least number it reaches."""
    least = np.arange(count)
    while True:
        low = np.minimum(least[left], least[right])
        if (least[left] == low).all() and (least[right] == low).all():
            break
        # the number of a node's number, too: whole groups are joined at once
        for nodes in (least[left], least[right]):
            np.minimum.at(least, nodes, low)
        while (least[least] != least).any():
            least = least[least]
    return np.unique(least, return_inverse=True)[1].astype(np.int64)
