"""The history of a run: one row for each epoch, as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcam_client.table_cells import CsvWriter, csv_text

LOWER_IS_BETTER = ("loss", "mse", "mae")
LAST = "epoch"
"""What to monitor so that the last epoch's network is kept, whatever validation says."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One epoch, counted from 1.

    Attributes:
        epoch: its number.
        values: "loss" and figures of the task, measured while it was trained; "val_…":
            the same of the validation split after it.
        learning_rate: of its last step.
        seconds: it took.
    """

    epoch: int
    values: Mapping[str, float]
    learning_rate: float
    seconds: float


def better(history: Sequence[Row], monitor: str) -> list[bool]:
    """For each epoch, whether its validation was better than that of all before.

    Args:
        history: of a run.
        monitor: name of a value, without "val_".
    """
    sign = 1.0 if monitor in LOWER_IS_BETTER else -1.0
    seen = [sign * monitored(row, monitor) for row in history]
    return [value < min(seen[:at], default=np.inf) for at, value in enumerate(seen)]


def waited(history: Sequence[Row], monitor: str) -> list[int]:
    """For each epoch, after how many epochs without a better one it ended; 0 for a better one."""
    counts: list[int] = []
    for is_better in better(history, monitor):
        counts.append(0 if is_better else (counts[-1] if counts else 0) + 1)
    return counts


def best(history: Sequence[Row], monitor: str) -> Row:
    """The epoch whose network is kept."""
    return [
        row for row, is_better in zip(history, better(history, monitor), strict=True) if is_better
    ][-1]


def monitored(row: Row, monitor: str) -> float:
    """The value that decides which epoch is best; of `LAST`, the later one is."""
    return float(row.epoch) if monitor == LAST else row.values[f"val_{monitor}"]


def read_history(path: Path) -> list[Row]:
    """The rows that `write_history` wrote."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            _row({csv_text(k): float(v) for k, v in row.items()}) for row in csv.DictReader(stream)
        ]


def write_history(path: Path, history: Sequence[Row]) -> None:
    """Writes a CSV file: epoch, values, learning rate, seconds."""
    names = list(history[0].values) if history else []
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["epoch", *names, "learning_rate", "seconds"])
        for row in history:
            values = [row.values[name] for name in names]
            writer.writerow([row.epoch, *values, row.learning_rate, row.seconds])


def _row(values: dict[str, float]) -> Row:
    return Row(
        epoch=int(values.pop("epoch")),
        learning_rate=values.pop("learning_rate"),
        seconds=values.pop("seconds"),
        values=values,
    )
