"""Every scan at hand is read, or refused with a reason; docs/what-is-read.md says which.

The table is made by this test: `VCAM_UPDATE_DOCS=1 pytest tests/client/test_what_is_read.py`.
Scans that the table doesn't know (VCAM_TEST_DATA) are read as well, and must not crash.
"""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_scans import ROOT, needs_data

TABLE = Path(__file__).resolve().parents[2] / "docs" / "what-is-read.md"
WORKER = Path(__file__).resolve().parents[1] / "reading_worker.py"
SECONDS = 10.0
HEAD = """# What is read

Every file and series of the test data, as `vcam-client inspect` answers; made by
`tests/client/test_what_is_read.py`, which reads each within 10 seconds and 4 GB of address space.
How each kind of file is taken, and why others are refused: [formats.md](formats.md).
"""
PARTS = (
    ("Scans", lambda name: not name.startswith("invalid/")),
    ("Damaged and foreign files", lambda name: "fuzz" not in name and name.startswith("invalid/")),
    ("Files made to break readers", lambda name: "fuzz" in name and name.startswith("invalid/")),
)


class Reader:
    """A process that reads scans; a new one where the last was too slow."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path, volume_index: int | None = None) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._ask(ROOT / "nothing is here", None, seconds=60)  # starting takes a while
        return self._ask(path, volume_index, SECONDS)

    def _ask(self, path: Path, volume_index: int | None, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(path), volume_index]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
            return {"crash": f"no answer within {seconds:g} s" if not ready else "died"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def scans() -> list[Path]:
    """Files, and folders that hold one series of several files."""
    found: list[Path] = []
    for part in ("dicom", "nifti", "invalid"):
        folders = [ROOT / part, *(p for p in sorted((ROOT / part).rglob("*")) if p.is_dir())]
        for folder in folders:
            files = [p for p in sorted(folder.iterdir()) if p.is_file()]
            found += [folder] if _is_one_series(folder, files) else files
    return found


def _is_one_series(folder: Path, files: list[Path]) -> bool:
    from vcam_client._dicom import find_series

    if len(files) < 2 or part_of(folder) != "dicom":
        return False
    series = find_series(folder).series
    return len(series) == 1 and len(series[0].frames) == len(files)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    reader = Reader()
    found = {}
    try:
        for path in scans():
            name = str(path.relative_to(ROOT))
            found[name] = reader.read(path)
            if "--volume-index" in _message(found[name]):
                found[f"{name}, volume 0"] = reader.read(path, 0)
    finally:
        reader.close()
    return found


def _message(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or (answer.get("found") or {}).get("refusal") or "")


def _row(name: str, answer: dict[str, Any]) -> str:
    if "crash" in answer:
        return f"| {name} | **crash: {answer['crash']}** |"
    volume = (answer.get("found") or {}).get("volume")
    if volume is None:
        message = _message(answer).replace("|", "\\|").replace("\n", " ")
        return f"| {name} | {answer['error']}: {message} |"
    spacing = volume["spacing_mm"]
    parts = [
        volume["modality"],
        "×".join(map(str, volume["shape"])) + f" {volume['dtype']}",
        "×".join(f"{s:.4g}" for s in spacing) + " mm" if spacing else "spacing unknown",
        volume["orientation"],
        _values(volume),
        f"{volume['padding_share']:.1%} padding" if volume["padding_share"] else None,
        *(f"[{mark}]" for mark in map(_mark, volume["warnings"])),
    ]
    return f"| {name} | {', '.join(p for p in parts if p)} |"


def _mark(warning: str) -> str:
    """A word for a warning, which stands in full below the table."""
    words = {"stacked": "resampled", "spaced": "resampled", "position": "unplaced"}
    return next((mark for word, mark in words.items() if word in warning), "note")


def _document(rows: dict[str, str], answers: dict[str, dict[str, Any]]) -> str:
    blocks = [HEAD]
    for title, belongs in PARTS:
        lines = [row for name, row in rows.items() if belongs(name)]
        table = ["| scan | read as, or refused with |", "|---|---|", *lines]
        blocks.append(f"## {title}\n" + "\n".join(table) + "\n")
    volumes = [(a.get("found") or {}).get("volume") or {"warnings": []} for a in answers.values()]
    warnings = sorted({text for volume in volumes for text in volume["warnings"]})
    blocks.append("## Warnings\n" + "\n".join(f"- [{_mark(w)}] {w}" for w in warnings) + "\n")
    return "\n".join(blocks)


def _values(volume: dict[str, Any]) -> str:
    if volume["minimum"] is None:
        return "no finite values"
    units = f" {volume['units']}" if volume["units"] else ""
    return f"{volume['minimum']:.6g} to {volume['maximum']:.6g}{units}"


@needs_data
def test_nothing_crashes_or_hangs(answers: dict[str, dict[str, Any]]) -> None:
    assert len(answers) > 0
    crashed = {name: answer for name, answer in answers.items() if "crash" in answer}
    assert not crashed


@needs_data
def test_every_refusal_says_what_to_do(answers: dict[str, dict[str, Any]]) -> None:
    refused = {name: _message(a) for name, a in answers.items() if "error" in a}
    wordless = {name: text for name, text in refused.items() if text.count(". ") < 1}
    assert not wordless


@needs_data
def test_the_table_is_true(answers: dict[str, dict[str, Any]]) -> None:
    rows = {name: _row(name, answer) for name, answer in answers.items()}
    if os.environ.get("VCAM_UPDATE_DOCS"):
        TABLE.write_text(_document(rows, answers), encoding="utf-8")
    written = {line.split(" | ")[0].removeprefix("| "): line for line in _lines()}
    wrong = {n: (line, rows[n]) for n, line in written.items() if n in rows and line != rows[n]}
    assert not wrong, "run with VCAM_UPDATE_DOCS=1 where the new answers are right"
    if set(rows) & set(written):  # the data that the table is made of
        assert set(rows) == set(written)


def _lines() -> list[str]:
    text = TABLE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| scan | ")]
