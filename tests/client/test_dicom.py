"""DICOM series written here, read back: voxels, geometry, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from client.dicom_files import CR, MR, write_series, write_slice
from pydicom.uid import generate_uid

from vcam_client import read_volume
from vcam_client.errors import (
    CorruptFileError,
    InconsistentSeriesError,
    InputError,
    UnsupportedFormatError,
)

VOXELS = np.random.default_rng(0).integers(-1024, 2000, (5, 6, 7)).astype(np.int16)


def test_voxels_and_affine_come_back(tmp_path: Path) -> None:
    write_series(tmp_path / "series", VOXELS)
    volume = read_volume(tmp_path / "series")
    np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0))
    # LPS (x to the left, y to posterior) becomes RAS by two changes of sign
    expected = [[-0.7, 0, 0, 10], [0, -0.9, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    assert volume.orientation == ("L", "P", "S")
    assert (volume.units, volume.modality, volume.name) == ("HU", "CT", "series")
    assert volume.data.dtype == np.int16


def test_sagittal_and_oblique_directions(tmp_path: Path) -> None:
    angle = np.radians(20)
    direction = (0, np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle))
    write_series(tmp_path, VOXELS, direction=direction, Modality="MR", SOPClassUID=MR)
    volume = read_volume(tmp_path)
    lps = np.diag([-1, -1, 1, 1.0]) @ volume.affine
    np.testing.assert_allclose(lps[:3, 0], np.multiply(direction[:3], 0.7), atol=1e-6)
    np.testing.assert_allclose(lps[:3, 1], np.multiply(direction[3:], 0.9), atol=1e-6)
    np.testing.assert_allclose(lps[:3, 2], np.cross(direction[:3], direction[3:]) * 2.5, atol=1e-6)
    assert volume.units == ""


def test_names_and_numbers_don_t_matter(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", VOXELS, InstanceNumber=1)
    first = read_volume(tmp_path / "a")
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for n, path in zip([3, 0, 4, 1, 2], paths, strict=True):
        path.rename(tmp_path / "b" / ("deep" if n % 2 else ".") / f"{n}.dcm")
    second = read_volume(tmp_path / "b")
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_array_equal(first.affine, second.affine)


def test_rescale_is_applied(tmp_path: Path) -> None:
    write_series(tmp_path / "whole", VOXELS.astype(np.uint16) % 4000, RescaleIntercept=-1024)
    whole = read_volume(tmp_path / "whole")
    expected = (VOXELS.astype(np.uint16) % 4000).astype(int).transpose(2, 1, 0) - 1024
    np.testing.assert_array_equal(whole.data, expected)
    assert whole.data.dtype == np.int16
    write_series(tmp_path / "fraction", VOXELS, RescaleSlope=0.5, RescaleIntercept=0.25)
    fraction = read_volume(tmp_path / "fraction")
    np.testing.assert_allclose(fraction.data, VOXELS.transpose(2, 1, 0) * 0.5 + 0.25)


def test_values_beyond_int16_are_kept(tmp_path: Path) -> None:
    stored = np.full((2, 4, 4), 65000, np.uint16)
    stored[1] = 3
    write_series(tmp_path, stored)
    volume = read_volume(tmp_path)
    assert volume.data[0, 0].tolist() == [65000.0, 3.0]


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000], [4095, 7]], np.uint16)
    write_slice(
        tmp_path / "cr.dcm",
        pixels,
        (0, 0, 0),
        SOPClassUID=CR,
        Modality="CR",
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=12,
        HighBit=11,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
    )
    volume = read_volume(tmp_path / "cr.dcm")
    assert volume.shape == (2, 2, 1)
    np.testing.assert_array_equal(volume.data[:, :, 0].T, 4095 - pixels.astype(int))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (None, ("L", "I", "P")),
        (["L", "F"], ("L", "I", "P")),
        (["A", "FL"], ("A", "I", "L")),
        (["R", "H"], ("R", "S", "P")),
        (["L", "R"], ("L", "I", "P")),
    ],
)
def test_a_radiograph_lies_as_its_patient_orientation_says(
    tmp_path: Path, codes: list[str] | None, expected: tuple[str, ...]
) -> None:
    pixels = np.zeros((3, 4), np.uint16)
    write_slice(
        tmp_path / "cr", pixels, (0, 0, 0), SOPClassUID=CR, Modality="CR", PatientOrientation=codes
    )
    assert read_volume(tmp_path).orientation == expected


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS)[2].unlink()
    with pytest.raises(InconsistentSeriesError, match=r"5\.000 mm after 7\.50 mm"):
        read_volume(tmp_path)


def test_a_position_twice_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS)
    dataset = pydicom.dcmread(paths[1])
    dataset.SOPInstanceUID = generate_uid()
    dataset.save_as(tmp_path / "again")
    with pytest.raises(InconsistentSeriesError, match=r"same position \(7\.5 mm.*Nothing in their"):
        read_volume(tmp_path)


def test_gantry_tilt_is_resampled_with_a_warning_or_refused_when_strict(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, step=(0.0, 0.8, 2.5))
    volume = read_volume(tmp_path)
    assert "17.7° off its normal" in volume.warnings[0]
    np.testing.assert_allclose(
        volume.affine[:3, :3].T @ volume.affine[:3, :3],
        np.diag([0.7**2, 0.9**2, 2.5**2]),
        atol=1e-9,
    )
    with pytest.raises(InconsistentSeriesError, match=r"17\.7° off its normal.*--strict"):
        read_volume(tmp_path, strict=True)


def test_two_series_are_refused_even_under_one_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, SeriesInstanceUID="")
    write_series(tmp_path / "b", VOXELS, SeriesInstanceUID="", direction=(0, 1, 0, 0, 0, -1))
    with pytest.raises(InconsistentSeriesError, match=r"Expected one series .* found 2"):
        read_volume(tmp_path)


def test_localizers_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS)
    localizer = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_slice(tmp_path / "loc", VOXELS[0], (0, 0, 99), ImageType=localizer)
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert read_volume(tmp_path).shape == (7, 6, 5)


def test_a_missing_sop_class_leaves_the_modality_to_decide(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, SOPClassUID=None)
    assert read_volume(tmp_path).modality == "CT"


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, UnsupportedFormatError, "localizer"),
        ({"PixelSpacing": None}, UnsupportedFormatError, r"how far apart.*--spacing"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, UnsupportedFormatError, "Secondary Capture"),
        ({"Rows": 600}, CorruptFileError, "pixels of IM001 can't be decoded"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(
    tmp_path: Path, tags: dict[str, Any], error: type[InputError], message: str
) -> None:
    write_series(tmp_path, VOXELS[:1], **tags)
    with pytest.raises(error, match=message):
        read_volume(tmp_path)


def test_an_image_without_position_is_read_with_a_warning(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS[:1], ImagePositionPatient=None, ImageOrientationPatient=None)
    volume = read_volume(tmp_path)
    assert volume.warnings[0].startswith("The file states no position or orientation")
    np.testing.assert_allclose(volume.spacing, (0.7, 0.9, 9))  # 9 mm: SliceThickness
    with pytest.raises(UnsupportedFormatError, match=r"no position or orientation.*--strict"):
        read_volume(tmp_path, strict=True)


def test_spacing_from_the_user_where_the_file_states_none(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, PixelSpacing=None)
    volume = read_volume(tmp_path, spacing=(0.5, 0.6, 99))
    # the distance of slices is stated by their positions
    np.testing.assert_allclose(volume.spacing, (0.5, 0.6, 2.5))
    assert volume.spacing_known


def test_a_radiograph_without_spacing_says_so(tmp_path: Path) -> None:
    write_slice(
        tmp_path / "cr", VOXELS[0], (0, 0, 0), SOPClassUID=CR, Modality="CR", PixelSpacing=None
    )
    assert not read_volume(tmp_path).spacing_known
    assert read_volume(tmp_path, spacing=0.2).spacing[:2] == (0.2, 0.2)


def test_no_patient_data_in_messages(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS)[2].unlink()
    with pytest.raises(InconsistentSeriesError) as caught:
        read_volume(tmp_path)
    assert "Nobody" not in str(caught.value)
