"""What belongs together though an identifier differs, and what is apart though all agree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series, write_slice
from client.dicom_instances import compress, in_syntax, to_bytes
from client.one_series import MR_TAGS, VOXELS, rows_of, shapes, write_frames
from pydicom.uid import generate_uid

from vcam_client import read_volume
from vcam_client._inspect_text import describe_inspection
from vcam_client.errors import InconsistentSeriesError
from vcam_client.inspection import inspect_scan


def test_slices_of_different_frames_of_reference_are_one_volume_and_say_so(tmp_path: Path) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"FrameOfReferenceUID": f"1.2.{n}"})
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0))
    assert volume.spacing[2] == pytest.approx(2)
    (warning,) = volume.warnings
    assert "6 frames of reference" in warning


def test_a_missing_slice_among_frames_of_reference_is_still_named(tmp_path: Path) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"FrameOfReferenceUID": f"1.2.{n}"})
    (tmp_path / "3.dcm").unlink()
    with pytest.raises(InconsistentSeriesError, match="missing"):
        read_volume(tmp_path)


def test_one_slice_of_another_frame_of_reference_belongs_to_its_stack(tmp_path: Path) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"FrameOfReferenceUID": "1.9" if n == 2 else "1.2"})
    volume = read_volume(tmp_path)
    assert volume.shape == (7, 5, 6)
    assert "2 frames of reference" in volume.warnings[0]


@pytest.mark.parametrize("uid", ["", "1.2.3.4"])
@pytest.mark.parametrize("z", [0.0, 1.0, 12.0], ids=["same places", "interleaved", "adjacent"])
def test_volumes_of_two_frames_of_reference_stay_apart(tmp_path: Path, z: float, uid: str) -> None:
    for name, start in (("a", 0.0), ("b", z)):
        tags = {"FrameOfReferenceUID": f"1.2.{ord(name)}", "SeriesInstanceUID": uid}
        write_series(tmp_path / name, VOXELS, (0, 0, start), spacing=(1, 1, 2), **tags)
    assert shapes(tmp_path) == [(7, 5, 6), (7, 5, 6)]
    assert rows_of(tmp_path) == [
        ("frame of reference 1 of 2",),
        ("frame of reference 2 of 2",),
    ]


def test_lone_slices_far_apart_are_no_stack(tmp_path: Path) -> None:
    for n, z in enumerate((0, 10, 130)):
        write_slice(tmp_path / str(n), VOXELS[n], (0, 0, z), FrameOfReferenceUID=f"1.2.{n}")
    assert shapes(tmp_path) == [(7, 5, 1)] * 3


def test_copies_of_an_instance_are_dropped_and_counted(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", VOXELS)
    first = read_volume(tmp_path / "s")
    (tmp_path / "s" / "again").write_bytes(paths[1].read_bytes())
    # the same instance in another transfer syntax is the same instance
    other = in_syntax(pydicom.dcmread(paths[2]), "1.2.840.10008.1.2.2")
    (tmp_path / "s" / "big").write_bytes(other)
    volume = read_volume(tmp_path / "s")
    np.testing.assert_array_equal(volume.data, first.data)
    np.testing.assert_array_equal(volume.affine, first.affine)
    (warning,) = volume.warnings
    assert warning.startswith("2 files are copies")
    with_it = inspect_scan(tmp_path / "s")
    assert with_it.series[0].files == 6
    assert "2 files are copies" in describe_inspection(with_it)


def test_a_copied_folder_is_one_series(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "s", VOXELS):
        copy = tmp_path / "backup" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    volume = read_volume(tmp_path)
    assert volume.shape == (7, 5, 6)
    assert volume.warnings[0].startswith("6 files are copies")


@pytest.mark.parametrize("change", ["pixels", "number", "rescale", "damage"])
def test_one_uid_with_two_contents_is_refused_by_name(tmp_path: Path, change: str) -> None:
    paths = write_series(tmp_path, VOXELS)
    dataset = pydicom.dcmread(paths[1])
    if change == "pixels":
        dataset.PixelData = (VOXELS[1] + 1).tobytes()
    elif change == "number":
        dataset.InstanceNumber = 77
    elif change == "rescale":
        dataset.RescaleIntercept = -5
    else:
        compress(dataset, [b"\xff\xd8\xff\xe0" + bytes(90)], "1.2.840.10008.1.2.4.80")
    (tmp_path / "again").write_bytes(to_bytes(dataset))
    with pytest.raises(InconsistentSeriesError, match=r"same position.*same instance \(SOPInst"):
        read_volume(tmp_path)


def test_one_uid_for_all_slices_is_no_copy(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, SOPInstanceUID="1.2.3")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0))
    assert volume.warnings == ()


@pytest.mark.parametrize("mark", ["SliceThickness", "EchoTime", "KVP"])
def test_one_number_written_in_two_ways_is_one_number(tmp_path: Path, mark: str) -> None:
    texts = ["1.0", "1.000000", "1", "1.0E0", " 1.00", "01"]
    write_frames(tmp_path, VOXELS, lambda n: {mark: texts[n]})
    assert shapes(tmp_path) == [(7, 5, 6)]
    write_frames(tmp_path / "b", VOXELS + 1, lambda n: {mark: texts[-n]})
    assert shapes(tmp_path) == [(7, 5, 12)], "nothing sets them apart"
    with pytest.raises(InconsistentSeriesError, match="Nothing in their headers"):
        read_volume(tmp_path)


@pytest.mark.parametrize("thickness", [("1.0", "1.000000"), ("2", "2.0")])
def test_slices_of_one_thickness_are_not_taken_for_two_reconstructions(
    tmp_path: Path, thickness: Sequence[str]
) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"SliceThickness": thickness[n % 2]})
    assert read_volume(tmp_path).shape == (7, 5, 6)


def test_a_part_of_what_belongs_together_is_read_with_a_warning(tmp_path: Path) -> None:
    for n in range(2):
        write_series(
            tmp_path / str(n),
            VOXELS,
            (0, 0, 12.0 * n),
            spacing=(1, 1, 2),
            FrameOfReferenceUID=f"1.2.{n}",
        )
    for number, other in ((1, 2), (2, 1)):
        volume = read_volume(tmp_path, series=number)
        assert volume.shape == (7, 5, 6)
        (warning,) = volume.warnings
        assert warning.startswith(f"Row {other} of vcam-client inspect continues this volume")
    assert "Row 2 of vcam-client inspect continues" in describe_inspection(inspect_scan(tmp_path))


@pytest.mark.parametrize(
    ("slices", "drift"), [(200, 0.005), (400, 0.0004), (60, 0.0131)], ids=["5 µm", "0.4 µm", "0.3°"]
)
def test_a_stack_whose_origin_drifts_is_one_volume(
    tmp_path: Path, slices: int, drift: float
) -> None:
    voxels = np.arange(slices * 12, dtype=np.int16).reshape(slices, 3, 4)
    write_series(tmp_path, voxels, (0, 0, 0), spacing=(1, 1, 2.5), step=(drift, -drift / 2, 2.5))
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, voxels.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.affine[:3, 2], [-drift, drift / 2, 2.5], atol=1e-6)
    assert volume.warnings == ()


def test_a_rounded_oblique_series_is_one_volume_in_place(tmp_path: Path) -> None:
    direction = np.array([0.9231, 0.2764, 0.2675, -0.2418, 0.9578, -0.1554])
    voxels = np.arange(90 * 12, dtype=np.int16).reshape(90, 3, 4)
    normal = np.cross(direction[:3], direction[3:])
    normal /= np.linalg.norm(normal)
    for n, pixels in enumerate(voxels):
        place = np.round(np.array([-120.0, 33.0, 7.0]) + 1.3 * n * normal, 2)
        write_slice(tmp_path / f"{n}", pixels, place, np.round(direction, 3))
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, voxels.transpose(2, 1, 0))
    assert volume.warnings == ()
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    np.testing.assert_allclose(lps[:3, 0], direction[:3], atol=6e-4)
    np.testing.assert_allclose(lps[:3, 1], direction[3:], atol=6e-4)
    np.testing.assert_allclose(lps[:3, 2], 1.3 * normal, atol=2e-4)


def test_lone_slices_with_a_series_each_say_so(tmp_path: Path) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"SeriesInstanceUID": f"1.2.{n}"})
    assert rows_of(tmp_path) == [(f"SeriesInstanceUID {n} of 6",) for n in range(1, 7)]


def test_a_stack_that_jumps_aside_is_resampled_and_says_why(tmp_path: Path) -> None:
    for n, pixels in enumerate(VOXELS):
        write_slice(tmp_path / str(n), pixels, (3.0 * (n == 3), 0, 2 * n))
    volume = read_volume(tmp_path)
    assert "shifted sideways from slice to slice" in volume.warnings[0]
    assert "shifted sideways" in " ".join(inspect_scan(tmp_path).series[0].quirks)


def test_echoes_and_volumes_elsewhere_don_t_continue_each_other(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, (0, 0, 0), spacing=(1, 1, 2))
    write_series(tmp_path / "b", VOXELS, (40, 0, 12), spacing=(1, 1, 2))
    assert rows_of(tmp_path) == [(), ("40 mm beside the first",)]
    assert read_volume(tmp_path, series=1).warnings == ()


@pytest.mark.parametrize("number", ["--5", "²", "5.5", "1e5", "-", "", "+7"])
def test_a_series_number_that_is_none_stops_nothing(tmp_path: Path, number: str) -> None:
    for path in write_series(tmp_path / "a", VOXELS, SeriesNumber=77777777):
        data = path.read_bytes()
        assert data.count(b"77777777") == 1
        path.write_bytes(data.replace(b"77777777", number.encode().ljust(8)))
    write_series(tmp_path / "b", VOXELS, SeriesInstanceUID=generate_uid(), SeriesNumber=3)
    assert read_volume(tmp_path, series=1).shape == (7, 5, 6)
    assert read_volume(tmp_path, series=2).shape == (7, 5, 6)
    assert len(inspect_scan(tmp_path).series) == 2


def test_unrelated_slices_are_not_called_one_series(tmp_path: Path) -> None:
    """Equal matrix and modality, else nothing in common."""
    for n in range(2):
        write_slice(
            tmp_path / str(n),
            VOXELS[n],
            (0, 0, 100.0 * n),
            spacing=(1.0 + n, 1.0 + n),
            StudyInstanceUID=f"1.2.{n + 1}",
            SeriesInstanceUID=f"1.2.{n + 1}.1",
            FrameOfReferenceUID=f"1.2.{n + 1}.2",
        )
    assert rows_of(tmp_path) == [(), ()]
    assert "sets it apart" not in describe_inspection(inspect_scan(tmp_path))


@pytest.mark.parametrize("uids", [("", ""), ("1.2.5", "1.2.6")], ids=["no UID", "a UID each"])
def test_similar_slices_say_what_sets_them_apart_without_being_one_series(
    tmp_path: Path, uids: tuple[str, str]
) -> None:
    for n, uid in enumerate(uids):
        write_slice(
            tmp_path / str(n),
            VOXELS[n],
            (0, 0, 0),
            SeriesInstanceUID=uid,
            EchoTime=10 + n,
            **MR_TAGS,
        )
    text = describe_inspection(inspect_scan(tmp_path))
    assert "what sets it apart from similar rows: " in text
    assert "in its series" not in text
    assert len(set(rows_of(tmp_path))) == 2


def test_volumes_that_share_a_uid_say_what_sets_them_apart_in_their_series(tmp_path: Path) -> None:
    for n in range(2):
        write_series(tmp_path / str(n), VOXELS + n, EchoTime=10 + n, **MR_TAGS)
    write_slice(
        tmp_path / "lone", VOXELS[0], (0, 0, 500.0), spacing=(0.9, 0.7), EchoTime=12, **MR_TAGS
    )
    text = describe_inspection(inspect_scan(tmp_path))
    assert text.count("what sets it apart in its series: EchoTime") == 3
    assert "similar rows" not in text


PATIENTS = "Xyzzy-771", "Xyzzy-772"


@pytest.mark.parametrize("uid", ["", "1.2.3.4"])
@pytest.mark.parametrize("z", [0.0, 1.0, 12.0], ids=["same places", "interleaved", "adjacent"])
def test_two_patients_are_two_volumes_and_neither_is_named(
    tmp_path: Path, z: float, uid: str
) -> None:
    for n, patient in enumerate(PATIENTS):
        tags = {"PatientID": patient, "SeriesInstanceUID": uid, "StudyInstanceUID": uid}
        # names of files run against the order of patients
        write_series(
            tmp_path / f"{1 - n}", VOXELS + 3000 * n, (0, 0, n * z), spacing=(1, 1, 2), **tags
        )
    assert shapes(tmp_path) == [(7, 5, 6)] * 2
    said = [describe_inspection(inspect_scan(tmp_path))]
    for number in (1, 2):
        volume = read_volume(tmp_path, series=number)
        expected = VOXELS.transpose(2, 1, 0) + 3000 * (number - 1)
        np.testing.assert_array_equal(volume.data, expected)
        assert uid or volume.warnings == (), "one patient does not continue another"
        said += [*volume.warnings, repr(volume)]
    with pytest.raises(InconsistentSeriesError, match="Expected one series") as caught:
        read_volume(tmp_path)
    assert not any("Xyzzy" in text for text in [*said, str(caught.value)])


def test_slices_that_lack_the_patient_stay_with_the_only_one(tmp_path: Path) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {"PatientID": ("", None, " A ", "A", "A", "A")[n]})
    np.testing.assert_array_equal(read_volume(tmp_path).data, VOXELS.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("SliceThickness", ("5", "5.0001")),
        ("SliceThickness", ("0.625", "0.6249")),
        ("EchoTime", ("4.6", "4.6003")),
        ("FlipAngle", ("15", "15.01")),
        ("InversionTime", ("900", "900.2")),
        ("KVP", ("120", "120.01")),
    ],
)
def test_one_measure_with_more_and_fewer_digits_is_one_volume(
    tmp_path: Path, name: str, values: tuple[str, str]
) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {**MR_TAGS, name: values[n % 2]})
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0))
    assert volume.spacing[2] == pytest.approx(2)
    assert volume.warnings == ()


def test_a_measure_that_is_nearly_the_same_does_not_mix_times(tmp_path: Path) -> None:
    """Digits alternate the other way round in the second volume."""
    for volume in range(2):
        write_frames(
            tmp_path / str(volume),
            VOXELS + 3000 * volume,
            lambda n, v=volume: {
                "SliceThickness": ("5", "5.0001")[(n + v) % 2],
                "AcquisitionNumber": v + 1,
            },
        )
    for number in (1, 2):
        data = read_volume(tmp_path, series=number).data
        np.testing.assert_array_equal(data, VOXELS.transpose(2, 1, 0) + 3000 * (number - 1))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.9765625, 0.977, 0.9766), 0.9766),
        ((0.7, 0.7003, 0.7), 0.7),
    ],
)
def test_one_pixel_spacing_with_more_and_fewer_digits_is_one_volume(
    tmp_path: Path, values: tuple[float, ...], expected: float
) -> None:
    for n, pixels in enumerate(VOXELS):
        spacing = values[n % 3], values[(n + 1) % 3]
        write_slice(tmp_path / str(n), pixels, (0, 0, 2 * n), spacing=spacing)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0))
    assert volume.spacing == pytest.approx((expected, expected, 2), rel=1e-9)


def test_pixel_spacings_that_differ_are_volumes(tmp_path: Path) -> None:
    for n, pixels in enumerate(VOXELS):
        write_slice(tmp_path / str(n), pixels, (0, 0, 2 * n), spacing=(0.7, 0.7 + 0.01 * (n % 2)))
    assert shapes(tmp_path) == [(7, 5, 3)] * 2
