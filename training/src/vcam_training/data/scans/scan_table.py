"""A list of scans with what is known of each, from a CSV file."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.problems import refuse
from vcam_training.data.scans.grid_cache import ScanFile, missing
from vcam_training.task import Task

SPLITS = ("train", "validation", "test")
_TRUTHS = {"0": False, "1": True, "false": False, "true": True}
_HEADER_LINES = 1
_FIRST = 3
"""Lines that a problem of many lines names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanTable:
    """Scans, and what is known of each.

    Attributes:
        scans: their files.
        labels: as the task has them, see `dataset.Split`.
        names: what reports call each.
        groups: [n] of strings, such as patients; None where each scan is one of its own.
        splits: of each, out of SPLITS; "" where it is to be chosen.
    """

    scans: tuple[ScanFile, ...]
    labels: NDArray
    names: tuple[str, ...]
    groups: NDArray[np.str_] | None
    splits: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scans)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table mean what, and what no column says.

    Attributes:
        path: of the scan, absolute or relative to the table's folder.
        values: of the class, or of each finding or target.
        mask, group, split: columns that may be missing, or empty in places.
        spacing: of all files, see `ScanFile`.
    """

    path: str = "path"
    values: tuple[str, ...] = ("label",)
    mask: str = "mask"
    group: str = "group"
    split: str = "split"
    spacing: tuple[float, ...] = ()


def read_table(
    file: Path, columns: Columns, task: Task, names: tuple[str, ...] = ()
) -> tuple[ScanTable, tuple[str, ...]]:
    """Reads a CSV file whose first line has the names of its columns.

    Args:
        file: UTF-8, separated by commas, semicolons or tabs.
        columns: which of them mean what.
        task: how values are read: as names of classes, 0 and 1 of findings, or numbers.
        names: of the classes, in the order of their indices; empty for those of the
            table, in alphabetical order.

    Returns:
        The table, and the names of the classes, findings or targets.

    Raises:
        ConfigError: what is wrong with the table, files that are missing included, all of it.
    """
    rows = _rows(file, columns)
    values = [[row[name] for name in columns.values] for row in rows]
    if task is Task.CLASSES:
        names = names or tuple(sorted({text for (text,) in values if text}))
        known = {name: index for index, name in enumerate(names)}
        labels, wrong = _parsed(values, known.get, f"one of {', '.join(names)}")
        wrong += [f"no scan labelled {name!r}" for name in names if [name] not in values]
        if len(names) == 1:
            wrong.append(f"{names[0]!r} as the label of all scans, no second class")
        found = np.array(labels, np.int32).reshape(len(rows))
    elif task is Task.FINDINGS:
        labels, wrong = _parsed(values, lambda text: _TRUTHS.get(text.lower()), "0 or 1")
        names, found = columns.values, np.array(labels, bool)
    else:
        labels, wrong = _parsed(values, _number, "a number")
        names, found = columns.values, np.array(labels, np.float32)
    paths = [row[columns.path] for row in rows]
    splits = [row.get(columns.split, "") for row in rows]
    groups = [row.get(columns.group, "") for row in rows]
    scans = tuple(_scan(file.parent, row, columns) for row in rows)
    refuse(
        f"a scan with what is known of it in each line of '{file}'",
        [
            *_lines("no path", [not path for path in paths]),
            *(f"{path!r} {n} times" for path, n in Counter(paths).items() if path and n > 1),
            *wrong,
            *_lines(
                f"a split other than {', '.join(SPLITS)}",
                [bool(one) and one not in SPLITS for one in splits],
            ),
            *_torn(groups, splits),
            *missing(scan for scan, path in zip(scans, paths, strict=True) if path),
        ],
        "Correct the table, or put the files there; paths are relative to its folder.",
    )
    table = ScanTable(
        scans=scans,
        labels=found,
        names=tuple(paths),
        groups=_groups(groups),
        splits=_joined(groups, splits),
    )
    return table, names


def _rows(file: Path, columns: Columns) -> list[dict[str, str]]:
    """The lines of the file, fields stripped.

    Raises:
        ConfigError: no such file, no scan, or columns are missing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
            separator = max(",;\t", key=head.count)
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=separator)
            known = [name.strip() for name in reader.fieldnames or ()]
            lines = [dict(zip(known, row.values(), strict=False)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"Expected a table of scans in '{file}', received: {error}. Set data.table to a CSV "
            "file with the columns path and label; docs/data.md has an example."
        ) from error
    wanted = (columns.path, *columns.values)
    lacking = [name for name in wanted if name not in known]
    if lacking or not lines:
        what = f"no column {', '.join(map(repr, lacking))}" if lacking else "no line but the first"
        raise ConfigError(
            f"Expected columns {', '.join(map(repr, wanted))} and a line for each scan in "
            f"'{file}', found {what}. Its columns are: {', '.join(known) or 'none'}. Name them "
            "with data.path_column and data.label_column, data.findings or data.targets."
        )
    return [{name: (row.get(name) or "").strip() for name in known} for row in lines]


def _parsed(
    values: Sequence[Sequence[str]], parse: object, expected: str
) -> tuple[list[list], list[str]]:
    """Values of all lines, and the lines where there is another value than expected."""
    found = [[parse(text) for text in texts] for texts in values]  # type: ignore[operator]
    wrong: dict[str, list[bool]] = {}
    for at, (texts, parsed) in enumerate(zip(values, found, strict=True)):
        for text, value in zip(texts, parsed, strict=True):
            if value is None:
                wrong.setdefault(text, [False] * len(values))[at] = True
    problems = [
        line
        for text, where in wrong.items()
        for line in _lines(f"{text!r}, not {expected},", where)
    ]
    return [[0 if value is None else value for value in row] for row in found], problems


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(what: str, where: Sequence[bool]) -> list[str]:
    """One problem, with the lines of the file where it is."""
    lines = [at + 1 + _HEADER_LINES for at, found in enumerate(where) if found]
    if not lines:
        return []
    first = ", ".join(map(str, lines[:_FIRST]))
    more = f" and {len(lines) - _FIRST} more" if len(lines) > _FIRST else ""
    return [f"{what} in line{'s' if len(lines) > 1 else ''} {first}{more}"]


def _torn(groups: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Groups that the table puts in two splits."""
    parts: dict[str, set[str]] = {}
    for group, one in zip(groups, splits, strict=True):
        if group and one:
            parts.setdefault(group, set()).add(one)
    return [
        f"group {group!r} in the splits {', '.join(sorted(found))}"
        for group, found in parts.items()
        if len(found) > 1
    ]


def _groups(groups: Sequence[str]) -> NDArray[np.str_] | None:
    """Groups by name; a scan without one is a group of its own."""
    if not any(groups):
        return None
    return np.array([group or f"(line {at + 2})" for at, group in enumerate(groups)])


def _joined(groups: Sequence[str], splits: Sequence[str]) -> tuple[str, ...]:
    """The split of each scan, or that of another one of its group."""
    known = {group: one for group, one in zip(groups, splits, strict=True) if group and one}
    return tuple(one or known.get(group, "") for group, one in zip(groups, splits, strict=True))


def _scan(folder: Path, row: dict[str, str], columns: Columns) -> ScanFile:
    mask = row.get(columns.mask, "")
    return ScanFile(
        path=folder / row[columns.path],
        mask=folder / mask if mask else None,
        spacing=columns.spacing,
    )
