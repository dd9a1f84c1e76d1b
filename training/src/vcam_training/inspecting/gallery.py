"""A sheet of thumbnails of a data set: split, label and what makes it true, outlined."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Split
from vcam_training.inspecting.tiles import Block, Tile, draw_tiles
from vcam_training.task import Task

_ROWS = {"train": 3, "validation": 1, "test": 1}
"""Rows of thumbnails of each split."""
_COLUMNS = 8
_TAILS = (0.5, 99.5)
"""Percentiles of the voxels shown that are black and white where data have no window."""


def draw_gallery(path: Path, data: DataSet, *, title: str = "") -> None:
    """Writes the sheet as PNG: three rows of the training split, one of each other.

    Classes take turns, findings too; of a regression values are spread from the
    smallest to the largest. Volumes are shown by the slice that has most of their
    mask, or by the middle one, along the first axis of the grid.

    Args:
        path: of the file.
        data: volumes may lie on disk; only those that are shown are read.
        title: by default the name of the data set.
    """
    blocks = []
    splits = dict(data.splits)
    if data.is_tested_on_validation:
        del splits["test"]
    for name, split in splits.items():
        chosen = _spread(split, data.contract, _ROWS[name] * _COLUMNS)
        tiles = [_tile(split, index, data.contract) for index in chosen]
        blocks.append(Block(name=f"{name} ({len(split)})", tiles=tiles))
    sizes = "×".join(map(str, data.grid.shape))
    draw_tiles(
        path,
        blocks,
        title=f"{title or data.name}: {sum(map(len, splits.values()))} of {sizes}",
        limits=limits_of(data.contract, [tile.picture for b in blocks for tile in b.tiles]),
        columns=_COLUMNS,
    )


def limits_of(contract: DataContract, pictures: Sequence[NDArray]) -> tuple[float, float]:
    """What is black and what is white: the window, the outer band edges, or by the voxels."""
    if contract.intensity.window is not None:
        return contract.intensity.window
    if contract.intensity.band_edges:
        return contract.intensity.band_edges[0], contract.intensity.band_edges[-1]
    low, high = np.percentile(np.concatenate([p.ravel() for p in pictures]), _TAILS)
    return float(low), float(max(high, low + 1e-6))


def truth_text(split: Split, index: int, contract: DataContract) -> str:
    """What is known of a volume: its class, its findings, or its values."""
    label = split.labels[index]
    if contract.task is Task.CLASSES:
        return contract.labels[int(label)]
    if contract.task is Task.FINDINGS:
        there = [name for name, is_there in zip(contract.labels, label, strict=True) if is_there]
        nothing = "no finding" if split.is_known[index].all() else "no known finding"
        return ", ".join(there) or nothing
    unit = f" {contract.unit}" * bool(contract.unit)
    if len(contract.labels) == 1:
        return f"{float(label[0]):.4g}{unit}"
    values = zip(contract.labels, label, strict=True)
    return ", ".join(f"{name} {float(value):.3g}{unit}" for name, value in values)


def middle_slice(mask: NDArray[np.bool_]) -> int:
    """Index along the first axis: where most of a mask is, or the middle."""
    along = mask.reshape(len(mask), -1).sum(axis=1)
    if not along.any():
        return len(mask) // 2
    fullest = np.flatnonzero(along == along.max())
    return int(fullest[len(fullest) // 2])


def _tile(split: Split, index: int, contract: DataContract) -> Tile:
    picture, mask = split.volumes[index], split.masks[index]
    if contract.task is Task.FINDINGS:
        there = [k for k in split.finding_masks if split.labels[index][k]]
        mask = np.any([mask, *(split.finding_masks[k][index] for k in there)], axis=0)
    aspect = 1.0
    spacing = contract.grid.spacing_mm
    if picture.ndim == 3:
        at = middle_slice(mask)
        picture, mask = picture[at], mask[at]
    if len(spacing) >= 2:
        aspect = spacing[-2] / spacing[-1]
    return Tile(
        picture=np.asarray(picture, np.float32),
        text=f"{truth_text(split, index, contract)} · {split.name(index)}",
        mask=mask,
        aspect=aspect,
    )


def _spread(split: Split, contract: DataContract, count: int) -> list[int]:
    """Indices of volumes that show what the labels can be."""
    if contract.task is Task.REGRESSION:
        order = np.argsort(split.labels[:, 0], kind="stable")
        places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
        return [int(index) for index in order[places]]
    labels = split.labels
    if contract.task is Task.FINDINGS:  # none, then the first that is there
        labels = np.where(labels.any(axis=1), labels.argmax(axis=1) + 1, 0)
    return sorted(index for index, _ in zip(_taking_turns(labels), range(count), strict=False))


def _taking_turns(labels: NDArray) -> Iterator[int]:
    """One of each label, then the next of each, as long as there are any."""
    queues = [list(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    for at in range(max(map(len, queues))):
        yield from (int(queue[at]) for queue in queues if at < len(queue))
