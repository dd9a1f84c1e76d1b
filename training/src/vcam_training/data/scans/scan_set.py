"""A data set of a table of scans: read onto the grid once, divided, and named by its content."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks
from vcam_training.data.problems import refuse
from vcam_training.data.rows import Rows
from vcam_training.data.scans.grid_cache import Grids, read_grids
from vcam_training.data.scans.scan_table import SPLITS, ScanTable
from vcam_training.data.splitting import split
from vcam_training.task import Task


def scan_set(
    name: str,
    table: ScanTable,
    contract: DataContract,
    *,
    folder: Path,
    shares: tuple[float, float],
    seed: int,
    report: Report,
) -> DataSet:
    """Reads the scans of a table and divides them.

    Args:
        name: of the data set.
        table: its scans.
        contract: what their values mean.
        folder: where scans on a grid are kept, see `grid_cache`.
        shares: of validation and test among the scans whose split the table leaves open. A
            split that the table names for any scan gets no others. Where it names test
            scans, train for all others and none for validation, these come out of train.
        seed: of the division.
        report: is told what happens.

    Returns:
        The data set. Where nothing is set aside for testing, its test split *is* its
        validation split.

    Raises:
        ConfigError: scans can't be read, or not be divided so.
    """
    parts = divided(table, shares, seed)
    if contract.task is Task.CLASSES:
        refuse(
            f"scans of each class in each split of {name}",
            _lacking(table, parts, contract.labels),
            "List more of them, or divide otherwise: with data.validation and data.test, another "
            "data.seed, or a column of splits.",
        )
    report(
        ", ".join(f"{len(part)} {part_name}" for part_name, part in parts.items()) + " scans"
        if len(parts["test"])
        else f"{len(parts['train'])} train and {len(parts['validation'])} validation scans"
    )
    grids = read_grids(table.scans, contract.grid, contract.intensity.dtype, folder, report)
    if grids.vanished:
        first = table.names[grids.vanished[0]]
        report(
            f"Warning: the masks of {len(grids.vanished)} scans mark no voxel of the grid, the "
            f"first is that of {first}. A finer grid would show them."
        )
    splits = {part_name: _split(table, grids, part) for part_name, part in parts.items()}
    if not len(splits["test"]):
        splits["test"] = splits["validation"]
    return DataSet(
        name=name, contract=contract, sha256=_content(table, grids, parts.values()), **splits
    )


def divided(
    table: ScanTable, shares: tuple[float, float], seed: int
) -> dict[str, NDArray[np.intp]]:
    """Indices of the scans of each split.

    Raises:
        ConfigError: there are too few scans, or shares that leave nothing to train on.
    """
    validation, test = shares
    if min(shares) < 0 or validation + test >= 1:
        raise ConfigError(
            "Expected shares of validation and test of 0 or more that leave scans for training, "
            f"received {validation:g} and {test:g}. Set data.validation and data.test."
        )
    given = np.array(table.splits)
    parts = {name: np.flatnonzero(given == name) for name in SPLITS}
    rest = np.flatnonzero(given == "")
    if not len(rest) and not len(parts["validation"]):
        rest, parts["train"] = parts["train"], rest
    if not len(rest):
        return parts
    wanted = {"validation": validation, "test": test}
    asked = [0.0 if len(parts[name]) else share for name, share in wanted.items()]
    groups = None if table.groups is None else table.groups[rest]
    chosen = split(table.labels[rest], groups, (1 - sum(asked), *asked), seed)
    return {
        name: np.sort(np.concatenate([part, rest[more]]))
        for (name, part), more in zip(parts.items(), chosen, strict=True)
    }


def _lacking(
    table: ScanTable, parts: Mapping[str, NDArray[np.intp]], labels: Sequence[str]
) -> list[str]:
    """Classes that a split is without; nothing need be set aside for testing."""
    return [
        f"no scan labelled {label!r} among the {len(part)} of the {name} split"
        for name, part in parts.items()
        for number, label in enumerate(labels)
        if (len(part) or name != "test") and number not in table.labels[part]
    ]


def _split(table: ScanTable, grids: Grids, index: NDArray[np.intp]) -> Split:
    shape = (len(index), *grids.volumes.shape[1:])
    return Split(
        volumes=Rows(grids.volumes, index),
        labels=table.labels[index],
        known=None if table.known is None else table.known[index],
        masks=no_masks(shape) if grids.masks is None else Rows(grids.masks, index),
        groups=None if table.groups is None else table.groups[index],
        names=tuple(table.names[number] for number in index),
    )


def _content(table: ScanTable, grids: Grids, parts: Sequence[NDArray[np.intp]]) -> str:
    """Hash of the scans on the grid and their labels, in their splits, wherever files lie."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} scans\n".encode())
        for number in part:
            digest.update(grids.sha256[number].encode())
            digest.update(np.ascontiguousarray(table.labels[number]).tobytes())
            if table.known is not None:
                digest.update(np.ascontiguousarray(table.known[number]).tobytes())
    return digest.hexdigest()
