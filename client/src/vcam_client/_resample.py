"""Resampling a scan onto a model's grid, a few slices at a time.

The order of floating-point operations follows tensor axes only: which axis a file
stores first, and which way it runs, changes where values are read, never how they
are added. Beside the scan there are only a few slices and arrays of the model's size.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._bands import Bands, Terms, rounded_to_one
from vcam_client._frame import Frame
from vcam_client.spec import Grid

_Plane = NDArray[np.floating[Any]]

_SLAB = 32
"""Slices copied at once from a file that stores slices interleaved: a cache line of int16."""

_THREADS = min(4, os.cpu_count() or 1)
"""Threads that add slices up: with two, area averages of a large CT take half the time."""

_COPIED_COLUMNS = 16
"""Columns copied at once there: a third of the time of a copy in one go, for sagittal storage."""

_BLOCK_VOXELS = 2**17
"""Voxels added up at once: their sum and the next slice, float32, fill one megabyte."""

_REAL_SHARE = 0.5 - 1e-6
"""Share of a model voxel's weight that real voxels must have; half, less rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _InPlane:
    """The two maps within one slice: [rows, columns] in, [rows, columns] out."""

    rows: Bands
    columns: Bands

    def apply(self, plane: _Plane) -> _Plane:
        if self.columns.first.ndim > 1:  # rows of the input have maps of their own
            return self.rows.apply(self.columns.apply(plane, 1), 0)
        return self.columns.apply(self.rows.apply(plane, 0), 1)

    @property
    def coverage(self) -> _Plane:
        """float32 [rows, columns]: how much of each output comes from inside the slice."""
        if self.columns.first.ndim > 1:
            return self.rows.apply(self.columns.coverage, 0)
        return self.rows.coverage[:, None] * self.columns.coverage


def scan_on_model(
    stored: NDArray[Any],
    frame: Frame,
    grid: Grid,
    dtype: np.dtype[Any],
    padding: tuple[float, float] | None,
) -> NDArray[Any]:
    """A scan on a model's grid.

    Args:
        stored: finite values, tensor axes in stored direction.
        frame: how they lie.
        grid: resampling and padding value.
        dtype: of the result; integers are rounded to nearest and saturated.
        padding: lowest and highest value that mean "not measured", or None.

    Returns:
        Tensor axes, of the model's size.
    """
    order = frame.shear.order
    stack, rows, columns = (frame.axes[t] for t in order)
    fill = np.float32(grid.padding_value)
    rounded = dtype.kind in "iu"
    # a float32 has the digits of 16-bit numbers and their sums, not those of wider ones
    small = rounded and dtype.itemsize <= 2
    values = _Values(padding=padding, dtype=np.dtype(np.float32 if small else np.float64))
    through = stack.to_model(grid.resampling)
    size = (stack.model_size, rows.model_size, columns.model_size)
    sums = [np.zeros(size, values.dtype) for _ in range(values.count)]
    slices = stored.transpose(order)
    if frame.shear:
        cover = _add_sheared(slices, frame, grid, values, through, sums)
    else:
        within = _within(frame, grid, 0)
        cover = through.coverage[:, None, None] * within.coverage
        _add_straight(slices, frame, values, through, within, sums)
    result = _composed(sums, rounded_to_one(cover), fill).transpose(np.argsort(order))
    if rounded:
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return np.ascontiguousarray(result, dtype)


@dataclass(frozen=True, kw_only=True)
class _Values:
    """What is added up of a slice.

    Attributes:
        padding: lowest and highest value that mean "not measured", or None.
        dtype: what it is added up in. Sums in float64 give a constant, or a voxel that
            is not resampled, the same float32 back; for integers rounding does.
    """

    padding: tuple[float, float] | None
    dtype: np.dtype[Any]

    @property
    def count(self) -> int:
        """How many sums there are."""
        return 1 if self.padding is None else 2

    def of(self, plane: NDArray[Any]) -> list[_Plane]:
        """The values; with padding those of real voxels and 0, and which are real."""
        values = plane.astype(self.dtype)
        if self.padding is None:
            return [values]
        real = ((plane < self.padding[0]) | (plane > self.padding[1])).astype(self.dtype)
        values *= real
        return [values, real]


