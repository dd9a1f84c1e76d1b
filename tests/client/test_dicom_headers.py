"""Headers that say what they mean in another way than DICOM does, or don't say it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series
from client.dicom_instances import enhanced, in_syntax, instance, item, to_bytes

from vcam_client import Volume, read_volume
from vcam_client._dicom import elements
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.inspection import inspect_scan

PLANE = np.random.default_rng(0).integers(0, 2000, (8, 10)).astype(np.uint16)
VOXELS = np.random.default_rng(1).integers(0, 2000, (6, 8, 10)).astype(np.uint16)
CR = "1.2.840.10008.5.1.4.1.1.1"
CAPTURED_WORDS = "1.2.840.10008.5.1.4.1.1.7.3"
RADIOGRAPH: dict[str, Any] = {
    "SOPClassUID": CR,
    "Modality": "CR",
    **dict.fromkeys(
        ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept")
    ),
}


def read(path: Path, content: bytes | pydicom.Dataset, **options: Any) -> Volume:
    path.write_bytes(content if isinstance(content, bytes) else to_bytes(content))
    return read_volume(path, **options)


def stated_as(keyword: str, value: str | Sequence[str], vr: str = "DS", **tags: Any) -> bytes:
    """An instance with an element of any text, of any value representation with short lengths."""
    dataset = instance(PLANE, **{keyword: None, **tags})
    dataset.add(pydicom.DataElement(keyword, "LO", value))
    return renamed(to_bytes(dataset), keyword, "LO", vr)


def renamed(content: bytes, keyword: str, old: str, new: str) -> bytes:
    """The element's value representation is another, its bytes are the same."""
    tag = pydicom.tag.Tag(keyword)
    start = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    assert content.count(start + old.encode()) == 1
    return content.replace(start + old.encode(), start + new.encode())


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("PixelSpacing", ["0,5", "0,75"], (0.75, 0.5, 9.0)),
        ("PixelSpacing", ["1,000", "1,250"], (1.25, 1.0, 9.0)),  # a metre is no spacing
        ("PixelSpacing", ["5,0E-1", "1"], (1.0, 0.5, 9.0)),
        ("SliceThickness", "1,25", (1.0, 1.0, 1.25)),
    ],
)
def test_decimal_commas_of_lengths_are_read(
    tmp_path: Path, keyword: str, text: Sequence[str], expected: tuple[float, float, float]
) -> None:
    volume = read(tmp_path / "a.dcm", stated_as(keyword, text))
    assert volume.spacing == expected
    assert any(f"Decimal commas were read as points, in {keyword}" in w for w in volume.warnings)


def test_decimal_commas_of_a_position_are_read(tmp_path: Path) -> None:
    content = stated_as("ImagePositionPatient", ["-123,456", "3", "7,25"])
    assert read(tmp_path / "a.dcm", content).affine[:3, 3].tolist() == [123.456, -3.0, 7.25]


def test_decimal_commas_of_a_rescale_are_read(tmp_path: Path) -> None:
    volume = read(tmp_path / "a.dcm", stated_as("RescaleIntercept", "-1024,0"))
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE.astype(int) - 1024)


def test_a_comma_of_thousands_or_decimals_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match=r"RescaleIntercept \(0028,1052\) is '-1,024'"):
        read(tmp_path / "a.dcm", stated_as("RescaleIntercept", "-1,024"))


def test_other_commas_of_the_header_tell_what_a_comma_is(tmp_path: Path) -> None:
    """A writer in a locale with decimal commas writes them everywhere."""
    content = stated_as("RescaleSlope", "1,000", PixelSpacing=None)
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    whole = pydicom.dcmread(path)
    whole.add(pydicom.DataElement("PixelSpacing", "LO", ["0,5", "0,5"]))
    whole.save_as(path)
    content = renamed(path.read_bytes(), "PixelSpacing", "LO", "DS")
    volume = read(path, content)
    assert volume.spacing[:2] == (0.5, 0.5)
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE)


def test_decimal_commas_in_functional_groups_are_read(tmp_path: Path) -> None:
    dataset = enhanced(VOXELS, rescale=(1, -1024), spacing=(0.5, 0.5, 2.0))
    content = to_bytes(dataset)
    assert content.count(b"DS\x08\x000.5\\0.5 ") == 1
    volume = read(tmp_path / "a.dcm", content.replace(b"0.5\\0.5 ", b"0,5\\0,5 "))
    assert volume.spacing == (0.5, 0.5, 2.0)
    assert any("PixelSpacing" in warning for warning in volume.warnings)


