"""What the log says of one scan."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vcam_client._options import ReadOptions
from vcam_client.batch._item import ScanItem
from vcam_client.errors import VcamError
from vcam_client.prediction import Prediction
from vcam_client.results import Choices, WrittenFiles
from vcam_client.scores import default_class

DONE, FAILED = "done", "failed"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run asks of each scan; a log holds answers to one of these.

    Attributes:
        model: its name.
        choices, reading: as of `run_batch`.
    """

    model: str
    choices: Choices
    reading: ReadOptions

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is left at its default does not appear."""
        return {
            "model": self.model,
            **_stated(self.choices, Choices()),
            **_stated(self.reading, ReadOptions()),
        }


def done(
    item: ScanItem,
    asked: Mapping[str, Any],
    predictions: Sequence[Prediction],
    files: WrittenFiles,
    out: Path,
    timings: Mapping[str, float],
) -> dict[str, Any]:
    """Of a scan whose results are written; files are relative to `out`."""
    first = predictions[0]
    index = default_class(first.scores, first.spec) if len(predictions) > 1 else first.class_index
    return {
        "key": item.key,
        "status": DONE,
        "asked": asked,
        "bytes": item.size,
        "model": first.model,
        "model_version": first.version,
        "scores": first.scores_by_label,
        "explained_class": first.spec.labels[index],
        "evidence": {p.label: _evidence(p) for p in predictions},
        "remarks": first.remarks,
        "result_file": files.result.relative_to(out).as_posix(),
        "files": [path.relative_to(out).as_posix() for path in files.paths],
        "timings_s": {step: round(seconds, 4) for step, seconds in timings.items()},
    }


def failed(item: ScanItem, asked: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """Of a scan that failed.

    What an unexpected exception says is left out: it may quote a header.
    """
    expected = isinstance(error, VcamError)
    return {
        "key": item.key,
        "status": FAILED,
        "asked": asked,
        "bytes": item.size,
        "model": asked["model"],
        "error": {
            "type": type(error).__name__,
            "message": str(error) if expected else _defect(error),
            "expected": expected,
        },
    }


def is_done(record: Mapping[str, Any] | None, item: ScanItem) -> bool:
    """Whether a record answers for a scan as it is now on disk."""
    return record is not None and record["status"] == DONE and record.get("bytes") == item.size


def _evidence(prediction: Prediction) -> dict[str, Any]:
    evidence = prediction.evidence
    found = evidence.found
    return {
        "found": found,
        "raw_maximum": evidence.raw_maximum,
        "strength": evidence.strength,
        "strongest_cell_voxel_ijk": list(evidence.voxel) if found else None,
        "strongest_cell_world_ras_mm": list(evidence.world) if found and evidence.world else None,
        "share": evidence.share,
        "volume_mm3": evidence.volume_mm3,
    }


def _defect(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "Not enough memory for this scan. Start again with fewer --workers."
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return (
        f"A defect of vcam: {type(error).__name__}{where}. The other scans went on; please "
        "report it with the kind of file."
    )


def _stated(given: Any, default: Any) -> dict[str, Any]:
    usual = asdict(default)
    return {
        name: str(value) if isinstance(value, Path) else _plain(value)
        for name, value in asdict(given).items()
        if value != usual[name]
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
