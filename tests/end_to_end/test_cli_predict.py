"""The choices of `vcam-client predict`: what is explained, written and printed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from client.dicom_files import write_series
from PIL import Image

from vcam_client._cli import main

if TYPE_CHECKING:
    from served.server import ServerUnderTest

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    data = np.full((30, 28, 24), -900, np.int16)
    data[18:24, 6:12, 10:16] = 300
    nib.save(nib.Nifti1Image(data, AFFINE), "scan.nii.gz")
    nib.save(nib.Nifti1Image((data > 0).astype(np.uint8), AFFINE), "mask.nii.gz")


@pytest.fixture
def run(server: "ServerUnderTest", monkeypatch: pytest.MonkeyPatch) -> "Runner":
    monkeypatch.setenv("VCAM_SERVER", server.address)
    return Runner()


class Runner:
    def __call__(self, *arguments: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, ["predict", *map(str, arguments)], input=stdin)


def written() -> set[str]:
    inputs = {"scan.nii.gz", "mask.nii.gz"}
    return {str(p) for p in Path().rglob("*") if p.is_file()} - inputs


def test_json_is_what_is_written(run: Runner) -> None:
    done = run("scan.nii.gz", "--model", "bright", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(Path("scan_result.json").read_text())


def test_no_heatmap_leaves_only_the_result(run: Runner) -> None:
    assert run("scan.nii.gz", "--model", "bright", "--no-heatmap").exit_code == 0
    assert written() == {"scan_result.json"}


def test_a_class_by_name_and_all_classes(run: Runner) -> None:
    done = run("scan.nii.gz", "--model", "ct", "--class", "normal")
    assert "← explained" in next(li for li in done.output.splitlines() if " normal " in f" {li} ")
    done = run("scan.nii.gz", "--model", "ct", "--all-classes", "--out", "all")
    assert done.exit_code == 0, done.output
    assert {f"all/scan_{label}_heatmap.nii.gz" for label in ("normal", "abnormal")} <= written()
    both = run("scan.nii.gz", "--model", "ct", "--all-classes", "--class", "normal")
    assert both.exit_code == 1
    assert "Leave one out" in both.output


def test_a_threshold_writes_a_mask_and_a_truth_is_compared(run: Runner) -> None:
    done = run("scan.nii.gz", "--model", "bright", "--threshold", 0.5, "--truth", "mask.nii.gz")
    assert done.exit_code == 0, done.output
    mask = nib.load("scan_mask.nii.gz")
    np.testing.assert_array_equal(mask.affine, AFFINE)
    assert set(np.unique(np.asanyarray(mask.dataobj))) == {0, 1}
    assert "Dice" in done.output
    wrong = run("scan.nii.gz", "--model", "bright", "--truth", "gone.nii.gz")
    assert wrong.exit_code == 1
    assert "gone.nii.gz" in wrong.output


def test_a_signed_map_has_both_signs(run: Runner) -> None:
    assert run("scan.nii.gz", "--model", "ct", "--signed").exit_code == 0
    heat = nib.load("scan_heatmap.nii.gz").get_fdata()
    assert -1 <= heat.min() <= heat.max() <= 1
    assert max(-heat.min(), heat.max()) > 0.5  # the strongest cell lies between voxels


def test_a_dry_run_asks_for_nothing_and_writes_nothing(run: Runner) -> None:
    done = run("scan.nii.gz", "--model", "ct", "--dry-run")
    assert done.exit_code == 0
    assert "to send" in done.output
    assert " %" not in done.output.replace("%", " %", 0).split("to send")[1]
    assert written() == set()


def test_verbose_says_bytes_and_seconds_on_stderr(run: Runner) -> None:
    done = run("scan.nii.gz", "--model", "ct", "--verbose")
    assert "MB up" in done.stderr
    assert "kB down" in done.stderr
    assert "MB up" not in done.stdout


def test_a_folder_of_series_asks_for_a_choice(run: Runner) -> None:
    voxels = np.zeros((6, 8, 8), np.int16)
    write_series(Path("study/one"), voxels, SeriesInstanceUID="1.2.1", SeriesNumber=1)
    write_series(Path("study/two"), voxels, SeriesInstanceUID="1.2.2", SeriesNumber=2)
    done = run("study", "--model", "ct")
    assert done.exit_code == 1
    assert "--out FOLDER" in done.output
    assert "--series NUMBER" in done.output
    chosen = run("study", "--model", "ct", "--series", 2)
    assert chosen.exit_code == 0, chosen.output
    every = run("study", "--model", "ct", "--out", "results")
    assert every.exit_code == 0, every.output
    rows = [json.loads(line) for line in Path("results/results.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert {row["status"] for row in rows} == {"done"}


def test_a_folder_of_slices_with_a_spacing_is_one_scan(run: Runner) -> None:
    Path("slices").mkdir()
    for n in range(4):
        pixels = np.full((9, 8), 40 * n, np.uint8)
        Image.fromarray(pixels).save(f"slices/slice{n}.png")
    done = run("slices", "--model", "mr", "--spacing", 1.5)
    assert done.exit_code == 0, done.output
    assert nib.load("slices_heatmap.nii.gz").shape == (8, 9, 4)


def test_a_list_on_standard_input_and_patterns(run: Runner) -> None:
    for name in ("a", "b"):
        Path(f"{name}.nii.gz").write_bytes(Path("scan.nii.gz").read_bytes())
    listed = run("-", "--model", "ct", "--out", "listed", stdin="a.nii.gz\nb.nii.gz\n")
    assert listed.exit_code == 0, listed.output
    assert "2 done" in listed.output
    pattern = run("[ab].nii.gz", "--model", "ct", "--out", "pattern")
    assert "2 done" in pattern.output


def test_shards_share_the_work(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        Path(f"scan{n}.nii.gz").write_bytes(Path("scan.nii.gz").read_bytes())
    for shard in ("1/2", "2/2"):
        assert (
            run("scan[0-9].nii.gz", "--model", "ct", "--out", "out", "--shard", shard).exit_code
            == 0
        )
    logs = sorted(Path("out").glob("results-*.jsonl"))
    keys = [json.loads(line)["key"] for log in logs for line in log.read_text().splitlines()]
    assert sorted(keys) == [f"scan{n}.nii.gz" for n in range(6)]
    assert run("scan[0-9].nii.gz", "--out", "out", "--shard", "3/2").exit_code == 1


def test_the_same_over_rest(run: Runner, server: "ServerUnderTest") -> None:
    first = run("scan.nii.gz", "--model", "bright", "--json", "--out", "grpc")
    rest = run(
        "scan.nii.gz",
        "--model",
        "bright",
        "--json",
        "--out",
        "rest",
        "--server",
        f"http://{server.rest_address}",
    )
    assert rest.exit_code == 0, rest.output
    one, other = json.loads(first.stdout), json.loads(rest.stdout)
    for label, score in one["scores"].items():
        assert other["scores"][label] == pytest.approx(score, abs=1e-6)
    heat = [nib.load(f"{way}/scan_heatmap.nii.gz").get_fdata() for way in ("grpc", "rest")]
    np.testing.assert_allclose(*heat, atol=1 / 255 + 1e-6)


def test_a_token_file_is_read_and_never_shown(run: Runner) -> None:
    Path("token").write_text("s3cret\n")
    assert run("scan.nii.gz", "--model", "ct", "--token-file", "token").exit_code == 0
    away = run("scan.nii.gz", "--token-file", "token", "--server", "far.example:8500")
    assert away.exit_code == 1
    assert "Expected TLS where a token is sent" in away.output
    assert "s3cret" not in away.output
    gone = run("scan.nii.gz", "--token-file", "gone")
    assert gone.exit_code == 1
    assert "token file 'gone' can't be read" in gone.output
