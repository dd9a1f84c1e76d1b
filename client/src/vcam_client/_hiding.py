"""What is hidden of a scan on a model's grid: regions, blocks, and a shape moved elsewhere.

Arrays have three tensor axes of the model's grid; the slices of a 2-D model come first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._inpaint import inpainted
from vcam_client.grid import Placement
from vcam_client.spec import CamLayer
from vcam_client.volume import Volume

_Mask = NDArray[np.bool_]
_Box = tuple[slice, slice, slice]

_MEASURED_SHARE = 0.5
"""Share of a model voxel that must come from voxels that were measured."""
_GROWTH = 1.02
"""By how much blocks grow until there are few enough."""

CONTROLS = 19
"""Other places that a shape is moved to: it beats all of them by chance once in twenty times."""
MOST_OVERLAP = 0.25
"""Share of a moved shape that may still lie in the shape itself."""
_LEAST_MEASURED = 0.9
"""Share of a moved shape that must have been measured."""
_TRIES = 400
_SEED = 20
"""Of the random places; the same scan gets the same ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Some voxels of the grid.

    Attributes:
        box: around them.
        inside: bool, of the box's size: which voxels in it.
    """

    box: _Box
    inside: _Mask

    @classmethod
    def of(cls, mask: _Mask) -> "Region":
        """The voxels that a mask marks; a box without extent where it marks none."""
        spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        d, h, w = (slice(int(s[0]), int(s[-1]) + 1) if s.size else slice(0, 0) for s in spans)
        return cls(box=(d, h, w), inside=mask[d, h, w])

    @property
    def voxels(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.inside))

    @property
    def slices(self) -> list[int]:
        """Indices along the first axis where there are any."""
        return [int(n) + self.box[0].start for n in np.flatnonzero(self.inside.any(axis=(1, 2)))]

    def hide(self, tensor: NDArray[Any], fill: NDArray[Any]) -> None:
        """Overwrites them in an array of the grid's size; `fill` is of the box's size."""
        tensor[self.box][self.inside] = fill[self.inside]

    def hide_in_slice(self, image: NDArray[Any], n: int, fill: NDArray[Any]) -> None:
        """Overwrites those of slice `n` in an array of that slice's size."""
        row = n - self.box[0].start
        image[self.box[1:]][self.inside[row]] = fill[row][self.inside[row]]

    def surroundings(
        self, tensor: NDArray[Any], real: _Mask, gap: tuple[int, int, int]
    ) -> tuple[NDArray[np.float64], bool]:
        """What goes on from around the voxels, of the box's size; whether there is anything.

        Args:
            tensor: the scan on the grid.
            real: what of it was measured; the rest says nothing.
            gap: voxels along each axis that are too close to count: a part may belong to
                an object that reaches a little beyond it.
        """
        margins = [_margin(span) + near for span, near in zip(self.box, gap, strict=True)]
        wide = [
            slice(max(0, span.start - margin), min(n, span.stop + margin))
            for span, margin, n in zip(self.box, margins, tensor.shape, strict=True)
        ]
        d, h, w = (
            slice(span.start - around.start, span.stop - around.start)
            for span, around in zip(self.box, wide, strict=True)
        )
        near = np.zeros([span.stop - span.start for span in wide], np.bool_)
        near[d, h, w] = self.inside
        known = real[tuple(wide)] & ~_grown(near, gap)
        return inpainted(tensor[tuple(wide)], known)[d, h, w], bool(known.any())


def _grown(mask: _Mask, by: tuple[int, int, int]) -> _Mask:
    """A mask and all voxels up to so many away along each axis."""
    grown = mask
    for axis, reach in enumerate(by):
        moved = np.moveaxis(grown, axis, 0)
        out = moved.copy()
        for step in range(1, min(reach, len(moved) - 1) + 1):
            out[step:] |= moved[:-step]
            out[:-step] |= moved[step:]
        grown = np.moveaxis(out, 0, axis)
    return grown


