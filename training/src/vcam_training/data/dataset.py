"""What training needs from any data: three splits on a grid, and what their values mean."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import Grid
from vcam_training.data.contract import DataContract
from vcam_training.task import Task

Report = Callable[[str], None]
"""Is told, line by line, what happens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Volumes on the model's grid.

    Attributes:
        volumes: int16, uint8 or float32 [n, *grid], physical values; images if the grid
            is 2-D. May lie on disk, and be `Rows` of a larger array.
        labels: int32 [n] for exclusive classes, bool [n, K] for findings, float32 [n, K]
            for the targets of a regression.
        masks: bool [n, *grid], what makes a volume's label true (a lesion, a solid);
            all false where nothing does, or nobody knows. `no_masks` costs no memory.
        finding_masks: by index of a finding, bool [n, *grid] each.
        groups: [n] of strings, such as patients, that must not be in two splits; or None.
        names: [n], what reports call a volume; empty if they have no names.
        known: bool [n, K], which labels of findings are known; None for all. The others are False
            in `labels`, and in no loss and no figure.

    Raises:
        ConfigError: lengths or shapes differ, or a value is not finite.
    """

    volumes: NDArray
    labels: NDArray
    masks: NDArray[np.bool_]
    finding_masks: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    groups: NDArray[np.str_] | None = None
    names: tuple[str, ...] = ()
    known: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.known is not None and (
            self.labels.dtype != bool or self.known.shape != self.labels.shape
        ):
            raise ConfigError(
                f"Expected known labels of findings of shape {self.labels.shape}, received "
                f"{self.known.shape}. Check the data set's index."
            )
        if self.volumes.shape != self.masks.shape or len(self.labels) != len(self.volumes):
            raise ConfigError(
                f"Expected as many labels and masks as volumes, received {self.volumes.shape}, "
                f"{self.labels.shape} and {self.masks.shape}. Check the data set's index."
            )
        for name, values in (("groups", self.groups), ("names", self.names or None)):
            if values is not None and len(values) != len(self.volumes):
                raise ConfigError(
                    f"Expected {name} of {len(self.volumes)} volumes, received {len(values)}. "
                    "Check the data set's index."
                )
        for number, masks in self.finding_masks.items():
            if masks.shape != self.volumes.shape:
                raise ConfigError(
                    f"Expected masks of shape {self.volumes.shape} for finding {number}, received "
                    f"{masks.shape}. Bring masks onto the grid of their images."
                )
        for name, values in (("voxels", self.volumes), ("labels", self.labels)):
            if values.dtype.kind == "f" and not all(np.isfinite(row).all() for row in values):
                raise ConfigError(
                    f"Expected finite {name}, found NaN or infinite ones in the data set. "
                    "Leave such volumes out, or replace voxels by the value of background."
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Bool of the shape of the labels: which are known."""
        if self.known is None:
            return np.broadcast_to(np.True_, self.labels.shape)
        return self.known

    def mask(self, index: int, class_index: int) -> NDArray[np.bool_]:
        """Bool [*grid]: what makes the class true in a volume; for findings, its own mask."""
        if self.labels.ndim == 2 and self.labels.dtype == bool:
            masks = self.finding_masks.get(class_index)
            return no_masks(self.volumes.shape[1:]) if masks is None else masks[index]
        found: NDArray[np.bool_] = self.masks[index]
        return found

    def name(self, index: int) -> str:
        """What reports call a volume."""
        return self.names[index] if self.names else f"#{index}"


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """A data set on a model's grid.

    Attributes:
        name: for the provenance.
        contract: what its values mean.
        train, validation, test: the splits; test is looked at once, at the end.
        sha256: hash of the data, in hexadecimal.

    Raises:
        ConfigError: the labels don't fit the contract, or a split lacks a class.
    """

    name: str
    contract: DataContract
    train: Split
    validation: Split
    test: Split
    sha256: str

    @property
    def is_tested_on_validation(self) -> bool:
        """Whether nothing was set aside for testing, and validation stands in for it."""
        return self.test is self.validation

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, findings or targets."""
        return self.contract.labels

    @property
    def grid(self) -> Grid:
        """The model's grid."""
        return self.contract.grid

    @property
    def splits(self) -> dict[str, Split]:
        """By name, train first."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            if self.contract.task is Task.CLASSES:
                self._check_classes(name, split)
            elif split.labels.shape != (len(split), len(self.labels)):
                raise ConfigError(
                    f"Expected labels of shape {(len(split), len(self.labels))} in the {name} "
                    f"split, one for each of {self.labels}, received {split.labels.shape}."
                )

    def _check_classes(self, name: str, split: Split) -> None:
        found = np.unique(split.labels)
        if found.size and not 0 <= found[0] <= found[-1] < len(self.labels):
            raise ConfigError(
                f"Expected labels from 0 to {len(self.labels) - 1}, one for each of {self.labels}, "
                f"found {found[0]} to {found[-1]} in the {name} split. Check the data set's index."
            )
        if len(found) != len(self.labels):
            raise ConfigError(
                f"Expected volumes of each of {self.labels} in the {name} split, found "
                f"{len(split)} of {[self.labels[i] for i in found]}. "
                f"Set a larger number of {name} volumes."
            )


class Source(Protocol):
    """What a config names as its data: a frozen dataclass of parameters."""

    def load(self, folder: Path, report: Report) -> DataSet:
        """Makes the data set, or reads it.

        Args:
            folder: where data sets lie; runs share it.
            report: is told what happens.

        Raises:
            ConfigError: the data can't be used.
        """


@runtime_checkable
class SplitSource(Source, Protocol):
    """A source that can load one split alone, such as test data that were kept aside."""

    def load_split(self, name: str, folder: Path, report: Report) -> Split:
        """One split of data that need not have the others.

        Args:
            name: "train", "validation" or "test".
            folder: where the data lie, or their file.
            report: is told what happens.

        Raises:
            ConfigError: there is no such split, or it can't be used.
        """

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Names that the data themselves give to labels; empty where they give none."""


def no_masks(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Masks that mark nothing, without memory."""
    return np.broadcast_to(np.False_, shape)


def sha256_of(*splits: Split) -> str:
    """Hash of the volumes and labels of some splits, in hexadecimal."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(np.ascontiguousarray(split.volumes).tobytes())
        digest.update(np.ascontiguousarray(split.labels).tobytes())
        if split.known is not None:
            digest.update(np.ascontiguousarray(split.known).tobytes())
    return digest.hexdigest()
