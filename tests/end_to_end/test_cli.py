"""`vcam-client` as a user runs it: a process of its own, in a folder of its own."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from client.dicom_files import CR, write_series, write_slice

if TYPE_CHECKING:
    from served.server import ServerUnderTest

VCAM_CLIENT = Path(sys.executable).with_name("vcam-client")
NOBODY = "127.0.0.1:1"


def vcam_client(
    *arguments: str, cwd: Path, server: str | None = None
) -> subprocess.CompletedProcess[str]:
    where = ["--server", server] if server else []
    return subprocess.run(
        [VCAM_CLIENT, *arguments, *where],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    data = np.random.default_rng(0).integers(-1000, 400, (30, 28, 24)).astype(np.int16)
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_predict_prints_percentages_and_evidence_and_names_its_files(
    scan: Path, server: "ServerUnderTest"
) -> None:
    done = vcam_client(
        "predict", scan.name, "--model", "ct", cwd=scan.parent, server=server.address
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    percents = [float(line.split()[1]) for line in done.stdout.splitlines() if " %" in line]
    assert sum(percents) == pytest.approx(100, abs=1e-9)
    assert "← explained" in done.stdout
    assert "vidence for abnormal" in done.stdout
    for name in ("scan_heatmap.nii.gz", "scan_overlay.png", "scan_result.json"):
        assert name in done.stdout
        assert (scan.parent / name).stat().st_size > 0
    result = json.loads((scan.parent / "scan_result.json").read_text())
    assert result["percentages"]["abnormal"] in percents


@pytest.mark.parametrize("model", ["slices", "regression", "findings", "mr"])
def test_predict_answers_for_every_kind_of_volume_model(
    scan: Path, server: "ServerUnderTest", model: str, tmp_path: Path
) -> None:
    done = vcam_client(
        "predict", scan.name, "--model", model, "--out", "out", cwd=tmp_path, server=server.address
    )
    assert done.returncode == 0, done.stderr
    heatmap = nib.load(tmp_path / "out" / "scan_heatmap.nii.gz")
    assert heatmap.shape == (30, 28, 24)
    assert np.isfinite(heatmap.get_fdata()).all()


def test_predict_reads_a_dicom_series_and_a_radiograph(
    server: "ServerUnderTest", tmp_path: Path
) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 400, (9, 20, 24)).astype(np.int16)
    write_series(tmp_path / "series", voxels)
    done = vcam_client("predict", "series", "--model", "ct", cwd=tmp_path, server=server.address)
    assert done.returncode == 0, done.stderr
    assert nib.load(tmp_path / "series_heatmap.nii.gz").shape == (24, 20, 9)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 36)).astype(np.uint16)
    write_slice(tmp_path / "cr.dcm", pixels, (0, 0, 0), SOPClassUID=CR, Modality="CR")
    done = vcam_client(
        "predict", "cr.dcm", "--model", "radiograph", cwd=tmp_path, server=server.address
    )
    assert done.returncode == 0, done.stderr
    assert nib.load(tmp_path / "cr_heatmap.nii.gz").shape == (36, 40, 1)


def test_info_shows_the_served_spec(server: "ServerUnderTest", tmp_path: Path) -> None:
    done = vcam_client("info", "--model", "ct", cwd=tmp_path, server=server.address)
    assert done.returncode == 0, done.stderr
    for text in ("normal, abnormal", "12×16×20", "int16 HU", "cells"):
        assert text in done.stdout
    done = vcam_client("info", "--model", "ct", "--json", cwd=tmp_path, server=server.address)
    assert json.loads(done.stdout)["contract_version"] == 1


def make_bad_input(kind: str, folder: Path) -> Path:
    path = folder / "bad.nii.gz"
    rng = np.random.default_rng(0)
    volume = rng.integers(-1000, 400, (20, 20, 20)).astype(np.int16)
    if kind == "text":
        path.write_text("this is no image\n" * 50)
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        nib.save(nib.Nifti1Image(volume, np.eye(4)), path)
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "flipped":
        nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / "whole.nii")
        packed = bytearray(gzip.compress((folder / "whole.nii").read_bytes(), compresslevel=0))
        (folder / "whole.nii").unlink()
        packed[5000] ^= 1
        path.write_bytes(packed)
    elif kind == "two-dimensional":
        nib.save(nib.Nifti1Image(volume[:, :, 0], np.eye(4)), path)
    elif kind == "nan":
        broken = volume.astype(np.float32)
        broken[3, 4, 5] = np.nan
        nib.save(nib.Nifti1Image(broken, np.eye(4)), path)
    elif kind == "empty folder":
        path = folder / "nothing"
        path.mkdir()
    elif kind == "picture":
        path = folder / "bad.jpg"
        path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    elif kind == "good":
        nib.save(nib.Nifti1Image(volume, np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    ("kind", "model", "down", "message", "next_step"),
    [
        ("missing", "ct", False, "There is no file or folder", "Check the path"),
        ("text", "ct", False, "is not a NIfTI file", "Give a .nii"),
        ("picture", "ct", False, "can't be decoded", "Copy it again"),
        ("empty", "ct", False, "is empty", "Copy or download"),
        ("empty folder", "ct", False, "the folder is empty", "Give a scan"),
        ("truncated", "ct", False, "is damaged", "Copy or download"),
        ("flipped", "ct", False, "checksum is wrong", "Copy or download"),
        ("two-dimensional", "ct", False, "Expected a 3-D volume", "--model"),
        ("good", "radiograph", False, "Expected a single image, received 20 slices", "--model"),
        ("nan", "ct", False, "NaN or infinite", "--nan VALUE"),
        ("good", "ct", True, f"No model server answers at {NOBODY}", "vcam-serve"),
        ("good", "no-such-model", False, "serves no model 'no-such-model'", "--model NAME"),
        ("good", "default", False, "serves no model 'default'", "--model NAME"),
    ],
)
def test_bad_input_gives_one_message_and_leaves_nothing(
    kind: str,
    model: str,
    down: bool,
    message: str,
    next_step: str,
    server: "ServerUnderTest",
    tmp_path: Path,
) -> None:
    path = make_bad_input(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    address = NOBODY if down else server.address
    done = vcam_client("predict", path.name, "--model", model, cwd=tmp_path, server=address)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert next_step in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_flag_says_how_to_get_help(tmp_path: Path) -> None:
    done = vcam_client("predict", "scan.nii", "--modle", "ct", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--model" in done.stderr


def test_help_is_there_without_a_server(tmp_path: Path) -> None:
    done = vcam_client("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "predict" in done.stdout
    assert "info" in done.stdout
