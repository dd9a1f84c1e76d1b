"""A list of scans with what is known of each, from a CSV file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.csv_table import CsvTable, is_of_windows, place_of, read_csv
from vcam_training.data.finding_labels import IGNORED, FindingLabels
from vcam_training.data.number_column import NumberColumn
from vcam_training.data.problems import refuse
from vcam_training.data.scans.grid_cache import ScanFile, missing
from vcam_training.task import Task

SPLITS = ("train", "validation", "test")
_FIRST = 3
"""Lines that a problem of many lines names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanTable:
    """Scans, and what is known of each.

    Attributes:
        scans: their files.
        labels, known: as the task has them, see `dataset.Split`.
        names: what reports call each.
        groups: [n] of strings, such as patients; None where each scan is one of its own.
        splits: of each, out of SPLITS; "" where it is to be chosen.
    """

    scans: tuple[ScanFile, ...]
    labels: NDArray
    names: tuple[str, ...]
    groups: NDArray[np.str_] | None
    splits: tuple[str, ...]
    known: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.scans)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table mean what, and what no column says; see `CsvTable.column`.

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
    file: Path,
    columns: Columns,
    task: Task,
    names: tuple[str, ...] = (),
    of_findings: FindingLabels = FindingLabels(),  # noqa: B008  frozen
) -> tuple[ScanTable, tuple[str, ...]]:
    """Reads a CSV file whose first line has the names of its columns.

    Args:
        file: see `csv_table.read_csv`.
        columns: which of them mean what.
        task: how values are read: as names of classes, 0 and 1 of findings, or numbers.
        names: of the classes, in the order of their indices; empty for those of the
            table, in alphabetical order.
        of_findings: how labels of findings are read.

    Returns:
        The table, and the names of the classes, findings or targets.

    Raises:
        ConfigError: what is wrong with the table, files that are missing included, all of it.
    """
    rows, source = _rows(file, columns)
    lines = source.lines
    values = [[row[name] for name in columns.values] for row in rows]
    known_labels = None
    advice = "Correct the table, or put the files there; paths are relative to its folder."
    if task is Task.CLASSES:
        names = names or tuple(sorted({text for (text,) in values if text}))
        known = {name: index for index, name in enumerate(names)}
        labels, wrong = _parsed(values, [known.get], f"one of {', '.join(names)}", lines)
        wrong += [f"no scan labelled {name!r}" for name in names if [name] not in values]
        if len(names) == 1:
            wrong.append(f"{names[0]!r} as the label of all scans, no second class")
        found = np.array(labels, np.int32).reshape(len(rows))
    elif task is Task.FINDINGS:
        labels, wrong = _parsed(values, [of_findings.read] * len(columns.values), "0 or 1", lines)
        names, found = columns.values, np.array(labels) == 1
        known_labels = np.array(labels) != IGNORED
        refused = {text for row in values for text in row if of_findings.read(text) is None}
        advice = f"{of_findings.advice(refused)} {advice}".strip()
    else:
        numbers = [NumberColumn(texts, source.separator) for texts in zip(*values, strict=True)]
        labels, wrong = _parsed(values, [column.read for column in numbers], "a number", lines)
        for name, column in zip(columns.values, numbers, strict=True):
            wrong += _lines(f"numbers of {name!r} {column.doubt},", column.may_be_thousands, lines)
        names, found = columns.values, np.array(labels, np.float32)
    paths = [row[columns.path] for row in rows]
    splits = [_split_name(row.get(columns.split, "")) for row in rows]
    groups = [row.get(columns.group, "") for row in rows]
    scans = tuple(_scan(file.parent, row, columns) for row in rows)
    refuse(
        f"a scan with what is known of it in each line of '{file}'",
        [
            *_lines("more fields than columns", source.too_long, lines),
            *_lines("no path", [not path for path in paths], lines),
            *_repeated(scans, paths),
            *_lines("a path of a Windows computer", list(map(is_of_windows, paths)), lines),
            *wrong,
            *_lines(
                f"a split other than {', '.join(SPLITS)}",
                [bool(one) and one not in SPLITS for one in splits],
                lines,
            ),
            *_torn(groups, splits),
            *missing(
                scan
                for scan, path in zip(scans, paths, strict=True)
                if path and not is_of_windows(path)
            ),
        ],
        advice,
    )
    table = ScanTable(
        scans=scans,
        labels=found,
        known=None if known_labels is None or known_labels.all() else known_labels,
        names=tuple(paths),
        groups=_groups(groups, lines),
        splits=_joined(groups, splits),
    )
    return table, names


