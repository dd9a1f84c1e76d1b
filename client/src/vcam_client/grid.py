"""Lays a scan onto a model's grid, and the model's cells back onto the scan.

The model's grid follows the scan's own voxel axes (permuted and flipped to the
closest anatomical directions), so both ways are separable: along each tensor
axis, scan index = start + step · model index. In a scan whose axes are not
perpendicular, slices (and rows) lie shifted against the grid by a constant more
each. Going back, that map and the CAM geometry are composed and applied once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam_client import _bands
from vcam_client._axis_map import AxisMap
from vcam_client._cells import cells_on_scan
from vcam_client._frame import Frame
from vcam_client._orientation import to_axes
from vcam_client._resample import scan_on_model
from vcam_client._shear import Shear, shear_of
from vcam_client.errors import IncompatibleScanError
from vcam_client.spec import CamLayer, Fit, Grid, SliceAggregation
from vcam_client.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How one scan lies on a model's grid.

    Attributes:
        grid: the model's grid.
        order, flip: stored axis of each tensor axis, and whether it runs backwards.
        axes: the map along each of three tensor axes; along the sliced axis of a
            2-D model it is the identity.
        shear: how far slices and rows of the scan lie shifted.
    """

    grid: Grid
    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]
    axes: tuple[AxisMap, AxisMap, AxisMap]
    shear: Shear = field(default_factory=Shear)

    @property
    def seen_share(self) -> tuple[float, float, float]:
        """Share of the scan's extent that lies on the model's grid, along i, j and k."""
        shares = [1.0, 1.0, 1.0]
        for stored, axis in zip(self.order, self.axes, strict=True):
            shares[stored] = axis.seen_share
        return shares[0], shares[1], shares[2]

    @property
    def filled_share(self) -> float:
        """Share of the model's grid that lies in the scan."""
        return float(np.prod([axis.filled_share for axis in self.axes]))

    def to_model(
        self,
        data: NDArray[Any],
        dtype: DTypeLike = np.float32,
        *,
        padding: tuple[float, float] | None = None,
    ) -> NDArray[Any]:
        """Resamples a scan.

        Args:
            data: [I, J, K], physical values on the scan's grid.
            dtype: integers are rounded to nearest and saturated.
            padding: lowest and highest value that mean "not measured"
                (`Volume.padding`). Such voxels are left out: a model voxel is the mean
                of its real voxels, or the grid's padding value where these have less
                than half of its weight.

        Returns:
            [D, H, W] on the model's grid; [slices, H, W] for a 2-D model.

        Raises:
            IncompatibleScanError: a voxel is NaN or infinite.
        """
        if data.dtype.kind == "f":
            _require_finite(data)
        stored = data.transpose(self.order)
        return scan_on_model(stored, self._frame, self.grid, np.dtype(dtype), padding)

    def cells_on_scan(
        self, cells: NDArray[np.floating[Any]], layer: CamLayer
    ) -> Iterator[NDArray[np.float32]]:
        """Interpolates cells between their centres, one slice of the scan at a time.

        Args:
            cells: [*cells] of three tensor axes (see `stacked_layer`).
            layer: their geometry on the model's grid, three axes.

        Yields:
            float32 planes in tensor axes, along the stack axis of the shear: the first
            tensor axis where the scan has none. See `from_tensor_axes`.
        """
        frame = replace(self._frame, flip=(False, False, False))
        return cells_on_scan(cells.astype(np.float32), layer, frame)

    def map_on_scan(
        self,
        cells: NDArray[np.floating[Any]],
        layer: CamLayer,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """The same as one array [I, J, K] on the scan's grid; integers are rounded."""
        kind = np.dtype(dtype)
        out = np.empty(self._frame.sizes, kind)
        slices = cells_on_scan(cells.astype(np.float32), layer, self._frame)
        for plane, values in zip(out.transpose(self.shear.order), slices, strict=True):
            if kind.kind in "iu":
                np.rint(values, out=values)
            plane[:] = values
        return out.transpose(np.argsort(self.order))

    def cell_on_scan(self, cell: tuple[float, ...], layer: CamLayer) -> tuple[float, float, float]:
        """Scan index (i, j, k) of a cell's centre."""
        d, h, w = (
            axis.start + axis.step * (offset + stride * c)
            for axis, offset, stride, c in zip(
                self.axes, layer.offset, layer.stride, cell, strict=True
            )
        )
        index = [0.0, 0.0, 0.0]
        for t, scan in enumerate(self.shear.scan_index((d, h, w), self._frame.sizes)):
            index[self.order[t]] = self.axes[t].scan_size - 1 - scan if self.flip[t] else scan
        return index[0], index[1], index[2]

    def stacked_layer(self, layer: CamLayer) -> CamLayer:
        """The layer with three axes: the slices of a 2-D model are cells of their own."""
        if self.grid.ndim == 3:
            return layer
        return replace(
            layer,
            cells=(self.axes[0].model_size, *layer.cells),
            offset=(0.0, *layer.offset),
            stride=(1.0, *layer.stride),
            receptive_field=(1.0, *layer.receptive_field) if layer.receptive_field else (),
        )

    def from_tensor_axes(self, data: NDArray[Any]) -> NDArray[Any]:
        """A view [I, J, K] of an array in tensor axes on the scan's grid."""
        turn = tuple(slice(None, None, -1 if f else 1) for f in self.flip)
        return data[turn].transpose(np.argsort(self.order))

    @property
    def _frame(self) -> Frame:
        return Frame(axes=self.axes, shear=self.shear, flip=self.flip)


def place(
    volume: Volume, grid: Grid, slice_aggregation: SliceAggregation | None = None
) -> Placement:
    """Finds how a scan lies on a model's grid.

    Raises:
        IncompatibleScanError: a single slice for a 3-D model, several slices for a
            model of single images, or an unknown spacing for one that needs it.
    """
    order, flip = to_axes(volume.affine, grid.axes, slowest_first=volume.slowest_first)
    sizes = (volume.shape[order[0]], volume.shape[order[1]], volume.shape[order[2]])
    if grid.ndim == 3 and 1 in sizes:
        raise IncompatibleScanError(
            f"Expected a 3-D volume, received a single slice of {_by(volume.shape)} voxels. "
            "Give the whole series, or ask a 2-D model with --model."
        )
    if slice_aggregation is SliceAggregation.NONE and sizes[0] != 1:
        raise _not_one_image(volume, grid, sizes)
    if grid.fit is Fit.SPACING and not volume.spacing_known:
        raise IncompatibleScanError(
            f"The model takes {_by(grid.spacing_mm)} mm per pixel, {volume.name} does not state "
            "its spacing. State it in mm with --spacing."
        )
    columns = volume.affine[:3, :3][:, order] * np.where(flip, -1.0, 1.0)
    shear, spacing = shear_of(columns, slices_alone=grid.ndim == 2)
    extents = shear.extents(sizes)
    first = 3 - grid.ndim
    maps = [
        AxisMap(scan_size=sizes[0], model_size=sizes[0], start=0.0, step=1.0, extent=sizes[0])
    ] * first + [
        _axis_map(sizes[t], extents[t], spacing[t], grid, t - first) for t in range(first, 3)
    ]
    return Placement(
        grid=grid, order=order, flip=flip, axes=(maps[0], maps[1], maps[2]), shear=shear
    )


def to_model_grid(volume: Volume, grid: Grid, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A scan resampled onto a grid: [D, H, W], or [slices, H, W] for a 2-D grid.

    Training reads volumes through this, too: one implementation.
    """
    return place(volume, grid).to_model(volume.data, dtype, padding=volume.padding)


def cell_weights(voxels: int, cells: int, offset: float, stride: float) -> NDArray[np.float64]:
    """How the cells of a map make the voxels of the model's grid, along one axis.

    The exported graph and training interpolate maps with these weights, too: one implementation.

    Args:
        voxels: of the grid.
        cells, offset, stride: the centre of cell c is at voxel index offset + stride · c.

    Returns:
        float64 [voxels, cells]. A voxel up to half a cell beyond the outermost centres, the
        edge itself included, takes the outermost cell's value; further out it is 0.
    """
    return _bands.between_cells(np.arange(voxels), cells, offset, stride).matrix


def _axis_map(scan_size: int, extent: float, spacing: float, grid: Grid, grid_axis: int) -> AxisMap:
    model_size = grid.shape[grid_axis]
    if grid.fit is Fit.SPACING:
        step = grid.spacing_mm[grid_axis] / spacing
        start = (scan_size - 1) / 2 - step * (model_size - 1) / 2
    else:
        step = extent / model_size
        start = (step - 1) / 2 - (extent - scan_size) / 2
    return AxisMap(
        scan_size=scan_size, model_size=model_size, start=start, step=step, extent=extent
    )


def _require_finite(data: NDArray[Any]) -> None:
    slowest = max(range(data.ndim), key=lambda axis: abs(data.strides[axis]))
    planes = np.moveaxis(data, slowest, 0)
    bad = sum(plane.size - int(np.count_nonzero(np.isfinite(plane))) for plane in planes)
    if bad:
        raise IncompatibleScanError(
            f"Expected finite voxels, found {bad} that are NaN or infinite. State what they are "
            "with --nan VALUE (nan= in Python), such as that of air, or keep them out with "
            "--nan padding."
        )


def _not_one_image(
    volume: Volume, grid: Grid, sizes: tuple[int, int, int]
) -> IncompatibleScanError:
    if 1 in sizes and grid.axes:
        stored = zip(volume.orientation, volume.shape, strict=True)
        return IncompatibleScanError(
            f"Expected an image along {' and '.join(grid.axes[1:])}, received one along "
            f"{' and '.join(code for code, size in stored if size > 1)}. Give an image of the "
            "model's plane, or repair the orientation in the file."
        )
    return IncompatibleScanError(
        f"Expected a single image, received {sizes[0]} slices of {_by(sizes[1:])} voxels. "
        "Give one image, or ask a model for volumes with --model."
    )


def _by(sizes: tuple[float, ...]) -> str:
    return "×".join(f"{size:.9g}" for size in sizes)
