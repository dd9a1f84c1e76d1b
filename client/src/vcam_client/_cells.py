"""Interpolating a map's cells onto a scan, one slice of the scan at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vcam_client._bands import Bands, mixed
from vcam_client._frame import Frame
from vcam_client.spec import CamLayer


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
        row_shift, column_shift = frame.shifts(n)
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
