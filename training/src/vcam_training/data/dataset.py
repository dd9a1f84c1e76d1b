"""What training needs from any data: three splits in memory, and what their values mean."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import Grid, Intensity

Report = Callable[[str], None]
"""Is told, line by line, what happens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Volumes on the model's grid.

    Attributes:
        volumes: int16 or float32 [n, *grid], physical values; images if the grid is 2-D.
        labels: int32 [n], index into the data set's labels.
        masks: bool [n, *grid], what makes a volume's label true (a lesion, a solid);
            all false where nothing does.

    Raises:
        ConfigError: lengths differ, or a value is not finite.
    """

    volumes: NDArray
    labels: NDArray[np.int32]
    masks: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.volumes.shape != self.masks.shape or len(self.labels) != len(self.volumes):
            raise ConfigError(
                f"Expected as many labels and masks as volumes, received {self.volumes.shape}, "
                f"{self.labels.shape} and {self.masks.shape}. Check the data set's index."
            )
        if self.volumes.dtype.kind == "f" and not np.isfinite(self.volumes).all():
            raise ConfigError(
                "Expected finite voxels, found NaN or infinite ones in the data set. "
                "Replace them by the value of air or background."
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """A data set on a model's grid.

    Attributes:
        name: for the provenance.
        labels: class names.
        grid: the model's grid.
        intensity: units, dtype on the wire and window.
        train, validation, test: the splits; test is looked at once, at the end.
        sha256: hash of the data, in hexadecimal.

    Raises:
        ConfigError: a split lacks a class.
    """

    name: str
    labels: tuple[str, ...]
    grid: Grid
    intensity: Intensity
    train: Split
    validation: Split
    test: Split
    sha256: str

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            found = np.unique(getattr(self, name).labels)
            if len(found) != len(self.labels):
                raise ConfigError(
                    f"Expected volumes of each of {self.labels} in the {name} split, found "
                    f"{len(getattr(self, name))} of {[self.labels[i] for i in found]}. "
                    f"Set a larger number of {name} volumes."
                )


def sha256_of(*splits: Split) -> str:
    """Hash of the volumes and labels of some splits, in hexadecimal."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(np.ascontiguousarray(split.volumes).tobytes())
        digest.update(np.ascontiguousarray(split.labels).tobytes())
    return digest.hexdigest()
