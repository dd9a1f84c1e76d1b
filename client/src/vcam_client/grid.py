"""Lays a scan onto a model's grid, and the model's cells back onto the scan.

The model's grid follows the scan's own voxel axes (permuted and flipped to the
closest anatomical directions), so both ways are separable: along each tensor
axis, scan index = start + step · model index. Going back, that map and the
CAM geometry are composed and applied once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam_client import _bands
from vcam_client._orientation import to_axes
from vcam_client.errors import IncompatibleScanError
from vcam_client.spec import CamLayer, Fit, Grid, Resampling, SliceAggregation
from vcam_client.volume import Volume


@dataclass(frozen=True, kw_only=True)
class AxisMap:
    """One tensor axis: scan index = start + step · model index.

    Attributes:
        scan_size, model_size: voxels along the axis in the scan and the model.
        start, step: scan voxels.
    """

    scan_size: int
    model_size: int
    start: float
    step: float

    def to_model(self, resampling: Resampling) -> _bands.Bands:
        """Weights from scan voxels to model voxels."""
        centres = self.start + self.step * np.arange(self.model_size)
        if resampling is Resampling.AREA and self.step > 1:
            return _bands.box_average(centres, self.step, self.scan_size)
        return _bands.linear(centres, self.scan_size)

    def to_scan(self, cells: int, offset: float, stride: float) -> _bands.Bands:
        """Weights from cells, centred at model index offset + stride · c, to scan voxels.

        Zero where the model never saw the scan, and more than half a cell
        beyond the outermost centres.
        """
        model = (np.arange(self.scan_size) - self.start) / self.step
        bands = _bands.linear((model - offset) / stride, cells)
        seen = np.abs(model - (self.model_size - 1) / 2) <= self.model_size / 2 + 1e-9
        return replace(bands, weights=bands.weights * seen[:, None].astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How one scan lies on a model's grid.

    Attributes:
        grid: the model's grid.
        order, flip: stored axis of each tensor axis, and whether it runs backwards.
        axes: the map along each of three tensor axes; along the sliced axis of a
            2-D model it is the identity.
    """

    grid: Grid
    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]
    axes: tuple[AxisMap, AxisMap, AxisMap]

    @property
    def seen_share(self) -> tuple[float, float, float]:
        """Share of the scan's extent that lies on the model's grid, along i, j and k."""
        shares = [1.0, 1.0, 1.0]
        for stored, axis in zip(self.order, self.axes, strict=True):
            shares[stored] = min(1.0, axis.model_size * axis.step / axis.scan_size)
        return shares[0], shares[1], shares[2]

    def to_model(self, data: NDArray[Any], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Resamples a scan.

        Args:
            data: [I, J, K], physical values on the scan's grid.
            dtype: integers are rounded to nearest and saturated.

        Returns:
            [D, H, W] on the model's grid; [slices, H, W] for a 2-D model.

        Raises:
            IncompatibleScanError: a voxel is NaN or infinite.
        """
        view = self._to_tensor_axes(data)
        if view.dtype.kind == "f":
            _require_finite(view)
        resampling = self.grid.resampling
        bands = [axis.to_model(resampling) for axis in self.axes]
        out = np.empty((self.axes[0].model_size, *view.shape[1:]), np.float32)
        for n in range(out.shape[0]):
            out[n] = bands[0].row(view, n)
        out = bands[2].apply(bands[1].apply(out, 1), 2)
        out = self._pad(out, bands)
        return _cast(out, np.dtype(dtype))

    def _pad(self, out: NDArray[np.float32], bands: list[_bands.Bands]) -> NDArray[np.float32]:
        cover = [b.coverage for b in bands]
        padding = np.float32(self.grid.padding_value)
        if padding == 0 or all((c > 1 - 1e-6).all() for c in cover):
            return out
        outside = 1 - cover[0][:, None, None] * cover[1][:, None] * cover[2]
        padded: NDArray[np.float32] = out + padding * outside
        return padded

    def cells_on_scan(
        self, cells: NDArray[np.floating[Any]], layer: CamLayer
    ) -> Iterator[NDArray[np.float32]]:
        """Interpolates cells between their centres, one plane of the scan at a time.

        Args:
            cells: [*cells] of three tensor axes (see `stacked_layer`).
            layer: their geometry on the model's grid, three axes.

        Yields:
            float32 planes in tensor axes, along the first; their order and axes
            are those of `from_tensor_axes`.
        """
        bands = [
            axis.to_scan(n, offset, stride)
            for axis, n, offset, stride in zip(
                self.axes, layer.cells, layer.offset, layer.stride, strict=True
            )
        ]
        along = bands[2].apply(bands[1].apply(cells.astype(np.float32), 1), 2)
        for n in range(self.axes[0].scan_size):
            yield bands[0].row(along, n)

    def cell_on_scan(self, cell: tuple[float, ...], layer: CamLayer) -> tuple[float, float, float]:
        """Scan index (i, j, k) of a cell's centre."""
        index = [0.0, 0.0, 0.0]
        for t, axis in enumerate(self.axes):
            scan = axis.start + axis.step * (layer.offset[t] + layer.stride[t] * cell[t])
            index[self.order[t]] = axis.scan_size - 1 - scan if self.flip[t] else scan
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
        inverse = np.argsort(self.order)
        return self._flipped(data).transpose(*inverse)

    def _to_tensor_axes(self, data: NDArray[Any]) -> NDArray[Any]:
        return self._flipped(data.transpose(*self.order))

    def _flipped(self, data: NDArray[Any]) -> NDArray[Any]:
        return data[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]


def place(
    volume: Volume, grid: Grid, slice_aggregation: SliceAggregation | None = None
) -> Placement:
    """Finds how a scan lies on a model's grid.

    Raises:
        IncompatibleScanError: a single slice for a 3-D model, or several slices
            for a model of single images.
    """
    order, flip = to_axes(volume.affine, grid.axes)
    sizes = [volume.shape[o] for o in order]
    spacing = [volume.spacing[o] for o in order]
    if grid.ndim == 3:
        if 1 in volume.shape:
            raise IncompatibleScanError(
                f"Expected a 3-D volume, received a single slice of {_by(volume.shape)} voxels. "
                "Give the whole series (a DICOM folder or a 3-D NIfTI file), or ask a 2-D model "
                "with --model."
            )
        maps = [_axis_map(sizes[t], t, spacing[t], grid) for t in range(3)]
    else:
        if slice_aggregation is SliceAggregation.NONE and sizes[0] != 1:
            raise _not_one_image(volume, grid, sizes)
        through = AxisMap(scan_size=sizes[0], model_size=sizes[0], start=0.0, step=1.0)
        inplane = [_axis_map(sizes[t + 1], t, spacing[t + 1], grid) for t in range(2)]
        maps = [through, *inplane]
    return Placement(grid=grid, order=order, flip=flip, axes=(maps[0], maps[1], maps[2]))


def to_model_grid(volume: Volume, grid: Grid, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A scan resampled onto a grid: [D, H, W], or [slices, H, W] for a 2-D grid.

    Training reads volumes through this, too: one implementation.
    """
    return place(volume, grid).to_model(volume.data, dtype)


def _axis_map(scan_size: int, tensor_axis: int, spacing: float, grid: Grid) -> AxisMap:
    model_size = grid.shape[tensor_axis]
    if grid.fit is Fit.SPACING:
        step = grid.spacing_mm[tensor_axis] / spacing
        start = (scan_size - 1) / 2 - step * (model_size - 1) / 2
    else:
        step = scan_size / model_size
        start = (step - 1) / 2
    return AxisMap(scan_size=scan_size, model_size=model_size, start=start, step=step)


def _require_finite(data: NDArray[Any]) -> None:
    bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in data)
    if bad:
        raise IncompatibleScanError(
            f"Expected finite voxels, found {bad} that are NaN or infinite. Replace them by the "
            "value of air or background before asking a model."
        )


def _cast(data: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        data = np.clip(np.rint(data), limits.min, limits.max)
    return np.ascontiguousarray(data, dtype)


def _not_one_image(volume: Volume, grid: Grid, sizes: list[int]) -> IncompatibleScanError:
    if 1 in sizes and grid.axes:
        stored = zip(volume.orientation, volume.shape, strict=True)
        return IncompatibleScanError(
            f"Expected an image along {' and '.join(grid.axes[1:])}, received one along "
            f"{' and '.join(code for code, size in stored if size > 1)}. Give an image of the "
            "model's plane, or repair the orientation in the file."
        )
    return IncompatibleScanError(
        f"Expected a single image, received {sizes[0]} slices of {_by(tuple(sizes[1:]))} voxels. "
        "Give one image, or ask a model for volumes with --model."
    )


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