@pytest.mark.parametrize("vr", ["XX", "LO", "SH", "FD", "AT", "IS"])
def test_text_of_a_wrong_kind_is_read_where_it_is_a_number(tmp_path: Path, vr: str) -> None:
    volume = read(tmp_path / "a.dcm", stated_as("PixelSpacing", ["0.5", "0.7"], vr))
    assert volume.spacing == (0.7, 0.5, 9.0)


@pytest.mark.parametrize("vr", ["XX", "SS", "UL", "FD", "AT", "DS", "LO"])
def test_a_binary_number_of_a_wrong_kind_is_read(tmp_path: Path, vr: str) -> None:
    content = renamed(to_bytes(instance(PLANE)), "Rows", "US", vr)
    assert read(tmp_path / "a.dcm", content).shape == (10, 8, 1)


def test_doubles_in_the_place_of_text_are_read(tmp_path: Path) -> None:
    dataset = instance(PLANE, PixelSpacing=None, RescaleIntercept=None)
    dataset.add(pydicom.DataElement("PixelSpacing", "FD", [0.5, 2 / 3]))
    dataset.add(pydicom.DataElement("RescaleIntercept", "SS", -1024))
    volume = read(tmp_path / "a.dcm", dataset)
    assert volume.spacing == (2 / 3, 0.5, 9.0)
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE.astype(int) - 1024)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("RescaleSlope", "1 HU", r"RescaleSlope \(0028,1053\) is '1 HU', not a number"),
        ("PixelSpacing", ["0.5", "0,5"], r"PixelSpacing \(0028,0030\) is '0\.5\\0,5', not a"),
        ("SliceThickness", "1.234,5", r"SliceThickness \(0018,0050\) is '1\.234,5', not a number"),
        ("PixelSpacing", "0.5", r"PixelSpacing \(0028,0030\) has 1 value, not 2"),
        ("ImagePositionPatient", ["1", "2"], r"ImagePositionPatient .* has 2 values, not 3"),
        ("RescaleIntercept", "Nobody", r"RescaleIntercept \(0028,1052\) holds no number"),
        ("PixelPaddingValue", "Nobody", r"PixelPaddingValue \(0028,0120\) holds no number"),
        ("SliceThickness", ["1", "1"], r"SliceThickness \(0018,0050\) has 2 values, not 1"),
    ],
)
def test_an_element_that_is_no_number_is_named(
    tmp_path: Path, keyword: str, value: Sequence[str], said: str
) -> None:
    with pytest.raises(CorruptFileError, match=said) as raised:
        read(tmp_path / "a.dcm", stated_as(keyword, value))
    assert "Nobody" not in str(raised.value)
    assert_no_exception_is_named(str(raised.value))


def assert_no_exception_is_named(message: str) -> None:
    assert not re.search(r"[A-Z]\w+(Error|Exception)\b", message), message


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
def test_an_element_that_is_missing_is_named(tmp_path: Path, keyword: str) -> None:
    dataset = instance(PLANE)
    setattr(dataset, keyword, None)
    with pytest.raises(CorruptFileError, match=rf"{keyword} \(0028,0\d\d\d\) is missing") as raised:
        read(tmp_path / "a.dcm", dataset)
    assert_no_exception_is_named(str(raised.value))


def test_a_length_beyond_the_file_names_its_element(tmp_path: Path) -> None:
    content = to_bytes(instance(PLANE))
    at = content.index(b"\x28\0\x10\0US")
    with pytest.raises(CorruptFileError, match=r"Rows \(0028,0010\) states \d+ bytes, more than"):
        read(tmp_path / "a.dcm", content[: at + 4] + b"OB" + content[at + 6 :])


def test_damage_of_another_kind_of_object_does_not_hide_what_it_is(tmp_path: Path) -> None:
    content = stated_as("NumberOfFrames", "x", "IS", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2")
    with pytest.raises(UnsupportedFormatError, match="RT Dose"):
        read(tmp_path / "a.dcm", content)


def test_what_is_uncompressed_is_not_to_be_converted_to_it(tmp_path: Path) -> None:
    content = to_bytes(instance(PLANE))
    with pytest.raises(CorruptFileError, match=r"there are \d+\. Copy the file again\.$"):
        read(tmp_path / "a.dcm", content[:-20])


@pytest.mark.parametrize("pair", [[0, 0], ["", ""]])
def test_a_radiograph_of_zero_spacing_has_an_unknown_one(
    tmp_path: Path, pair: list[object]
) -> None:
    volume = read(tmp_path / "a.dcm", instance(PLANE, PixelSpacing=pair, **RADIOGRAPH))
    assert not volume.spacing_known
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE)
    given = read(tmp_path / "a.dcm", instance(PLANE, PixelSpacing=pair, **RADIOGRAPH), spacing=0.2)
    assert given.spacing[:2] == (0.2, 0.2)


