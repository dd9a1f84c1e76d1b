"""Which reader gets which path, and with which options."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from client.dicom_files import write_series

from vcam_client import Volume, _dicom, read_volume
from vcam_client._options import ReadOptions
from vcam_client.errors import InputError, ScanNotFoundError
from vcam_client.reading import holds_dicom

PLANE = np.zeros((6, 5), np.uint8)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, ReadOptions]]:
    """What the DICOM reader was asked to read."""
    calls = []

    def read_dicom(path: Path, options: ReadOptions) -> Volume:
        calls.append((path, options))
        return Volume(data=np.zeros((2, 2, 2)), affine=np.eye(4))

    monkeypatch.setattr(_dicom, "read_dicom", read_dicom)
    return calls


def tiff(path: Path) -> None:
    tifffile.imwrite(path, PLANE)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("IM0001", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"),
        ("IM0001.dcm", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"),
        ("scan.zip", b"PK\x03\x04"),
        ("DICOMDIR", bytes(128) + b"DICM"),
        ("both.tif", b"II*\0" + bytes(124) + b"DICM"),
        ("page.html", b"<!DOCTYPE html>"),
    ],
)
def test_what_is_not_recognised_goes_to_the_dicom_reader(
    tmp_path: Path, taken: list[tuple[Path, ReadOptions]], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert holds_dicom(tmp_path / name)
    read_volume(tmp_path / name, series=3, strict=True)
    assert taken == [(tmp_path / name, ReadOptions(series="3", strict=True))]


def test_a_folder_of_slices_is_dicom_only_where_there_is_dicom(
    tmp_path: Path, taken: list[tuple[Path, ReadOptions]]
) -> None:
    for n in range(3):
        tiff(tmp_path / f"slice{n}.tif")
    assert not holds_dicom(tmp_path)
    assert read_volume(tmp_path, spacing=1).shape == (5, 6, 3)
    assert not taken
    write_series(tmp_path / "series", np.zeros((2, 4, 4), np.int16))
    assert holds_dicom(tmp_path)
    read_volume(tmp_path, spacing=1)
    assert [path for path, _ in taken] == [tmp_path]


def test_a_folder_of_other_files_goes_to_the_dicom_reader(
    tmp_path: Path, taken: list[tuple[Path, ReadOptions]]
) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    read_volume(tmp_path)
    assert [path for path, _ in taken] == [tmp_path]


def test_a_series_of_a_file_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "s.tif")
    with pytest.raises(InputError, match=r"is no DICOM file.* Leave out --series"):
        read_volume(tmp_path / "s.tif", series=1)


@pytest.mark.parametrize(
    "spacing", [0, -1, (1, 2), (1, 2, 3, 4), float("nan"), (1, float("inf"), 1)]
)
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, spacing: float) -> None:
    tiff(tmp_path / "s.tif")
    with pytest.raises(InputError, match=r"one spacing or three \(columns, rows, slices\) in mm"):
        read_volume(tmp_path / "s.tif", spacing=spacing)


def test_nothing_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ScanNotFoundError, match="no file or folder"):
        read_volume(tmp_path / "scan.tif")


def test_libraries_are_imported_by_the_files_that_need_them(tmp_path: Path) -> None:
    tiff(tmp_path / "s.tif")
    code = f"""
import sys
import vcam_client
heavy = {{"numpy", "nibabel", "pydicom", "tifffile", "imagecodecs", "PIL"}}
print(sorted(heavy & set(sys.modules)))
vcam_client.read_volume({str(tmp_path / "s.tif")!r})
print(sorted({{"nibabel", "pydicom", "tifffile", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['tifffile']"]
