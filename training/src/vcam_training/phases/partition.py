"""Cuts a volume's histogram into phases of equal width, so that each voxel is in one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError

PHASES = 6
"""Into how many phases the range of a volume is cut, unless the caller says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Phases, counted from 1 for the darkest.

    Phase p holds edges[p − 1] ≤ value < edges[p]; the last one includes its upper edge.
    The same rule as that of `intensity.Bands`.

    Attributes:
        edges: ascending, one more than phases, in the units of the values; exact in float32.

    Raises:
        ConfigError: fewer than two edges, or some that don't ascend.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or not np.all(np.diff(np.array(self.edges, np.float32)) > 0):
            raise ConfigError(
                f"Expected at least two ascending edges of phases, received {self.edges}. "
                "Give volumes of more than one value, and fewer phases than they have values."
            )

    @property
    def count(self) -> int:
        """How many phases there are."""
        return len(self.edges) - 1

    def check(self, phases: tuple[int, ...]) -> None:
        """Whether there are such phases.

        Raises:
            ConfigError: says which there are.
        """
        if not phases or any(not 1 <= phase <= self.count for phase in phases):
            raise ConfigError(
                f"Expected phases from 1 to {self.count}, received "
                f"{', '.join(map(str, phases)) or 'none'}."
            )

    def phase_of(self, values: NDArray) -> NDArray[np.uint8]:
        """The phase of each voxel, from 1; uint8, shaped as the values.

        Args:
            values: real numbers, compared in float32.

        Raises:
            ConfigError: a value is outside all phases.
        """
        values = np.asarray(values, np.float32)
        edges = np.array(self.edges, np.float32)
        outside = int(((values < edges[0]) | ~(values <= edges[-1])).sum())
        if outside:
            raise ConfigError(
                f"Expected values from {edges[0]:g} to {edges[-1]:g}, found {outside} voxels "
                "outside. Cut phases out of the range of the volume itself."
            )
        return (np.searchsorted(edges[1:-1], values, side="right") + 1).astype(np.uint8)

    def counts(self, values: NDArray) -> NDArray[np.int64]:
        """Voxels of each phase in each slice, [slices, phases].

        Args:
            values: [slices, rows, columns].
        """
        phase = self.phase_of(values).reshape(len(values), -1)
        return np.stack([np.bincount(row, minlength=self.count + 1)[1:] for row in phase])

    def fractions(self, values: NDArray) -> NDArray[np.float64]:
        """Share of each phase in each slice, [slices, phases]; the sum of each row is 1.

        Args:
            values: [slices, rows, columns].
        """
        counts = self.counts(values)
        return counts / counts.sum(axis=1, keepdims=True)


def partition(values: NDArray, phases: int = PHASES) -> Partition:
    """Phases of equal width between the lowest and the highest value.

    Args:
        values: of a whole volume; its own range, so that no voxel is left out.
        phases: how many.

    Raises:
        ConfigError: the volume has a single value, or values so close that float32 can't
            tell the edges apart.
    """
    if phases < 1:
        raise ConfigError(f"Expected at least one phase, received {phases}.")
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, phases + 1).astype(np.float32)
    return Partition(edges=tuple(float(edge) for edge in edges))
