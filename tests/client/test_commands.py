"""Every command of `vcam-client` against a stand-in server, as a process of its own.

They need no TensorFlow, so they also run with the oldest libraries that the client allows
(`make test-floors`).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from client.rest_stand_in import rest_stand_in
from client.stand_in import stand_in

from vcam_client._cli import _COMMANDS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


@pytest.fixture(params=["grpc", "rest"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """`vcam-client ARGUMENTS` in a folder with a scan, with a stand-in as its server."""
    data = np.full((16, 12, 8), -900, np.int16)
    data[8:12, 4:8, 2:6] = 300
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "scan.nii.gz")
    with rest_stand_in() if request.param == "rest" else stand_in() as server:
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("VCAM_")},
            "VCAM_SERVER": server.address,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }

        def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, "-c", "from vcam_client._cli import main; main()", *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,  # ends what would wait for a pipe for ever
            )

        yield command


@pytest.mark.parametrize("name", _COMMANDS)
def test_help(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"{name} [OPTIONS]" in done.stdout
    assert done.stderr == ""


def test_predict_writes_what_it_prints(run: Run, tmp_path: Path) -> None:
    done = run("predict", "scan.nii.gz", "--threshold", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "scan_result.json").read_text(encoding="utf-8"))
    assert printed["scores"] == {"clear": 0.25, "lesion": 0.75}
    heatmap = nib.load(tmp_path / "scan_heatmap.nii.gz")
    np.testing.assert_array_equal(heatmap.affine, AFFINE)
    assert heatmap.get_fdata().max() > 0
    assert (tmp_path / "scan_mask.nii.gz").exists()


def test_predict_prints_text(run: Run) -> None:
    done = run("predict", "scan.nii.gz", "--class", "lesion")
    assert done.returncode == 0, done.stderr
    assert "75.00" in done.stdout
    assert "scan_heatmap.nii.gz" in done.stdout


def test_predict_refuses_a_threshold_that_is_no_share(run: Run, tmp_path: Path) -> None:
    for share in ("2", "much"):
        done = run("predict", "scan.nii.gz", "--threshold", share)
        assert done.returncode == 2
        assert "--threshold" in done.stderr
        assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(("predict", ""), ("predict", "scan.nii.gz", ""), ("predict", "", "--series", "1")),
        *(("predict", "scan.nii.gz", "--out", ""), ("predict", "scan.nii.gz", "--truth", "")),
        *(("verify", ""), ("verify", "scan.nii.gz", "--out", "")),
        *(("inspect", ""), ("inspect", "scan.nii.gz", "--picture", "")),
        *(("status", "--ca", ""), ("status", "--token-file", "")),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_refused(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode in (1, 2)
    assert "received an empty one" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz"}


def test_a_folder_of_scans(run: Run, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        content = (tmp_path / "scan.nii.gz").read_bytes()
        (tmp_path / "scans" / f"{name}.nii.gz").write_bytes(content)
    done = run("predict", "scans", "--out", "results")
    assert done.returncode == 0, done.stderr
    assert {"a_heatmap.nii.gz", "b_heatmap.nii.gz", "results.csv"} <= {
        path.name for path in (tmp_path / "results").iterdir()
    }


def test_inspect_info_status(run: Run) -> None:
    seen = run("inspect", "scan.nii.gz")
    assert seen.returncode == 0, seen.stderr
    assert "16×12×8" in seen.stdout
    known = run("info")
    assert known.returncode == 0, known.stderr
    assert "lesion" in known.stdout
    status = run("status")
    assert status.returncode == 0, status.stderr
    assert "AVAILABLE" in status.stdout


def test_doctor_says_what_works(run: Run) -> None:
    done = run("doctor")
    assert "stand-in" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def test_the_settings_file_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "vcam").mkdir(parents=True)
    settings = tmp_path / "config" / "vcam" / "client.toml"
    settings.write_text('timeout = 7\nmetadata = { "x-site" = "one" }\n')
    assert run("info").returncode == 0
    settings.write_text("nonsense = 1\n")
    refused = run("info")
    assert refused.returncode == 1
    assert "nonsense" in refused.stderr


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_a_settings_file_that_is_a_pipe_is_refused(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "config" / "vcam").mkdir(parents=True)
    os.mkfifo(tmp_path / "config" / "vcam" / "client.toml")
    done = run(command)
    assert done.returncode == 1
    assert "client.toml' is a pipe" in done.stderr


def test_the_null_device_is_a_settings_file_without_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "vcam").mkdir(parents=True)
    (tmp_path / "config" / "vcam" / "client.toml").symlink_to(os.devnull)
    assert run("info").returncode == 0
