"""Spheres and octahedra: two classes that only a look at the shape tells apart.

Source of the task: a solid of integer radius 3 to 7 in a cube of N voxels,
inside uniform in [0.5, 1), outside 0.

- `generate`: radius r; a sphere fills L2 <= r, an octahedron L1 <= r around the
  centre. The voxel count alone gives many solids away.
- `generate(..., volume_matched=True)`: the voxel count is drawn from one list for
  both classes, and exactly that many voxels nearest to the centre are filled, in
  L2 or L1, ties broken at random. The count says nothing about the class.

The same seed gives the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError

LABELS = ("sphere", "octahedron")
RADII = (3, 4, 5, 6, 7)
"""Radii, voxels."""
INSIDE = (0.5, 1.0)
"""Voxels inside a solid are uniform in [low, high); no unit."""


@dataclass(frozen=True, kw_only=True)
class Solids:
    """Solids of known shape and place.

    Attributes:
        volumes: float32 [n, N, N, N], 0 outside the solid.
        labels: int32 [n], index into LABELS.
        centres: int32 [n, 3], voxel index of the centre.
        radii: float32 [n], voxels; for volume-matched solids the distance (in the
            solid's own norm) of the outermost voxel.
        counts: int32 [n], voxels inside.
    """

    volumes: NDArray[np.float32]
    labels: NDArray[np.int32]
    centres: NDArray[np.int32]
    radii: NDArray[np.float32]
    counts: NDArray[np.int32]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Bool [n, N, N, N], true inside the solid."""
        masks: NDArray[np.bool_] = self.volumes > 0
        return masks


def generate(count: int, *, size: int = 32, seed: int = 0, volume_matched: bool = False) -> Solids:
    """Makes `count` solids, half of them of each class, in random order.

    Args:
        count: how many.
        size: N, voxels along each side of the cube.
        seed: the same seed gives the same bytes.
        volume_matched: draw the voxel count from one list for both classes.

    Raises:
        ConfigError: the largest solid does not fit into the cube.
    """
    counts = matched_counts()
    reach = _octahedron_radius(counts[-1]) if volume_matched else RADII[-1]
    if size < 2 * reach + 1:
        raise ConfigError(
            f"Expected a cube of at least {2 * reach + 1} voxels, so that a solid of radius "
            f"{reach} fits, received size={size}. Set data.size to {2 * reach + 1} or more."
        )
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.int32) % len(LABELS))
    solids = [_solid(rng, int(label), size, counts if volume_matched else ()) for label in labels]
    volumes = np.zeros((count, size, size, size), np.float32)
    for volume, (_, _, voxels, values) in zip(volumes, solids, strict=True):
        volume[tuple(voxels.T)] = values
    return Solids(
        volumes=volumes,
        labels=labels,
        centres=np.array([s[0] for s in solids], np.int32).reshape(count, 3),
        radii=np.array([s[1] for s in solids], np.float32),
        counts=np.array([len(s[2]) for s in solids], np.int32),
    )


def matched_counts() -> tuple[int, ...]:
    """Voxel counts of the spheres and octahedra of every radius, ascending.

    The one list from which volume-matched solids of both classes draw.
    """
    return tuple(sorted(int(np.sum(_distance(kind, RADII[-1]) <= r)) for kind, r in _kinds()))


def _kinds() -> Iterator[tuple[int, int]]:
    return ((kind, radius) for kind in range(len(LABELS)) for radius in RADII)


def _solid(
    rng: np.random.Generator, label: int, size: int, counts: tuple[int, ...]
) -> tuple[NDArray[np.int32], float, NDArray[np.int32], NDArray[np.float32]]:
    """Centre, radius, voxel indices and values of one solid."""
    if counts:
        wanted = int(rng.choice(counts))
        # The octahedron of this count reaches furthest; both classes keep its margin,
        # so that the place says nothing about the class either.
        reach = _octahedron_radius(wanted)
    else:
        reach = wanted = int(rng.choice(RADII))
    centre = rng.integers(reach, size - reach, size=3, dtype=np.int32)
    distance = _distance(label, reach).ravel()
    if counts:
        tie_breaker = rng.random(distance.size)
        inside = np.lexsort((tie_breaker, distance))[:wanted]
        radius = float(distance[inside].max())
    else:
        inside = np.flatnonzero(distance <= wanted)
        radius = float(wanted)
    offsets = np.stack(np.unravel_index(np.sort(inside), (2 * reach + 1,) * 3), axis=1) - reach
    values = rng.uniform(*INSIDE, size=len(offsets)).astype(np.float32)
    # A float64 just below the upper end can round up to it; the interval is half open.
    values = np.minimum(values, np.nextafter(np.float32(INSIDE[1]), np.float32(0)))
    return centre, radius, (offsets + centre).astype(np.int32), values


def _distance(label: int, reach: int) -> NDArray[np.float64]:
    """L2 (sphere) or L1 (octahedron) distance to the middle of a cube, voxels."""
    axes = np.abs(np.indices((2 * reach + 1,) * 3) - reach).astype(np.float64)
    return np.sqrt((axes**2).sum(axis=0)) if label == 0 else axes.sum(axis=0)


def _octahedron_radius(count: int) -> int:
    """Smallest radius, voxels, whose octahedron has at least `count` voxels."""
    radius = 0
    while (2 * radius + 1) * (2 * radius * radius + 2 * radius + 3) // 3 < count:
        radius += 1
    return radius
