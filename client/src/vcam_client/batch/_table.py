"""A record of the log as a row of the table."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vcam_client.table_cells import CsvWriter

_BEFORE = ("key", "status", "model", "model_version", "explained_class")
_AFTER = (
    "evidence_found",
    "evidence_strength",
    "evidence_i",
    "evidence_j",
    "evidence_k",
    "evidence_x_mm",
    "evidence_y_mm",
    "evidence_z_mm",
    "evidence_share",
    "evidence_volume_mm3",
    "remarks",
    "result_file",
    "read_s",
    "prepare_s",
    "server_s",
    "write_s",
    "error_type",
    "error",
)
_SCORE = "score "


def columns_for(labels: Iterable[str]) -> tuple[str, ...]:
    """Names of the columns, one for the score of each label."""
    return (*_BEFORE, *(_SCORE + label for label in labels), *_AFTER)


def labels_in(records: Iterable[Mapping[str, Any]], first: Sequence[str]) -> tuple[str, ...]:
    """`first`, then other labels of records, in the order in which they come."""
    labels = dict.fromkeys(first)
    for record in records:
        labels.update(dict.fromkeys(record.get("scores") or ()))
    return tuple(labels)


def line(values: Iterable[Any]) -> str:
    """Values separated by commas; one with a line break is in quotes, and keeps it."""
    stream = io.StringIO()
    CsvWriter(stream, end="\n").writerow(values)
    return stream.getvalue()


def row(record: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The line of a record; what it doesn't have is empty.

    Remarks and errors are put on one line; a key or a path is as the log has it.
    """
    evidence = _main(record)
    error = record.get("error") or {}
    timings = record.get("timings_s") or {}
    voxel = evidence.get("strongest_cell_voxel_ijk") or (None,) * 3
    world = evidence.get("strongest_cell_world_ras_mm") or (None,) * 3
    values: dict[str, Any] = {
        **{name: record.get(name) for name in _BEFORE},
        **{_SCORE + label: score for label, score in (record.get("scores") or {}).items()},
        **{f"evidence_{n}": evidence.get(n) for n in ("found", "strength", "share", "volume_mm3")},
        **dict(zip(("evidence_i", "evidence_j", "evidence_k"), voxel, strict=True)),
        **dict(zip(("evidence_x_mm", "evidence_y_mm", "evidence_z_mm"), world, strict=True)),
        **{f"{step}_s": timings.get(step) for step in ("read", "prepare", "server", "write")},
        "remarks": _on_one_line(" ".join(record.get("remarks") or ())),
        "result_file": record.get("result_file"),
        "error_type": error.get("type"),
        "error": _on_one_line(error.get("message") or ""),
    }
    return line(values.get(name) for name in columns)


def _on_one_line(text: str) -> str:
    return " ".join(text.split("\n"))


def _main(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evidence for the class that the row is about."""
    explained = record.get("evidence") or {}
    found: Mapping[str, Any] = explained.get(record.get("explained_class"), {})
    return found
