"""Slices whose values mean something else than those of the rest of their series."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series
from client.dicom_instances import enhanced, item, to_bytes
from pydicom.sequence import Sequence

from vcam_client import read_volume
from vcam_client.errors import InconsistentSeriesError

SHAPE = (5, 6)
CT: dict[str, Any] = {"RescaleIntercept": -1024, "RescaleType": "HU"}
MR: dict[str, Any] = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"}
PET: dict[str, Any] = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"}


def series(folder: Path, odd: dict[int, dict[str, Any]], slices: int = 12, **tags: Any) -> Path:
    """A series in which slices have other elements than the rest, by number of the slice."""
    data = np.arange(slices * 30, dtype=np.int16).reshape(slices, *SHAPE)
    paths = write_series(folder / "s", data, **tags)
    for number, elements in odd.items():
        dataset = pydicom.dcmread(paths[number])
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(paths[number])
    return folder / "s"


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        ({5: {"RescaleIntercept": 0}}, "1 of 12 has slope 1 and intercept 0: IM007"),
        ({0: {"RescaleIntercept": 0}}, "1 of 12 has slope 1 and intercept 0: IM012"),
        ({11: {"RescaleIntercept": -1000}}, "1 of 12 has slope 1 and intercept -1000: IM001"),
        ({5: {"RescaleSlope": 2}}, "1 of 12 has slope 2 and intercept -1024: IM007"),
        ({5: {"RescaleSlope": -1}}, "1 of 12 has slope -1 and intercept -1024: IM007"),
        (
            {1: {"RescaleIntercept": 0}, 2: {"RescaleSlope": 3}},
            "has slope 3 and intercept -1024: IM010; 1 of 12 has slope 1 and intercept 0: IM011",
        ),
        (
            {n: {"RescaleIntercept": 0} for n in range(6)},
            "6 of 12 have slope 1 and intercept",
        ),
    ],
)
def test_a_ct_slice_with_another_rescale_than_the_rest_is_named(
    tmp_path: Path, odd: dict[int, dict[str, Any]], named: str
) -> None:
    with pytest.raises(InconsistentSeriesError, match="differ in slope or intercept") as raised:
        read_volume(series(tmp_path, odd, **CT))
    assert named in str(raised.value)


def test_a_frame_with_another_rescale_is_named(tmp_path: Path) -> None:
    dataset = enhanced(np.zeros((4, *SHAPE), np.uint16), rescale=(1, -1024), shared=False)
    own = item(RescaleSlope=1, RescaleIntercept=0, RescaleType="HU")
    groups = dataset.PerFrameFunctionalGroupsSequence[2]
    groups.PixelValueTransformationSequence = Sequence([own])
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    with pytest.raises(InconsistentSeriesError, match=r"intercept 0: frame 3 of a\.dcm"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("tags", [PET, MR])
def test_slices_of_pet_and_mr_have_slopes_of_their_own(
    tmp_path: Path, tags: dict[str, Any]
) -> None:
    volume = read_volume(series(tmp_path, {2: {"RescaleSlope": 2}}, slices=4, **tags))
    assert volume.data[0, 0].tolist() == [0, 30, 120, 90]


def test_ct_slices_may_each_have_a_rescale_of_their_own(tmp_path: Path) -> None:
    odd = {n: {"RescaleSlope": 1 + n, "RescaleIntercept": -1000 - n} for n in range(4)}
    volume = read_volume(series(tmp_path, odd, slices=4, **CT))
    assert volume.data[0, 0].tolist() == [n * 30 * (1 + n) - 1000 - n for n in range(4)]


def test_a_ct_slice_whose_bits_are_stored_in_another_way_has_its_own_rescale(
    tmp_path: Path,
) -> None:
    own = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": -4047}
    volume = read_volume(series(tmp_path, {1: own}, slices=4, **CT))
    assert volume.data[0, 0].tolist() == [-1024, 30 - 4047, 60 - 1024, 90 - 1024]


def test_the_rounding_of_a_rescale_is_no_other_one(tmp_path: Path) -> None:
    odd = {1: {"RescaleSlope": "1.00001", "RescaleIntercept": "-1024.02"}}
    assert read_volume(series(tmp_path, odd, slices=4, **CT)).units == "HU"


@pytest.mark.parametrize("tags", [CT, MR, PET])
@pytest.mark.parametrize("numbers", [[5], [0, 1], range(8)])
def test_slices_that_alone_are_inverted_are_refused(
    tmp_path: Path, tags: dict[str, Any], numbers: list[int]
) -> None:
    odd = {n: {"PhotometricInterpretation": "MONOCHROME1"} for n in numbers}
    with pytest.raises(InconsistentSeriesError, match=r"\(PhotometricInterpretation\): most have"):
        read_volume(series(tmp_path, odd, **tags))


def test_a_series_that_is_all_inverted_is_read(tmp_path: Path) -> None:
    folder = series(tmp_path, {}, slices=4, PhotometricInterpretation="MONOCHROME1", **MR)
    assert read_volume(folder).data[0, 0].tolist() == [-1, -31, -61, -91]