def test_a_spacing_of_zeros_leaves_the_imager_s(tmp_path: Path) -> None:
    tags = {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.14, 0.2]}
    volume = read(tmp_path / "a.dcm", instance(PLANE, **tags, **RADIOGRAPH))
    assert volume.spacing_known
    assert volume.spacing[:2] == (0.2, 0.14)


def test_slices_of_zero_spacing_want_one(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS.astype(np.int16), PixelSpacing=[0, 0])
    with pytest.raises(UnsupportedFormatError, match="give it with --spacing"):
        read_volume(tmp_path / "s")
    assert read_volume(tmp_path / "s", spacing=(0.5, 0.7, 1)).spacing == (0.5, 0.7, 2.5)


@pytest.mark.parametrize("pair", [[0, 0.5], [-0.5, 0.5], ["nan", 0.5]])
def test_half_a_spacing_is_damage(tmp_path: Path, pair: list[object]) -> None:
    dataset = instance(PLANE, **RADIOGRAPH)
    dataset.PixelSpacing = [float(v) for v in pair]  # type: ignore[arg-type]
    with pytest.raises(CorruptFileError, match=r"PixelSpacing \(0028,0030\) is .*, not two"):
        read(tmp_path / "a.dcm", dataset)


def classic(sop_class: str, **tags: Any) -> pydicom.Dataset:
    """A multi-frame image with positions as classic ones state them."""
    return instance(
        VOXELS.reshape(-1, 10),
        Rows=8,
        NumberOfFrames=len(VOXELS),
        SOPClassUID=sop_class,
        **{"SpacingBetweenSlices": 2.0, "RescaleIntercept": -1024, "RescaleType": "HU", **tags},
    )


@pytest.mark.parametrize("sop_class", [CAPTURED_WORDS, "1.2.3.4.5.6.7"])
@pytest.mark.parametrize("groups", [False, True])
def test_ct_in_a_class_that_is_not_its_own_is_read(
    tmp_path: Path, sop_class: str, groups: bool
) -> None:
    if groups:
        dataset = enhanced(VOXELS, rescale=(1, -1024), SOPClassUID=sop_class)
    else:
        dataset = classic(sop_class)
    volume = read(tmp_path / "a.dcm", dataset)
    assert (volume.units, volume.modality, volume.spacing) == ("HU", "CT", (1.0, 1.0, 2.0))
    np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), VOXELS.astype(int) - 1024)
    assert any("is read as such" in warning for warning in volume.warnings)


def test_slices_of_an_unknown_class_make_a_series(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS.astype(np.int16), SOPClassUID="1.2.3.4.5.6.7")
    np.testing.assert_array_equal(read_volume(tmp_path).data.transpose(2, 1, 0), VOXELS)


@pytest.mark.parametrize(
    ("sop_class", "tags", "said"),
    [
        (CAPTURED_WORDS, {"ImagePositionPatient": None}, "Secondary Capture Image without pos"),
        (CAPTURED_WORDS, {"PixelSpacing": None}, "without position, orientation, spacing and"),
        (CAPTURED_WORDS, {"RescaleIntercept": None}, "Hounsfield units"),
        (CAPTURED_WORDS, {"RescaleType": "US"}, "Hounsfield units"),
        (CAPTURED_WORDS, {"Modality": "OT"}, "Multi-frame Grayscale Word Secondary Capture"),
        ("1.2.3.4.5.6.7", {"ImageOrientationPatient": None}, "unknown SOP class without position"),
        ("1.2.3.4.5.6.7", {"Modality": "US"}, "unknown SOP class"),
        ("1.2.840.10008.5.1.4.1.1.7", {}, "Secondary Capture Image"),
        ("1.2.840.10008.5.1.4.1.1.66.4", {}, "Segmentation"),
    ],
)
def test_what_does_not_say_all_that_ct_does_is_left_out(
    tmp_path: Path, sop_class: str, tags: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnsupportedFormatError, match=said):
        read(tmp_path / "a.dcm", classic(sop_class, **tags))


