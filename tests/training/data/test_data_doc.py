"""docs/data.md: its table can be read, its config loaded, its settings exist."""

import re
from dataclasses import fields
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vcam_training.config import load
from vcam_training.data.scans.scan_table import Columns, read_table
from vcam_training.data.sources import ScanTableSource
from vcam_training.task import Task

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "data.md"


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)[0]


def test_the_table_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(block("csv"))
    for name in re.findall(r"(?:scans|masks)/[\w.]+", block("csv")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table, names = read_table(tmp_path / "table.csv", Columns(), Task.CLASSES)
    assert names == ("healthy", "ill")
    assert table.labels.tolist() == [0, 1, 1, 0]
    assert table.scans[1].mask == tmp_path / "masks/0002.nii.gz"
    assert table.scans[2].path == tmp_path / "scans/0003"
    assert table.groups is not None
    assert table.groups.tolist() == ["patient 1", "patient 2", "patient 2", "patient 3"]
    assert table.splits == ("", "", "", "test")


def test_the_config_reads_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(10):
        data = np.full((6, 6, 6), 10 * number, np.int16)
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / f"{number}.nii.gz")
        lines.append(f"{number}.nii.gz,{'ill' if number % 2 else 'healthy'}")
    Path("table.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    Path("mine.py").write_text(block("python"))
    assert load("mine.py").data.shape == (64, 128, 128)
    config = load("mine.py", tiny=True)
    data = config.data.load(Path("data"), lambda line: None)
    config.check(data.contract)
    assert data.labels == ("healthy", "ill")
    assert [len(split) for split in data.splits.values()] == [6, 2, 2]


def test_the_settings_exist() -> None:
    known = {field.name for field in fields(ScanTableSource)}
    text = DOCUMENT.read_text()
    for name in re.findall(r"data\.(\w+)\b(?!\.)", text):
        if name not in ("md", "json", "sources"):
            assert name in known, name
    (table,) = re.findall(r"## The grid\n(.*?)\n## ", text, re.S)
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) >= 9
    assert named <= known
