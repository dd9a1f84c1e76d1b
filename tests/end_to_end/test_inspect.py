"""`vcam-client inspect`: what it finds, says and writes, and what it keeps to itself."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner, Result
from client.dicom_files import CR, write_series, write_slice
from PIL import Image

from vcam_client import read_volume
from vcam_client._cli import main

VOXELS = np.random.default_rng(0).integers(-1024, 2000, (6, 7, 8)).astype(np.int16)
SECRETS = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN0012345",
    "PatientBirthDate": "19701231",
    "StudyDate": "20240229",
    "AccessionNumber": "ACC998877",
    "SeriesDescription": "Thorax Jane",
    "SeriesInstanceUID": "1.2.3.20240229.7",
}


def inspect(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    write_series(folder / "a", VOXELS, SeriesNumber=7, PixelPaddingValue=-1024, **SECRETS)
    write_series(
        folder / "b", VOXELS[:4], SeriesNumber=3, SeriesInstanceUID="1.2.9", step=(0, 1, 3.0)
    )
    localizer = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_slice(folder / "scout", VOXELS[0], (0, 0, 9), ImageType=localizer, **SECRETS)
    return folder


def test_several_series_make_a_table(two_series: Path) -> None:
    result = inspect(two_series)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    first = next(line for line in lines if "series number 3" in line)
    second = next(line for line in lines if "series number 7" in line)
    assert first.split()[0] == "1"
    assert "8×7×4" in first
    assert second.split()[0] == "2"
    assert "8×7×6" in second
    assert "  1 × localizer" in lines
    assert any("gantry tilt of 18.4°" in line for line in lines)
    assert lines[-1] == "Choose a series with --series NUMBER."


def test_a_chosen_series_is_described(two_series: Path) -> None:
    result = inspect(two_series, "--series", 2)
    assert result.exit_code == 0
    assert "8×7×6, int16" in result.output
    assert "0.7×0.9×2.5 mm" in result.output
    assert "left, posterior, superior" in result.output
    assert "← read" in result.output
    least = VOXELS[VOXELS > -1024].min()
    assert f"{least} to {VOXELS.max()} HU" in result.output


def test_a_series_that_is_not_there_is_refused(two_series: Path) -> None:
    result = inspect(two_series, "--series", 3)
    assert result.exit_code == 1
    assert "found no such series" in result.output


def test_json_says_the_same(two_series: Path) -> None:
    answer = json.loads(inspect(two_series, "--series", 1, "--json").stdout)
    assert answer["chosen"] == 1
    assert answer["left_out"] == {"localizer": 1}
    assert answer["volume"]["units"] == "HU"
    assert "gantry tilt" in answer["volume"]["warnings"][0]
    assert answer["volume"]["padding_share"] > 0
    assert [s["shape"] for s in answer["series"]] == [[8, 7, 4], [8, 7, 6]]


def test_nothing_of_the_patient_is_shown_unless_asked_for(two_series: Path) -> None:
    plain = inspect(two_series).output + inspect(two_series, "--series", 2, "--json").output
    assert not [value for value in SECRETS.values() if value in plain]
    asked = inspect(two_series, "--identifiers").output
    assert SECRETS["SeriesInstanceUID"] in asked
    assert SECRETS["SeriesDescription"] in asked
    assert SECRETS["PatientName"] not in asked


def test_strict_refuses_what_would_be_resampled(two_series: Path) -> None:
    result = inspect(two_series, "--series", 1, "--strict")
    assert result.exit_code == 1
    assert "gantry tilt" in result.output


def test_a_picture_of_the_three_planes(two_series: Path, tmp_path: Path) -> None:
    target = tmp_path / "planes.png"
    result = inspect(two_series, "--series", 2, "--picture", target)
    assert result.exit_code == 0
    with Image.open(target) as picture:
        assert picture.format == "PNG"
        shown = np.asarray(picture.convert("L"))
    assert len(np.unique(shown)) > 50  # grey values, not a blank canvas


def test_a_picture_goes_to_a_png_in_a_folder_that_is_there(
    two_series: Path, tmp_path: Path
) -> None:
    for name in ("planes.jpg", "nowhere/planes.png"):
        result = inspect(two_series, "--series", 2, "--picture", tmp_path / name)
        assert result.exit_code == 2
        assert "Invalid value for '--picture'" in result.output
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("spacing", ["abc", "0", "-1", "1,2", "0,02", "1,2,inf"])
def test_a_spacing_that_is_none_is_refused(two_series: Path, spacing: str) -> None:
    result = inspect(two_series, "--spacing", spacing)
    assert result.exit_code == 2
    assert "expected millimetres above 0" in result.output


def test_options_that_dicom_answers_itself_are_refused(two_series: Path) -> None:
    result = inspect(two_series, "--series", 2, "--spacing", 3)
    assert result.exit_code == 1
    assert "states its own spacing, 0.7×0.9 mm" in result.output
    result = inspect(two_series, "--series", 2, "--volume-index", 1)
    assert result.exit_code == 1
    assert "leave out --volume-index" in result.output


def test_a_radiograph_without_spacing(tmp_path: Path) -> None:
    write_slice(
        tmp_path / "cr", VOXELS[0], (0, 0, 0), SOPClassUID=CR, Modality="CR", PixelSpacing=None
    )
    result = inspect(tmp_path / "cr", "--picture", tmp_path / "cr.png")
    assert result.exit_code == 0
    assert "spacing      unknown" in result.output
    assert (tmp_path / "cr.png").exists()


@pytest.mark.parametrize("name", ["text.txt", "empty.dcm", "missing"])
def test_what_is_no_scan_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("hello " * 100)
    (tmp_path / "empty.dcm").touch()
    result = inspect(tmp_path / name)
    assert result.exit_code == 1
    assert result.output.count("vcam-client: ") == 1
    assert "Traceback" not in result.output


def test_without_anatomical_directions_the_place_is_unknown(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOXELS)
    result = inspect(tmp_path / "a.npy", "--spacing", 2, "--strict")  # an array has none by design
    assert result.exit_code == 0
    rows = [line.split(maxsplit=1) for line in result.output.splitlines()]
    assert ["place", "unknown: no anatomical directions are stated"] in rows
    assert "axes run to" not in result.output
    assert "note" not in result.output


def test_strict_promises_only_what_inspect_refuses_without_a_model(tmp_path: Path) -> None:
    said = {
        command: " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
        for command in ("inspect", "predict")
    }
    promise = "--strict Refuse what could only be read by resampling or assuming something"
    assert f"{promise}. --json" in said["inspect"]
    assert f"{promise}, and values that can't be the model's Hounsfield units." in said["predict"]
    write_series(tmp_path / "ct", VOXELS // 100 + 30000)  # a CT that can't be one
    result = inspect(tmp_path / "ct", "--strict")
    assert result.exit_code == 0
    assert "The file states HU, but its values do not look like it" in result.output


@pytest.mark.parametrize("path", [".", "..", "../scans/."])
def test_a_folder_without_a_name_of_its_own_is_named(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scans"
    write_series(folder / "a", VOXELS)
    monkeypatch.chdir(folder / "a" if path == ".." else folder)
    assert inspect(path).output.splitlines()[0] == "scans"
    assert json.loads(inspect(path, "--json").stdout)["name"] == "scans"
    assert read_volume(path).name == "scans"


def test_a_refusal_names_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "notes.txt").write_text("nothing to read " * 50)
    monkeypatch.chdir(tmp_path / "scans")
    result = inspect(".")
    assert result.exit_code == 1
    assert "that vcam reads in scans: " in result.output


def write_formats(folder: Path) -> list[str]:
    """A scan each of several formats; their names."""
    (folder / "more").mkdir(parents=True)
    image = nibabel.Nifti1Image(VOXELS, np.diag([1, 2, 3, 1]))
    for name in ("a.nii", "b.nii.gz", "more/c.nii"):
        nibabel.save(image, folder / name)
    nibabel.save(nibabel.MGHImage(VOXELS, np.eye(4)), folder / "d.mgz")
    (folder / "notes.txt").write_text("nothing to read " * 50)
    return ["a.nii", "b.nii.gz", "d.mgz", "more/c.nii"]


def test_a_folder_of_other_formats_names_its_scans(tmp_path: Path) -> None:
    names = write_formats(tmp_path / "my scans")
    result = inspect(tmp_path / "my scans")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    at = lines.index("scans")
    assert lines[at + 1 : at + 5] == [f"  {name}" for name in names]
    assert lines[-1] == (
        "Expected one scan in my scans, found 4. Name one of them, or score them all with "
        f"`vcam-client predict '{tmp_path / 'my scans'}' --out RESULTS`."
    )
    assert "gzip" not in result.output
    answer = json.loads(inspect(tmp_path / "my scans", "--json").stdout)
    assert answer["scans"] == names
    assert answer["refusal"] == lines[-1]


def test_a_picture_of_several_scans_is_refused(tmp_path: Path) -> None:
    write_formats(tmp_path / "scans")
    result = inspect(tmp_path / "scans", "--picture", tmp_path / "planes.png")
    assert result.exit_code == 1
    assert "vcam-client: Expected one scan in scans, found 4." in result.output
    assert not (tmp_path / "planes.png").exists()


def test_many_scans_are_named_up_to_twenty_and_counted(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    for n in range(23):
        nibabel.save(image, tmp_path / f"{n:02}.nii")
    lines = inspect(tmp_path).output.splitlines()
    assert "  19.nii" in lines
    assert "  20.nii" not in lines
    assert "  … and 3 more" in lines
    assert len(json.loads(inspect(tmp_path, "--json").stdout)["scans"]) == 23


def test_a_line_break_in_a_name_breaks_no_line(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    for name in ("new\nline.nii", "ä.nii"):
        nibabel.save(image, tmp_path / name)
    lines = inspect(tmp_path).output.splitlines()
    assert "  new\\nline.nii" in lines
    assert "  ä.nii" in lines


def test_the_only_scan_of_a_folder_is_described(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), tmp_path / "scans" / "a.nii")
    result = inspect(tmp_path / "scans")
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "a.nii"
    assert "6×7×8, int16" in result.output


def test_scans_of_other_formats_beside_a_series_are_named(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "ct", VOXELS)
    names = write_formats(tmp_path / "scans")
    result = inspect(tmp_path / "scans")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    at = lines.index("other scans")
    assert lines[at + 1 : at + 5] == [f"  {name}" for name in names]
    assert "8×7×6, int16" in result.output
    assert "gzip" not in result.output


def test_a_folder_of_slices_without_spacing_is_one_scan(tmp_path: Path) -> None:
    for n, pixels in enumerate(VOXELS.astype(np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    result = inspect(tmp_path)
    assert result.exit_code == 1
    assert "--spacing" in result.output
    assert inspect(tmp_path, "--spacing", 1).exit_code == 0