def bare(content: bytes) -> bytes:
    """The data set alone, without preamble and file meta."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


FORMS = {
    "marked": to_bytes(instance(PLANE)),
    "explicit": bare(to_bytes(instance(PLANE))),
    "implicit": bare(in_syntax(instance(PLANE), "1.2.840.10008.1.2")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("early", [True, False])
def test_a_file_that_begins_one_byte_off_is_read(tmp_path: Path, form: str, early: bool) -> None:
    content = FORMS[form]
    volume = read(tmp_path / "a.dcm", b"\0" + content if early else content[1:])
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE)
    assert any("a byte too many or too few" in warning for warning in volume.warnings)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a.img", "a.IMG"])
def test_dicom_named_img_is_read(tmp_path: Path, form: str, name: str) -> None:
    volume = read(tmp_path / name, FORMS[form])
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE)
    assert volume.name == "a"


@pytest.mark.parametrize("name", ["a.nii", "a.hdr", "a.png", "a.tif"])
def test_dicom_is_known_by_its_marker_whatever_its_name(tmp_path: Path, name: str) -> None:
    volume = read(tmp_path / name, FORMS["marked"])
    np.testing.assert_array_equal(volume.data[:, :, 0].T, PLANE)


def test_half_a_nifti_pair_is_still_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one half of a pair"):
        read(tmp_path / "a.img", PLANE.tobytes())


def test_padding_that_pixels_cannot_hold_is_none(tmp_path: Path) -> None:
    """63536 is -2000 written as unsigned; the last byte of it is not what 8-bit pixels pad with."""
    pixels = np.arange(80, dtype=np.uint8).reshape(8, 10)
    dataset = instance(pixels)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    assert read(tmp_path / "a.dcm", dataset).padding is None
    dataset.add_new("PixelPaddingRangeLimit", "US", 70)
    assert read(tmp_path / "a.dcm", dataset).padding == (70.0, 79.0)


def test_text_with_letters_is_never_shown() -> None:
    with pytest.raises(CorruptFileError) as raised:
        elements.numbers("Meier 1,5", "RescaleSlope")
    assert "Meier" not in str(raised.value)
    assert str(raised.value).endswith("holds no number")


def test_groups_with_a_sequence_in_the_place_of_a_value_are_damaged(tmp_path: Path) -> None:
    dataset = enhanced(VOXELS)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    del measures.PixelSpacing
    measures.add(pydicom.DataElement("PixelSpacing", "SQ", [item(Rows=1)]))
    with pytest.raises(CorruptFileError, match=r"PixelSpacing \(0028,0030\)") as raised:
        read(tmp_path / "a.dcm", dataset)
    assert_no_exception_is_named(str(raised.value))


def test_what_functional_groups_state_may_be_damaged_above_them(tmp_path: Path) -> None:
    dataset = enhanced(VOXELS, rescale=(1, -1024))
    dataset.add(pydicom.DataElement("ImageOrientationPatient", "LO", "Nobody"))
    content = renamed(to_bytes(dataset), "ImageOrientationPatient", "LO", "DS")
    assert read(tmp_path / "a.dcm", content).units == "HU"
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    content = renamed(to_bytes(dataset), "ImageOrientationPatient", "LO", "DS")
    with pytest.raises(CorruptFileError, match=r"ImageOrientationPatient \(0020,0037\) holds no"):
        read(tmp_path / "a.dcm", content)


def test_damaged_slices_that_are_left_out_are_told(tmp_path: Path) -> None:
    """A slice that is missing at an end leaves no gap."""
    paths = write_series(tmp_path / "s", VOXELS.astype(np.int16))
    last = renamed(paths[-1].read_bytes(), "Rows", "US", "SQ")
    paths[-1].write_bytes(last)
    volume = read_volume(tmp_path / "s")
    assert volume.shape == (10, 8, 5)
    assert any(
        re.search(r"left out, damaged .* 1 × damaged header: Rows \(0028,0010\)", warning)
        for warning in volume.warnings
    )


def test_instance_numbers_that_are_none_are_no_reason_to_refuse(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", VOXELS.astype(np.int16), InstanceNumber=None)
    for path, text in zip(paths, ["abc", "1", "", "²", "--5", "1,5"], strict=True):
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.add(pydicom.DataElement("InstanceNumber", "LO", text))
        dataset.save_as(path)
        path.write_bytes(renamed(path.read_bytes(), "InstanceNumber", "LO", "IS"))
    (series,) = inspect_scan(tmp_path / "s").series
    assert series.refusal == ""
    np.testing.assert_array_equal(read_volume(tmp_path / "s").data.transpose(2, 1, 0), VOXELS)


def test_a_rescale_that_is_not_whole_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS.astype(np.int16), RescaleIntercept=None)
    (series,) = inspect_scan(tmp_path / "s").series
    assert "no whole rescale: values are not known to be Hounsfield units" in series.quirks