def _margin(span: slice) -> int:
    """Voxels around a region that its surroundings are: half of its own width, 2 at least."""
    return max(2, int(span.stop - span.start) // 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """The grid cut into blocks of equal size, up to rounding to whole voxels.

    Attributes:
        shape: voxels along each axis.
        counts: blocks along each axis.
    """

    shape: tuple[int, int, int]
    counts: tuple[int, int, int]

    @property
    def layer(self) -> CamLayer:
        """Blocks as cells: where their centres lie on the grid."""
        widths = tuple(n / m for n, m in zip(self.shape, self.counts, strict=True))
        return CamLayer(
            name="occlusion",
            cells=self.counts,
            offset=tuple((width - 1) / 2 for width in widths),
            stride=widths,
        )

    def boxes(self) -> Iterator[tuple[tuple[int, int, int], _Box]]:
        """Index and voxels of each block."""
        starts, stops = [e[:-1] for e in self._edges], [e[1:] for e in self._edges]
        for d, h, w in np.ndindex(self.counts):
            index = (d, h, w)
            z, y, x = (slice(int(starts[a][n]), int(stops[a][n])) for a, n in enumerate(index))
            yield index, (z, y, x)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """float64 [*counts]: sums of an array of the grid's size over each block."""
        out: NDArray[np.float64] = values.astype(np.float64)
        for axis, edges in enumerate(self._edges):
            out = np.add.reduceat(out, edges[:-1], axis=axis)
        return out

    @property
    def _edges(self) -> list[NDArray[np.intp]]:
        return [
            np.rint(np.arange(m + 1) * n / m).astype(np.intp)
            for n, m in zip(self.shape, self.counts, strict=True)
        ]


def blocks_for(
    shape: tuple[int, int, int], layer: CamLayer, voxel_mm: tuple[float, ...], most: int
) -> Blocks:
    """Blocks at least as wide as the map's cells, as cubic as that allows, `most` at most.

    Args:
        shape: voxels of the grid, three axes.
        layer: the map's cells, three axes.
        voxel_mm: millimetres of a voxel of the grid along each axis, or any common unit.
        most: at least 1.
    """
    least = [stride * mm for stride, mm in zip(layer.stride, voxel_mm, strict=True)]
    side = min(least)
    while True:
        widths = [max(side, cell) / mm for cell, mm in zip(least, voxel_mm, strict=True)]
        d, h, w = (max(1, min(n, int(n / b + 1e-9))) for n, b in zip(shape, widths, strict=True))
        if d * h * w <= most:
            return Blocks(shape=shape, counts=(d, h, w))
        side *= _GROWTH


def measured(volume: Volume, placement: Placement) -> _Mask:
    """bool, of the grid's size: which voxels come from the scan, and from what it measured."""
    real = np.ones(volume.shape, np.uint8)
    if volume.padding is not None:
        low, high = volume.padding
        real = ((volume.data < low) | (volume.data > high)).view(np.uint8)
    on_nothing = replace(placement, grid=replace(placement.grid, padding_value=0.0))
    share = on_nothing.to_model(real, np.float32)
    return np.asarray(share >= _MEASURED_SHARE, np.bool_)


def elsewhere(marked: _Mask, real: _Mask) -> list[Region]:
    """A shape moved to other places, as a whole and within the grid.

    At least nine tenths of it were measured there, and at most MOST_OVERLAP lies in the shape.

    Args:
        marked: the shape; at least one voxel.
        real: what was measured.

    Returns:
        Up to CONTROLS places, fewer where there is no room; what was not measured is left out.
    """
    home = Region.of(marked)
    low = np.array([span.start for span in home.box])
    high = np.array([span.stop for span in home.box]) - 1
    points = np.ravel_multi_index(np.nonzero(marked), marked.shape)
    rng = np.random.default_rng(_SEED)
    shape = np.array(marked.shape)
    found: dict[tuple[int, ...], Region] = {}
    flat_marked, flat_real = marked.ravel(), real.ravel()
    for _ in range(_TRIES):
        shift = rng.integers(-low, shape - 1 - high, endpoint=True)
        at = points + int(np.dot(shift, [shape[1] * shape[2], shape[2], 1]))
        if flat_marked[at].mean() > MOST_OVERLAP or flat_real[at].mean() < _LEAST_MEASURED:
            continue
        d, h, w = (
            slice(span.start + int(s), span.stop + int(s))
            for span, s in zip(home.box, shift, strict=True)
        )
        found[tuple(shift.tolist())] = Region(box=(d, h, w), inside=home.inside & real[d, h, w])
        if len(found) == CONTROLS:
            break
    return list(found.values())