def _rows(file: Path, columns: Columns) -> tuple[list[dict[str, str]], CsvTable]:
    """Fields by the names that `columns` has for them, and the table as it is.

    Raises:
        ConfigError: no such file, no scan, or columns are missing.
    """
    table = read_csv(
        file,
        f"Expected a table of scans in '{file}'",
        "Set data.table to a CSV file with the columns path and label; docs/data.md has an "
        "example.",
    )
    named = [
        name
        for name, usual in (
            (columns.mask, Columns.mask),
            (columns.group, Columns.group),
            (columns.split, Columns.split),
        )
        if name and name != usual
    ]
    wanted = (columns.path, *columns.values, *named)
    places = {
        name: table.column(name) for name in (*wanted, columns.mask, columns.group, columns.split)
    }
    lacking = [name for name in wanted if places[name] is None]
    if lacking or not table.rows:
        what = f"no column {', '.join(map(repr, lacking))}" if lacking else "no line but the first"
        raise ConfigError(
            f"Expected columns {', '.join(map(repr, wanted))} and a line for each scan in "
            f"'{file}', found {what}. Its columns are: {', '.join(table.columns) or 'none'}. Name "
            "them with data.path_column and data.label_column, data.findings or data.targets."
        )
    return [
        {name: row[at] if at < len(row) else "" for name, at in places.items() if at is not None}
        for row in table.rows
    ], table


def _parsed(
    values: Sequence[Sequence[str]],
    parsers: Sequence[Callable[[str], Any]],
    expected: str,
    lines: Sequence[int],
) -> tuple[list[list], list[str]]:
    """Values of all lines, and the lines where there is another value than expected.

    Args:
        values: of each line, those of its columns.
        parsers: of each column; None is for a text of another kind.
        expected: what a value is, in words.
        lines: where the values are in the file.
    """
    found = [[parse(text) for parse, text in zip(parsers, texts, strict=True)] for texts in values]
    wrong: dict[str, list[bool]] = {}
    for at, (texts, parsed) in enumerate(zip(values, found, strict=True)):
        for text, value in zip(texts, parsed, strict=True):
            if value is None:
                wrong.setdefault(text, [False] * len(values))[at] = True
    problems = [
        line
        for text, where in wrong.items()
        for line in _lines(f"{text!r}, not {expected},", where, lines)
    ]
    return [[0 if value is None else value for value in row] for row in found], problems


def _split_name(text: str) -> str:
    lower = text.lower()
    return "validation" if lower in ("val", "valid") else lower if lower in SPLITS else text


def _repeated(scans: Sequence[ScanFile], paths: Sequence[str]) -> list[str]:
    """Scans in several lines of the table, however these spell the path."""
    found: dict[object, list[str]] = {}
    for scan, path in zip(scans, paths, strict=True):
        if path:
            found.setdefault(scan.identity, []).append(path)
    problems = []
    for same in found.values():
        first, *others = dict.fromkeys(same)
        also = f", also as {', '.join(map(repr, others[:_FIRST]))}" if others else ""
        if len(same) > 1:
            problems.append(f"{first!r} {len(same)} times{also}")
    return problems


def _lines(what: str, where: Sequence[bool], lines: Sequence[int]) -> list[str]:
    """One problem, with the lines of the file where it is."""
    found = [line for line, is_there in zip(lines, where, strict=True) if is_there]
    if not found:
        return []
    first = ", ".join(map(str, found[:_FIRST]))
    more = f" and {len(found) - _FIRST} more" if len(found) > _FIRST else ""
    return [f"{what} in line{'s' if len(found) > 1 else ''} {first}{more}"]


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


def _groups(groups: Sequence[str], lines: Sequence[int]) -> NDArray[np.str_] | None:
    """Groups by name; a scan without one is a group of its own."""
    if not any(groups):
        return None
    return np.array([one or f"(line {line})" for one, line in zip(groups, lines, strict=True)])


def _joined(groups: Sequence[str], splits: Sequence[str]) -> tuple[str, ...]:
    """The split of each scan, or that of another one of its group."""
    known = {group: one for group, one in zip(groups, splits, strict=True) if group and one}
    return tuple(one or known.get(group, "") for group, one in zip(groups, splits, strict=True))


def _scan(folder: Path, row: dict[str, str], columns: Columns) -> ScanFile:
    mask = row.get(columns.mask, "")
    return ScanFile(
        path=place_of(folder, row[columns.path]),
        mask=place_of(folder, mask) if mask else None,
        spacing=columns.spacing,
    )
