"""The surface of phases as a mesh of quadrilaterals, smooth across voxels.

Naive surface nets (S. Gibson, Constrained elastic surface nets, MICCAI 1998): a vertex in
each cell that the surface crosses, the mean of the points where it crosses the
cell's edges; a face across each edge between inside and outside.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError

_INSIDE = 0.5
"""Share of a block that has to belong to the phases."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A closed surface.

    Attributes:
        vertices: float64 [v, 3], (column, row, slice) in voxels of the volume; the
            centre of the first voxel is the origin.
        faces: int [f, 4], indices of vertices, anticlockwise as seen from outside where
            the axes are right-handed.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.intp]


def phase_surface(mask: NDArray[np.bool_], *, cells: int = 48) -> Surface:
    """The surface around the voxels of some phases; where they meet the volume's sides, along them.

    Args:
        mask: bool [slices, rows, columns].
        cells: blocks of voxels are merged until there are no more than cells³ of them. A
            block is inside where at least half of its voxels are.

    Raises:
        ConfigError: fewer than one cell.
    """
    if cells < 1:
        raise ConfigError(f"Expected at least one cell along each axis, received {cells}.")
    block = max(1, math.ceil((mask.size / cells**3) ** (1 / 3) - 1e-9))
    mesh = _surface_net(np.pad(_share(mask.transpose(2, 1, 0), block), 1))
    # the first block, behind one of padding, has its centre at (block − 1) / 2
    return Surface(vertices=(mesh.vertices - 1) * block + (block - 1) / 2, faces=mesh.faces)


def _share(mask: NDArray[np.bool_], block: int) -> NDArray[np.float64]:
    """Share of each block of voxels that is in the mask; blocks at the end may be smaller."""
    share = mask.astype(np.float64)
    for axis, size in enumerate(mask.shape):
        starts = np.arange(0, size, block)
        lengths = np.diff(np.append(starts, size))
        shape = [1, 1, 1]
        shape[axis] = len(starts)
        share = np.add.reduceat(share, starts, axis=axis) / lengths.reshape(shape)
    return share


def _surface_net(field: NDArray[np.float64]) -> Surface:
    """The surface where a field that is 0 at all its sides passes through a half."""
    inside = field >= _INSIDE
    cells = tuple(size - 1 for size in field.shape)
    total, count = np.zeros((*cells, 3)), np.zeros(cells, int)
    crossings = [_crossings(field, inside, axis) for axis in range(3)]
    for crossing in crossings:
        for cell in crossing.cells:
            np.add.at(total, tuple(cell.T), crossing.points)
            np.add.at(count, tuple(cell.T), 1)
    used = count > 0
    number = np.full(cells, -1)
    number[used] = np.arange(int(used.sum()))
    faces = [
        np.where(
            crossing.leaving[:, None],
            (around := np.stack([number[tuple(cell.T)] for cell in crossing.cells], axis=1)),
            around[:, ::-1],
        )
        for crossing in crossings
    ]
    return Surface(vertices=total[used] / count[used][:, None], faces=np.concatenate(faces))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Crossings:
    """Edges along one axis that the surface crosses.

    Attributes:
        points: [n, 3], where it does.
        leaving: bool [n], whether the edge leads out of the phases.
        cells: four times int [n, 3], the cells around the edge, anticlockwise as seen from
            its end.
    """

    points: NDArray[np.float64]
    leaving: NDArray[np.bool_]
    cells: tuple[NDArray[np.intp], ...]


def _crossings(field: NDArray[np.float64], inside: NDArray[np.bool_], axis: int) -> _Crossings:
    first = tuple(slice(None, -1) if at == axis else slice(None) for at in range(3))
    second = tuple(slice(1, None) if at == axis else slice(None) for at in range(3))
    crossed = np.argwhere(inside[first] != inside[second])
    at = tuple(crossed.T)
    low, high = field[first][at], field[second][at]
    points = crossed.astype(np.float64)
    points[:, axis] += (_INSIDE - low) / (high - low)
    u, v = (axis + 1) % 3, (axis + 2) % 3
    cells = []
    for back_u, back_v in ((1, 1), (0, 1), (0, 0), (1, 0)):
        cell = crossed.copy()
        cell[:, u] -= back_u
        cell[:, v] -= back_v
        cells.append(cell)
    return _Crossings(points=points, leaving=inside[first][at], cells=tuple(cells))
