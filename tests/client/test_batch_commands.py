"""`vcam-client predict` over many scans: lists with gaps, and names with line breaks."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from client.stand_in import stand_in

from vcam_client._cli import main
from vcam_client.table_cells import csv_text

Predict = Callable[..., Result]

UNFETCHED = "../.git/annex/objects/aa/bb/MD5E-s9--1.nii/MD5E-s9--1.nii"


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).integers(-1000, 400, (16, 12, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(data, np.diag([-2, -2, 3, 1.0])), path)
    return path


def logged(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def call(*arguments: object, listed: str | None = None) -> Result:
        with stand_in() as server:
            monkeypatch.setenv("VCAM_SERVER", server.address)
            return CliRunner().invoke(main, ["predict", *map(str, arguments)], input=listed)

    return call


def test_a_listed_path_that_cannot_be_read_fails_alone(predict: Predict, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("a.nii", "z.nii"):
        write(scans / name)
    (scans / "annexed.nii").symlink_to(UNFETCHED)
    (scans / "circle.nii").symlink_to("circle.nii")
    names = ("a.nii", "gone.nii", "annexed.nii", "gone.nii", "circle.nii", "z.nii")
    paths = "\n".join(str(scans / name) for name in names)
    done = predict("-", "--out", out, listed=paths)
    assert done.exit_code == 1
    assert "2 done, 3 failed" in done.output
    records = {record["key"]: record for record in logged(out)}
    assert {key: record["status"] for key, record in records.items()} == {
        "a.nii": "done",
        "annexed.nii": "failed",
        "circle.nii": "failed",
        "gone.nii": "failed",
        "z.nii": "done",
    }
    said = {key: r["error"] for key, r in records.items() if r["status"] == "failed"}
    assert all(error["expected"] for error in said.values())
    assert "There is no file or folder" in said["gone.nii"]["message"]
    assert "Fetch it with `datalad get`" in said["annexed.nii"]["message"]
    assert "round in a circle" in said["circle.nii"]["message"]

    write(scans / "gone.nii")
    again = predict("-", "--out", out, listed=paths)
    assert again.exit_code == 1
    assert "1 done, 2 failed, 2 done before" in again.output


def test_an_argument_where_nothing_is_ends_the_command(predict: Predict, tmp_path: Path) -> None:
    scan, out = write(tmp_path / "a.nii"), tmp_path / "out"
    done = predict(scan, tmp_path / "gone.nii", "--out", out)
    assert done.exit_code == 1
    assert "There is no file or folder" in done.output
    assert not out.exists()


@pytest.mark.parametrize("name", ["two\nlines.nii", "two\rlines.nii", "a\r\nb.nii", "a  b.nii"])
def test_the_table_has_the_keys_of_the_log(predict: Predict, tmp_path: Path, name: str) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    write(scans / name)
    write(scans / "plain.nii")
    assert predict(scans, "--out", out).exit_code == 0
    log = logged(out)
    with (out / "results.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    for column in ("key", "result_file"):
        assert [csv_text(row[column]) for row in table] == [record[column] for record in log]
    assert {record["key"] for record in log} == {name, "plain.nii"}


def test_a_line_break_in_a_name_is_shown_escaped(predict: Predict, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    write(scans / "two\nlines.nii")
    write(scans / "bell\x07\u2028.nii")
    shown = predict(scans, "--out", out, "--dry-run")
    assert shown.output.splitlines() == ["bell\\x07\\u2028.nii", "two\\nlines.nii"]
    asked = predict(scans)
    assert "  two\\nlines.nii\n" in asked.output
    (scans / "two\nlines.nii").write_bytes(b"\x5c\x01\x00\x00damaged")
    failed = predict(scans, "--out", out)
    assert "two\\nlines.nii: " in failed.output