def _add_straight(
    slices: NDArray[Any],
    frame: Frame,
    values: _Values,
    through: Bands,
    within: _InPlane,
    sums: list[_Plane],
) -> None:
    """Adds slices up to planes of the model, then resamples these: few, large, plain sums."""
    terms = [through.terms(m) for m in range(len(sums[0]))]
    together = max(1, int(_SLAB / frame.axes[0].step))

    def add(low: int) -> None:
        chosen = [m for m in range(low, min(low + together, len(terms))) if terms[m]]
        numbers = [n for m in chosen for n, _ in terms[m]]
        if not numbers:
            return
        start = min(numbers)
        slab = _slab(slices, start, max(numbers) + 1, frame.flip[0])
        for m in chosen:
            planes = _added(slab, [(n - start, weight) for n, weight in terms[m]], values)
            for target, plane in zip(sums, planes, strict=True):
                target[m] = within.apply(plane)

    # no two threads write to the same plane, and each plane is added up in one order
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(add, range(0, len(terms), together)))


def _added(slab: NDArray[Any], terms: Terms, values: _Values) -> list[_Plane]:
    """Weighted sums of the slices of a slab, by blocks of rows that stay in a cache."""
    planes = [np.empty(slab.shape[1:], values.dtype) for _ in range(values.count)]
    height = max(1, _BLOCK_VOXELS // slab.shape[2])
    for low in range(0, slab.shape[1], height):
        rows = slice(low, low + height)
        sums: list[_Plane] = []
        for n, weight in terms:
            parts = values.of(slab[n, rows])
            for part in parts:
                part *= weight
            sums = [np.add(s, part, out=s) for s, part in zip(sums, parts, strict=False)] or parts
        for plane, block in zip(planes, sums, strict=True):
            plane[rows] = block
    return planes


def _add_sheared(
    slices: NDArray[Any],
    frame: Frame,
    grid: Grid,
    values: _Values,
    through: Bands,
    sums: list[_Plane],
) -> _Plane:
    """Resamples each slice in its own place, then adds it to planes of the model.

    Returns:
        float32: how much of each model voxel comes from inside the scan.
    """
    cover = np.zeros(sums[0].shape, np.float32)
    uses: list[Terms] = [[] for _ in slices]
    for m in range(len(cover)):
        for n, weight in through.terms(m):
            uses[n].append((m, weight))
    for start in range(0, len(slices), _SLAB):
        stop = min(start + _SLAB, len(slices))
        slab = _slab(slices, start, stop, frame.flip[frame.shear.order[0]])
        for n in (n for n in range(start, stop) if uses[n]):
            within = _within(frame, grid, n)
            parts = [within.apply(part) for part in values.of(slab[n - start])]
            for target, part in zip([*sums, cover], [*parts, within.coverage], strict=True):
                for m, weight in uses[n]:
                    target[m] += weight * part
    return cover


def _within(frame: Frame, grid: Grid, n: int) -> _InPlane:
    """From slice n, as it is stored, to the model."""
    _, rows, columns = frame.shear.order
    row_shift, column_shift = frame.shifts(n)
    to_rows = frame.axes[rows].to_model(grid.resampling, row_shift)
    to_columns = frame.axes[columns].to_model(grid.resampling, column_shift)
    return _InPlane(
        rows=replace(to_rows, backwards=frame.flip[rows]),
        columns=replace(to_columns, backwards=frame.flip[columns]),
    )


def _composed(sums: list[_Plane], cover: _Plane, fill: np.float32) -> _Plane:
    """Sums as values; what is outside the scan or not measured as `fill`."""
    total, *real = sums
    outside: Any = 0 if bool((cover == 1).all()) else fill * (1 - cover)
    if not real:
        total += outside
        return total
    known = (real[0] >= _REAL_SHARE * cover) & (real[0] > 0)
    np.multiply(total, cover / np.where(known, real[0], 1), out=total)
    return np.where(known, total + outside, fill)


def _slab(slices: NDArray[Any], start: int, stop: int, backwards: bool) -> NDArray[Any]:
    """Slices start … stop - 1 along the tensor axis, a contiguous array each."""
    if backwards:
        return _contiguous(slices[len(slices) - stop : len(slices) - start])[::-1]
    return _contiguous(slices[start:stop])


def _contiguous(slab: NDArray[Any]) -> NDArray[Any]:
    """[slices, rows, columns] in this order; copied where it is not, by blocks that caches hold."""
    if slab.flags.c_contiguous:
        return slab
    out = np.empty(slab.shape, slab.dtype)
    for start in range(0, slab.shape[2], _COPIED_COLUMNS):
        block = slice(start, start + _COPIED_COLUMNS)
        out[..., block] = slab[..., block]
    return out
