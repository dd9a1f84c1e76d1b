"""NRRD, MetaImage and MGH wherever the kind of a file matters, and kinds that are not read."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name that all its examples use
from click.testing import CliRunner
from client.dicom_files import write_series

from vcam_client import read_volume
from vcam_client._cli import main
from vcam_client._options import ReadOptions
from vcam_client.batch import find_scans
from vcam_client.errors import InputError, UnsupportedFormatError
from vcam_client.reading import kind_of
from vcam_client.truth import Truth

VOXELS = np.random.default_rng(0).integers(0, 250, (4, 5, 6)).astype(np.uint8)
SPOKEN_FOR = "data file of a header"
ALL = ("scan.nrrd", "scan.nhdr", "scan.mha", "scan.mhd", "scan.mgh", "scan.mgz")


def write(path: Path, data: np.ndarray = VOXELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".mgh", ".mgz"):
        nib.save(nib.MGHImage(data, np.diag([-1, -1, 1, 1]).astype(np.float32)), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(data.T)), str(path))
    return path


def test_each_is_a_scan_of_a_folder_and_a_header_with_its_data_one(tmp_path: Path) -> None:
    for name in ALL:
        write(tmp_path / name.replace(".", "_") / name)
    found = find_scans([tmp_path])
    assert [item.key for item in found] == sorted(f"{n.replace('.', '_')}/{n}" for n in ALL)
    assert not found.left_out
    assert {item.name.split("/")[1] for item in found} == {"scan"}
    for item in found:
        np.testing.assert_array_equal(item.read(ReadOptions()).data, VOXELS)


def test_scans_of_one_name_in_one_folder_keep_their_results_apart(tmp_path: Path) -> None:
    for name in ("scan.nrrd", "scan.mha", "scan.mgz", "scan.mgh"):
        write(tmp_path / name)
    names = [item.name for item in find_scans([tmp_path])]
    assert names == ["scan.mgh", "scan.mgz", "scan.mha", "scan.nrrd"]


@pytest.mark.parametrize(
    "data", ["scan.raw", "scan.img", "in/scan.raw", "voxels.nii", "scan.dcm", "x"]
)
def test_a_data_file_of_any_name_is_no_scan_of_its_own(tmp_path: Path, data: str) -> None:
    write(tmp_path / "scan.mhd")
    (tmp_path / data).parent.mkdir(exist_ok=True)
    (tmp_path / "scan.raw").rename(tmp_path / data)
    header = tmp_path / "scan.mhd"
    header.write_text(header.read_text().replace("scan.raw", data))
    found = find_scans([tmp_path])
    assert [item.key for item in found] == ["scan.mhd"]
    # a name that promises a scan is accounted for
    assert set(found.left_out) == (set() if data[-3:] in ("raw", "img") else {SPOKEN_FOR})
    assert found[0].size == header.stat().st_size + VOXELS.nbytes
    np.testing.assert_array_equal(found[0].read(ReadOptions()).data, VOXELS)


def test_bare_voxels_are_no_scan(tmp_path: Path) -> None:
    write(tmp_path / "scan.mhd")
    (tmp_path / "other.raw").write_bytes(bytes(99))
    found = find_scans([tmp_path])
    assert [item.key for item in found] == ["scan.mhd"]
    assert list(found.left_out) == [
        "bare voxels without a header, not read by vcam: Give the header that names them: the "
        ".mhd or .nhdr file."
    ]
    with pytest.raises(UnsupportedFormatError, match=r"the \.mhd or \.nhdr file"):
        read_volume(tmp_path / "other.raw")
    (tmp_path / "scan.raw").unlink()
    broken = find_scans([tmp_path])
    assert [item.key for item in broken] == ["scan.mhd"]  # a scan that fails
    with pytest.raises(InputError, match="missing beside it"):
        broken[0].read(ReadOptions())


@pytest.mark.parametrize(
    ("name", "kind", "tool"),
    [
        ("brain.mnc", "MINC", "mnc2nii"),
        ("brain.MNC.gz", "MINC", "mnc2nii"),
        ("T1.PAR", "Philips PAR/REC", "dcm2niix"),
        ("T1.rec", "Philips PAR/REC", "parrec2nii"),
        ("anat+orig.HEAD", "AFNI", "3dAFNItoNIFTI"),
        ("anat+orig.BRIK.gz", "AFNI", "3dAFNItoNIFTI"),
        ("dwi.mif", "MRtrix", "mrconvert"),
        ("arrays.npz", r"archive of arrays", r"numpy\.save"),
    ],
)
def test_kinds_that_are_not_read_name_what_converts_them(
    tmp_path: Path, name: str, kind: str, tool: str
) -> None:
    path = tmp_path / name
    if name.endswith(".npz"):
        np.savez(path, a=VOXELS)
    else:
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    assert kind_of(path) == "foreign"
    with pytest.raises(UnsupportedFormatError, match=f"{kind}.*not read by vcam.*{tool}"):
        read_volume(path)
    with pytest.raises(InputError, match=f"Found no scans .*{kind}.*{tool}"):
        find_scans([tmp_path])
    shown = CliRunner().invoke(main, ["inspect", str(path)])
    assert shown.exit_code != 0
    assert "not read by vcam" in shown.output


def test_dicom_under_such_a_name_is_dicom(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "series", VOXELS[:1].astype(np.uint16))
    for n, suffix in enumerate((".rec", ".mha", ".nrrd")):
        assert kind_of(paths[0].rename(tmp_path / f"{n}{suffix}")) == "dicom"
        (tmp_path / f"{n}{suffix}").rename(paths[0])


@pytest.mark.parametrize("name", ALL)
def test_inspect_and_masks(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    answer = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    assert answer.exit_code == 0
    volume = json.loads(answer.output)["volume"]
    assert volume["shape"] == [4, 5, 6]
    assert volume["orientation"] == "LPS"
    mask = write(tmp_path / "mask" / name, (VOXELS > 100).astype(np.uint8))
    truth = Truth.read(mask, read_volume(path))
    np.testing.assert_array_equal(truth.mask, VOXELS > 100)
    assert not truth.remarks
