"""Resampling whole scans and maps, one slice of the scan at a time.

The order of floating-point operations follows tensor axes only: which axis a file
stores first, and which way it runs, changes where values are read, never how they
are added. Beside the scan there are only a few slices and arrays of the model's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._axis_map import AxisMap, Shift
from vcam_client._bands import Bands, mixed
from vcam_client._shear import Shear
from vcam_client.spec import CamLayer, Grid

_SLAB = 32
"""Slices copied at once from a file that stores slices interleaved: a cache line of int16."""

_COPIED_COLUMNS = 16
"""Columns copied at once there: a third of the time of a copy in one go, for sagittal storage."""

_SAMPLES = 8
"""Voxels along each axis, at least, of the sample that the origin of values comes from."""

_REAL_SHARE = 0.5 - 1e-6
"""Share of a model voxel's weight that real voxels must have; half, less rounding."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a stored scan lies along tensor axes.

    Attributes:
        axes: the map along each tensor axis.
        shear: how far slices and rows lie shifted.
        flip: whether each tensor axis runs against the stored one.
    """

    axes: tuple[AxisMap, AxisMap, AxisMap]
    shear: Shear
    flip: tuple[bool, bool, bool]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Voxels of the scan along each tensor axis."""
        return self.axes[0].scan_size, self.axes[1].scan_size, self.axes[2].scan_size


@dataclass(frozen=True, kw_only=True, eq=False)
class _InPlane:
    """The two maps within one slice: [rows, columns] in, [rows, columns] out."""

    rows: Bands
    columns: Bands

    def apply(self, plane: NDArray[Any], origin: np.float32 | None = None) -> NDArray[np.float32]:
        if self.columns.first.ndim > 1:  # rows of the input have maps of their own
            return self.rows.apply(self.columns.apply(plane, 1, origin), 0)
        return self.columns.apply(self.rows.apply(plane, 0, origin), 1)

    @property
    def coverage(self) -> NDArray[np.float32]:
        """float32 [rows, columns]: how much of each output comes from inside the slice."""
        if self.columns.first.ndim > 1:
            return self.rows.apply(self.columns.coverage, 0)
        return self.rows.coverage[:, None] * self.columns.coverage


def scan_on_model(
    stored: NDArray[Any], frame: Frame, grid: Grid, padding: tuple[float, float] | None
) -> NDArray[np.float32]:
    """A scan on a model's grid.

    Args:
        stored: finite values, tensor axes in stored direction.
        frame: how they lie.
        grid: resampling and padding value.
        padding: lowest and highest value that mean "not measured", or None.

    Returns:
        float32, tensor axes, of the model's size.
    """
    order = frame.shear.order
    stack, rows, columns = (frame.axes[t] for t in order)
    turn = [frame.flip[t] for t in order]
    fill = np.float32(grid.padding_value)
    origin = _origin(stored, frame.flip, padding, fill)
    through = stack.to_model(grid.resampling)
    uses: list[list[tuple[int, np.float32]]] = [[] for _ in range(stack.scan_size)]
    for m in range(stack.model_size):
        for n, weight in through.terms(m):
            uses[n].append((m, weight))

    size = (stack.model_size, rows.model_size, columns.model_size)
    total = np.zeros(size, np.float32)
    real = np.zeros(size if padding is not None else 0, np.float32)
    cover = np.zeros(size if frame.shear else 0, np.float32)
    within: _InPlane | None = None
    slices = stored.transpose(order)
    for n, plane in _slices(slices, turn[0], [bool(use) for use in uses]):
        if within is None or frame.shear:
            row_shift, column_shift = _shifts(frame, n)
            to_rows = rows.to_model(grid.resampling, row_shift)
            to_columns = columns.to_model(grid.resampling, column_shift)
            within = _InPlane(
                rows=replace(to_rows, backwards=turn[1]),
                columns=replace(to_columns, backwards=turn[2]),
            )
        if padding is None:
            values = within.apply(plane, origin)
        else:
            measured = (plane < padding[0]) | (plane > padding[1])
            above = plane.astype(np.float32) - origin
            values = within.apply(above * measured)
            share = within.apply(measured)
        covered = within.coverage if frame.shear else None
        for m, weight in uses[n]:
            total[m] += weight * values
            if padding is not None:
                real[m] += weight * share
            if covered is not None:
                cover[m] += weight * covered
    if not frame.shear:
        if within is None:  # nothing of the scan lies on the grid
            return np.full([axis.model_size for axis in frame.axes], fill)
        cover = through.coverage[:, None, None] * within.coverage
    result = _composed(total, cover, real if padding is not None else None, origin, fill)
    return result.transpose(np.argsort(order))


