"""`vcam-client verify` as a user runs it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import jsonschema
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from vcam_client.verification import verification_schema

if TYPE_CHECKING:
    from served.server import ServerUnderTest

VCAM_CLIENT = Path(sys.executable).with_name("vcam-client")
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 3, -30], [0, -2.5, 0, 60], [0, 0, 0, 1]])
BLOB = (20, 9, 13)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    data = np.full((30, 28, 24), -900, np.int16)
    data[tuple(slice(n - 3, n + 4) for n in BLOB)] = 900
    nib.save(nib.Nifti1Image(data, AFFINE), "scan.nii.gz")
    nib.save(nib.Nifti1Image(np.full((30, 28, 24), -1000, np.int16), AFFINE), "air.nii.gz")


@pytest.fixture
def address(server: "ServerUnderTest", monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VCAM_SERVER", server.address)
    return server.address


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [VCAM_CLIENT, "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def written(folder: str = ".") -> set[str]:
    inputs = {"scan.nii.gz", "air.nii.gz", "xray.png"}
    return {p.name for p in Path(folder).glob("*") if p.is_file()} - inputs


@pytest.mark.usefixtures("address")
def test_it_prints_what_became_of_the_score_and_names_its_files() -> None:
    done = verify("scan.nii.gz", "--model", "bright", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "scan: bright, version 1 (served as 'bright')"
    for words in (
        "bright ",
        "  hiding what the map marks (",
        "  hiding the same shape elsewhere, 19 places",
        "  hiding everything else",
        "  strongest block of the occlusion map (",
        "Supported: the score depends on what the map marks.",
    ):
        assert sum(line.startswith(words) for line in lines) == 1, words
    assert re.search(r"(mostly in|touches) the marked part \(\d+ % of the blocks", done.stdout)
    assert written("out") == {"scan_verify.json", "scan_verify.png", "scan_occlusion.nii.gz"}
    assert written() == set()
    for name in written("out"):
        assert f"out/{name}" in done.stdout
    content = json.loads(Path("out/scan_verify.json").read_text())
    jsonschema.Draft202012Validator(verification_schema()).validate(content)
    assert content["verdict"] == "supported"
    drops = nib.load("out/scan_occlusion.nii.gz")
    assert drops.shape == (30, 28, 24)
    np.testing.assert_allclose(drops.affine, AFFINE, atol=1e-6)
    strongest = np.unravel_index(np.argmax(drops.get_fdata()), drops.shape)
    assert (np.abs(np.subtract(strongest, BLOB)) <= 4).all()
    with Image.open("out/scan_verify.png") as picture:
        assert picture.size[0] > 500


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize("model", ["ct", "findings", "mr", "regression", "slices"])
def test_every_kind_of_model_has_an_answer(model: str) -> None:
    done = verify("scan.nii.gz", "--model", model, "--blocks", "20")
    assert done.returncode == 0, done.stderr
    content = json.loads(Path("scan_verify.json").read_text())
    jsonschema.Draft202012Validator(verification_schema()).validate(content)
    assert ("logit" in done.stdout) == (model != "regression")


@pytest.mark.usefixtures("address")
def test_a_picture_gets_a_picture() -> None:
    grey = np.random.default_rng(4).integers(0, 4000, (40, 36)).astype(np.uint16)
    Path("xray.png").write_bytes(imagecodecs.png_encode(grey))
    done = verify("xray.png", "--model", "radiograph", "--blocks", "30")
    assert done.returncode == 0, done.stderr
    assert written() == {"xray_verify.json", "xray_verify.png", "xray_occlusion.png"}
    with Image.open("xray_occlusion.png") as picture:
        assert picture.size == (36, 40)
    content = json.loads(Path("xray_verify.json").read_text())
    assert content["occlusion"]["affine_ras_mm"] is None
    jsonschema.Draft202012Validator(verification_schema()).validate(content)


@pytest.mark.usefixtures("address")
def test_no_evidence_is_an_answer_too() -> None:
    done = verify("air.nii.gz", "--model", "bright")
    assert done.returncode == 0, done.stderr
    assert "No map to check. No evidence for bright" in done.stdout
    assert json.loads(Path("air_verify.json").read_text())["marked_hidden"] is None
    assert not nib.load("air_occlusion.nii.gz").get_fdata().any()


@pytest.mark.usefixtures("address")
def test_json_fill_and_class() -> None:
    done = verify(
        "scan.nii.gz", "--model", "ct", "--class", "normal", "--fill", "padding", "--json", "-v"
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads(Path("scan_verify.json").read_text())
    assert (printed["label"], printed["fill"]) == ("normal", {"kind": "padding", "value": -1024.0})
    assert f"{printed['inputs']} inputs of the model in {printed['calls']} calls" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("gone.nii.gz",), "There is no file", 1),
        (("scan.nii.gz", "--model", "nope"), "--model NAME", 1),
        (("scan.nii.gz", "--model", "ct", "--class", "tumour"), "Choose one of: normal", 1),
        (("scan.nii.gz", "--model", "ct", "--blocks", "0"), "--blocks", 2),
        (("scan.nii.gz", "--model", "ct", "--out", "scan.nii.gz/x"), "Can't write", 1),
    ],
)
@pytest.mark.usefixtures("address")
def test_mistakes_are_one_message_and_leave_nothing(
    arguments: tuple[str, ...], words: str, code: int
) -> None:
    done = verify(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert written() == set()


@pytest.mark.usefixtures("address")
def test_progress_is_told_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [VCAM_CLIENT, "verify", "scan.nii.gz", "--model", "bright"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            told += part
        assert process.stdout is not None
        said = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"\r0/" in told
    assert b" scored" in told
    assert told.endswith(b" \r")  # the line is cleared
    assert "scored" not in said


def test_the_python_in_the_docs_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "verify.md"
    (block,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    block = block.replace('"127.0.0.1:8500"', f'"{address}"')
    block = block.replace('"scan.nii.gz"', '"scan.nii.gz", model="bright"')
    exec(compile(block, page.name, "exec"), {"__name__": "verify"})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("0 ")  # progress
    assert printed[-1].startswith("supported ")
    assert written("results") == {"scan_verify.json", "scan_verify.png", "scan_occlusion.nii.gz"}
