"""Splits slices in contiguous blocks, so that neighbours never lie in two splits."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ContiguousBlocks:
    """How slices are split.

    Attributes:
        blocks: contiguous ones of about the same length that all slices are cut into.
        validation, test: how many of them; the others are for training.
        gap: slices left out wherever blocks of different splits meet.
        seed: of which blocks; those of a split are spread over all slices.

    Raises:
        ConfigError: nothing would be left for a split, or the gap is none.
    """

    blocks: int = 40
    validation: int = 6
    test: int = 6
    gap: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        train = self.blocks - self.validation - self.test
        if min(self.validation, self.test, train) < 1:
            raise ConfigError(
                "Expected at least one block for each split, received "
                f"{train} for training, {self.validation} and {self.test} of {self.blocks}. "
                "Set data.blocks, data.validation and data.test."
            )
        if self.gap < 1:
            raise ConfigError(
                f"Expected a gap of at least 1 slice between splits, received {self.gap}: "
                "neighbouring slices are nearly the same. Set data.gap."
            )

    def split(self, count: int) -> Mapping[str, NDArray[np.intp]]:
        """Indices of the slices of "train", "validation" and "test", ascending.

        Args:
            count: slices there are.

        Raises:
            ConfigError: blocks would not be longer than the gap.
        """
        edges = np.linspace(0, count, self.blocks + 1).astype(int)
        if count < self.blocks or np.diff(edges).min() <= self.gap:
            raise ConfigError(
                f"Expected blocks longer than the gap of {self.gap} slices, received "
                f"{self.blocks} blocks of {count} slices. Set fewer data.blocks, or more slices."
            )
        owner = np.full(self.blocks, "train", dtype="<U10")
        rng = np.random.default_rng(self.seed)
        for name, wanted in (("test", self.test), ("validation", self.validation)):
            # one out of each part of the volume: what lies deeper may look different
            for part in np.array_split(np.flatnonzero(owner == "train"), wanted):
                owner[rng.choice(part)] = name
        found: dict[str, list[NDArray[np.intp]]] = {"train": [], "validation": [], "test": []}
        for block, name in enumerate(owner):
            first = edges[block]
            if block and owner[block - 1] != name:
                first += self.gap
            found[name].append(np.arange(first, edges[block + 1]))
        return {name: np.concatenate(parts) for name, parts in found.items()}