def _composed(
    total: NDArray[np.float32],
    cover: NDArray[np.float32],
    real: NDArray[np.float32] | None,
    origin: np.float32,
    fill: np.float32,
) -> NDArray[np.float32]:
    """Sums above the origin as values; what is outside the scan or not measured as `fill`.

    Without `real`, total + origin · cover + fill · (1 - cover), so that a constant scan
    keeps its value to the bit.
    """
    whole = bool((cover == 1).all())
    base = origin if whole else origin * cover + fill * (1 - cover)
    if real is None:
        return np.add(total, base, out=total)
    known = (real >= _REAL_SHARE * cover) & (real > 0)
    np.multiply(total, cover / np.where(known, real, 1), out=total)
    return np.where(known, total + base, fill)


def _origin(
    stored: NDArray[Any],
    flip: Sequence[bool],
    padding: tuple[float, float] | None,
    fill: np.float32,
) -> np.float32:
    """A middling real value of the scan: sums are taken above it.

    So a constant gives sums of zeros, and float32 loses nothing of small differences
    between large values.
    """
    turn = tuple(slice(None, None, -1 if f else 1) for f in flip)
    steps = tuple(slice(None, None, max(1, n // _SAMPLES)) for n in stored.shape)
    sample = stored[turn][steps].ravel()
    if padding is not None:
        sample = sample[(sample < padding[0]) | (sample > padding[1])]
    if not sample.size:
        return fill
    return np.float32(np.partition(sample, sample.size // 2)[sample.size // 2])


def _slices(
    slices: NDArray[Any], backwards: bool, wanted: Sequence[bool]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """The wanted slices in order, their index along the tensor axis with them.

    A contiguous array each: where a file interleaves slices, a slab of them is copied at once.
    """
    for start in range(0, len(slices), _SLAB):
        stop = min(start + _SLAB, len(slices))
        numbers = [n for n in range(start, stop) if wanted[n]]
        if not numbers:
            continue
        low, high = (len(slices) - stop, len(slices) - start) if backwards else (start, stop)
        slab = _contiguous(slices[low:high])
        for n in numbers:
            yield n, slab[stop - 1 - n if backwards else n - start]


def _contiguous(slab: NDArray[Any]) -> NDArray[Any]:
    """[slices, rows, columns] in this order; copied where it is not, by blocks that caches hold."""
    if slab.flags.c_contiguous:
        return slab
    out = np.empty(slab.shape, slab.dtype)
    for start in range(0, slab.shape[2], _COPIED_COLUMNS):
        block = slice(start, start + _COPIED_COLUMNS)
        out[..., block] = slab[..., block]
    return out


def cells_on_scan(
    cells: NDArray[np.float32], layer: CamLayer, frame: Frame
) -> Iterator[NDArray[np.float32]]:
    """Cells interpolated between their centres, one slice of the scan at a time.

    Args:
        cells: float32, tensor axes.
        layer: their geometry on the model's grid, three axes.
        frame: how the scan lies; rows and columns come in stored direction, and so do slices.

    Yields:
        float32 [rows, columns] of each slice along the stack axis of the shear.
    """
    order = frame.shear.order
    stack, rows, columns = (frame.axes[t] for t in order)
    along_stack, along_rows, along_columns = (
        (layer.cells[t], layer.offset[t], layer.stride[t]) for t in order
    )
    turn = [frame.flip[t] for t in order]
    planes = cells.transpose(order)
    through = stack.to_scan(*along_stack)

    def spread(plane: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """A plane of cells on slice n."""
        row_shift, column_shift = _shifts(frame, n)
        to_rows = _outputs(rows.to_scan(*along_rows, row_shift), turn[1])
        to_columns = _outputs(columns.to_scan(*along_columns, column_shift), turn[2])
        return to_columns.apply(to_rows.apply(plane, 0), 1)

    numbers = range(stack.scan_size)
    slice_size = (rows.scan_size, columns.scan_size)
    ready: dict[int, NDArray[np.float32]] = {}
    for n in reversed(numbers) if turn[0] else numbers:
        if frame.shear:
            yield spread(through.row(planes, n), n)
            continue
        # without shear a plane of cells lies alike on all slices: it is spread once
        terms = through.terms(n)
        ready = {c: ready[c] if c in ready else spread(planes[c], n) for c, _ in terms}
        yield mixed(terms, ready) if terms else np.zeros(slice_size, np.float32)


def _outputs(bands: Bands, backwards: bool) -> Bands:
    return bands.outputs_reversed() if backwards else bands


def _shifts(frame: Frame, n: int) -> tuple[Shift, Shift]:
    """The shifts of slice n, those of single rows in the order in which rows are stored."""
    rows, columns = frame.shear.shifts(n, frame.sizes)
    if frame.flip[frame.shear.order[1]] and isinstance(columns, np.ndarray):
        columns = columns[::-1]
    return rows, columns
