"""Which volumes a folder holds: series, echoes, things left out, and their quirks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client.dicom_files import CR, MR, write_series, write_slice

from vcam_client import read_volume
from vcam_client._dicom import facts_of, find_series
from vcam_client._options import ReadOptions
from vcam_client.errors import InconsistentSeriesError, InputError

VOXELS = np.random.default_rng(0).integers(0, 2000, (5, 6, 7)).astype(np.int16)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def shapes(folder: Path) -> list[tuple[int, int, int]]:
    return [series.shape for series in find_series(folder).series]


@pytest.mark.parametrize(
    ("mark", "values"),
    [
        ("EchoTime", (10.0, 80.0)),
        ("EchoNumbers", (1, 2)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("TriggerTime", (0.0, 300.0)),
        ("AcquisitionNumber", (1, 2)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
    ],
)
def test_volumes_at_the_same_positions_are_told_apart(
    tmp_path: Path, mark: str, values: tuple[Any, Any]
) -> None:
    mr = {"Modality": "MR", "SOPClassUID": MR}
    write_series(tmp_path / "a", VOXELS, **mr, **{mark: values[0]})
    write_series(tmp_path / "b", VOXELS + 1, **mr, **{mark: values[1]})
    assert shapes(tmp_path) == [(7, 6, 5), (7, 6, 5)]
    for number, added in ((1, 0), (2, 1)):
        volume = read_volume(tmp_path, series=number)
        np.testing.assert_array_equal(volume.data, VOXELS.transpose(2, 1, 0) + added)


def test_a_mark_that_varies_within_one_volume_does_not_tear_it_apart(tmp_path: Path) -> None:
    for n, pixels in enumerate(VOXELS):
        write_slice(tmp_path / str(n), pixels, (0, 0, n), AcquisitionNumber=n, EchoTime=float(n))
    assert shapes(tmp_path) == [(7, 6, 5)]


def test_volumes_side_by_side_under_one_uid_are_two(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, origin=(0, 0, 0))
    write_series(tmp_path / "b", VOXELS, origin=(80, 0, 1.25))
    assert shapes(tmp_path) == [(7, 6, 5), (7, 6, 5)]


def test_a_series_is_chosen_by_number_or_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, SeriesInstanceUID="1.2.1", SeriesNumber=5)
    write_series(tmp_path / "b", VOXELS[:3], SeriesInstanceUID="1.2.2", SeriesNumber=2)
    with pytest.raises(
        InconsistentSeriesError, match=r"found 2:\n.*3 × 7×6.*\n.*5 × 7×6"
    ) as caught:
        read_volume(tmp_path)
    assert "1.2.1" not in str(caught.value)
    assert read_volume(tmp_path, series=1).shape == (7, 6, 3)
    assert read_volume(tmp_path, series="1.2.1").shape == (7, 6, 5)
    assert read_volume(tmp_path, series=2).name == f"{tmp_path.name}_series2"
    with pytest.raises(InputError, match="found no such series"):
        read_volume(tmp_path, series="1.2.3")


def test_mixed_orientations_are_refused_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS)
    write_series(tmp_path / "b", VOXELS[:, :, :6], direction=(0, 1, 0, 0, 0, -1))
    with pytest.raises(
        InconsistentSeriesError, match=r"found 2 of mixed orientations \(axial, sag"
    ):
        read_volume(tmp_path)


def test_every_radiograph_is_a_volume_of_its_own(tmp_path: Path) -> None:
    for view in ("PA", "LL"):
        write_slice(
            tmp_path / view, VOXELS[0], (0, 0, 0), SOPClassUID=CR, Modality="CR", ViewPosition=view
        )
    assert shapes(tmp_path) == [(7, 6, 1), (7, 6, 1)]


def test_a_radiograph_archived_as_secondary_capture_is_read(tmp_path: Path) -> None:
    tags = {"SOPClassUID": SECONDARY_CAPTURE, "Modality": "CR", "ImageType": None}
    write_slice(tmp_path / "view", VOXELS[0], (0, 0, 0), ViewPosition="PA", **tags)
    assert read_volume(tmp_path / "view").modality == "CR"
    write_slice(tmp_path / "page", VOXELS[0], (0, 0, 0), **tags)
    assert find_series(tmp_path).left_out == {"Secondary Capture Image": 1}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY", "M", "MOSAIC"]}, "mosaic of slices in one image"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen save"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "RT Dose"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, "X-Ray Radiation Dose SR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "Segmentation"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
    ],
)
def test_what_is_left_out_says_why(tmp_path: Path, tags: dict[str, Any], reason: str) -> None:
    write_series(tmp_path / "ct", VOXELS)
    write_slice(tmp_path / "other", VOXELS[0], (0, 0, 1), **tags)
    found = find_series(tmp_path)
    assert [series.shape for series in found.series] == [(7, 6, 5)]
    assert [text.startswith(reason) for text in found.left_out] == [True]


@pytest.mark.parametrize(
    ("tags", "quirk"),
    [
        ({"SpacingBetweenSlices": -2.5}, "states -2.5 mm between slices, positions say 2.5 mm"),
        ({"SliceThickness": 5}, "slices 5 mm thick every 2.5 mm (overlapping)"),
        ({"SliceThickness": 1}, "slices 1 mm thick every 2.5 mm (with gaps)"),
        ({"SeriesInstanceUID": ""}, "the SeriesInstanceUID is empty"),
        ({"SOPClassUID": None}, "no SOP class: the modality decides"),
        ({"PixelPaddingValue": 3}, "padding, stored as 3, is kept out"),
        ({"LossyImageCompression": "01"}, "lossy compression"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1: inverted"),
        ({"RescaleType": "US"}, "rescale type US: values are not known to be"),
        ({"step": (0.0, 0.8, 2.5)}, "gantry tilt of 17.7°"),
    ],
)
def test_quirks_are_named(tmp_path: Path, tags: dict[str, Any], quirk: str) -> None:
    write_series(tmp_path, VOXELS, **{"SliceThickness": 2.5, "InstanceNumber": None, **tags})
    (series,) = find_series(tmp_path).series
    assert [q for q in facts_of(series, tmp_path, ReadOptions()).quirks if q.startswith(quirk)]


def test_a_plain_series_has_no_quirks(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, SliceThickness=2.5, InstanceNumber=None)
    (series,) = find_series(tmp_path).series
    facts = facts_of(series, tmp_path, ReadOptions())
    assert facts.quirks == ()
    assert (facts.orientation, facts.units, facts.stored) == ("LPS", "HU", "int16")


def test_instance_numbers_against_the_positions_are_a_quirk(tmp_path: Path) -> None:
    for n, pixels in enumerate(VOXELS):
        tags = {"SliceThickness": 1, "InstanceNumber": [3, 1, 2, 5, 4][n]}
        write_slice(tmp_path / str(n), pixels, (0, 0, n), **tags)
    (series,) = find_series(tmp_path).series
    quirks = facts_of(series, tmp_path, ReadOptions()).quirks
    assert quirks == ("InstanceNumbers do not follow the positions",)


def test_a_planned_change_of_spacing_is_resampled_and_a_hole_is_not(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 9, (10, 4, 4)).astype(np.int16)
    planned = [0, 2, 4, 6, 8, 10, 14, 18, 22, 26]
    hole = [0, 2, 4, 6, 10, 12, 14, 16, 18, 20]
    for name, positions in (("planned", planned), ("hole", hole)):
        (tmp_path / name).mkdir()
        for z, pixels in zip(positions, voxels, strict=True):
            write_slice(tmp_path / name / str(z), pixels, (0, 0, z))
    volume = read_volume(tmp_path / "planned")
    assert volume.shape == (4, 4, 14)
    assert volume.spacing[2] == pytest.approx(2)
    np.testing.assert_array_equal(volume.data[:, :, 9].T, voxels[7])  # the slice at 18 mm
    with pytest.raises(InconsistentSeriesError, match=r"missing.*4\.000 mm after 6\.00 mm"):
        read_volume(tmp_path / "hole")
