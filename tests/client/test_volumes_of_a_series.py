"""What sets volumes that share a series apart: contrasts, frames of one file, times, turns."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series, write_slice
from client.dicom_instances import ENHANCED_MR, enhanced, item, to_bytes
from client.one_series import MR_TAGS, VOXELS, rows_of, shapes, write_frames

from vcam_client import read_volume
from vcam_client._dicom import find_series
from vcam_client._dicom.marks import MARKS
from vcam_client._inspect_text import describe_inspection
from vcam_client.errors import InconsistentSeriesError
from vcam_client.inspection import inspect_scan

DISTINGUISHED: dict[str, tuple[tuple[dict[str, Any], ...], tuple[str, ...]]] = {
    "AcquisitionTime": (
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": "101500.500000"}),
        ("AcquisitionTime 1 of 2", "AcquisitionTime 2 of 2"),
    ),
    "ContentTime": (
        ({"ContentTime": "101500"}, {"ContentTime": "101501"}),
        ("ContentTime 1 of 2", "ContentTime 2 of 2"),
    ),
    "cardiac phase": (
        (
            {"NominalPercentageOfCardiacPhase": 40.0},
            {"NominalPercentageOfCardiacPhase": 75.0},
            {"NominalPercentageOfCardiacPhase": 100.0},
        ),
        tuple(f"NominalPercentageOfCardiacPhase {n} %" for n in (40, 75, 100)),
    ),
    "gradient direction": (
        (
            {"DiffusionBValue": 0.0},
            {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [1.0, 0.0, 0.0]},
            {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [0.0, 1.0, 0.0]},
        ),
        (
            "no DiffusionGradientOrientation",
            "DiffusionGradientOrientation (1, 0, 0)",
            "DiffusionGradientOrientation (0, 1, 0)",
        ),
    ),
    "inversion time": (
        ({"InversionTime": 50}, {"InversionTime": 200}, {"InversionTime": 1000}),
        ("InversionTime 50 ms", "InversionTime 200 ms", "InversionTime 1000 ms"),
    ),
    "flip angle": (({"FlipAngle": 5}, {"FlipAngle": 15}), ("FlipAngle 5°", "FlipAngle 15°")),
    "tube voltage": (({"KVP": 80}, {"KVP": 140}), ("KVP 80 kV", "KVP 140 kV")),
}


@pytest.mark.parametrize("name", DISTINGUISHED)
def test_each_volume_of_a_series_can_be_chosen_and_says_what_it_is(
    tmp_path: Path, name: str
) -> None:
    marks, words = DISTINGUISHED[name]
    for n, tags in enumerate(marks):
        write_series(tmp_path / str(n), VOXELS + n, **MR_TAGS, **tags)
    found = find_series(tmp_path).series
    assert [series.shape for series in found] == [(7, 5, 6)] * len(marks)
    told = [series.differs[-1] for series in found]
    assert sorted(told) == sorted(words)
    for word, row in zip(words, range(len(marks)), strict=True):
        number = told.index(word) + 1
        data = read_volume(tmp_path, series=number).data
        np.testing.assert_array_equal(data, VOXELS.transpose(2, 1, 0) + row)
    with pytest.raises(InconsistentSeriesError) as caught:
        read_volume(tmp_path)
    assert all(word in str(caught.value) for word in words)
    assert all(word in describe_inspection(inspect_scan(tmp_path)) for word in words)


def test_two_marks_together_give_four_volumes(tmp_path: Path) -> None:
    for n in range(4):
        tags = {"EchoTime": 10 + n % 2, "ImageType": ["ORIGINAL", "PRIMARY", "MP"[n // 2]]}
        write_series(tmp_path / str(n), VOXELS + n, **MR_TAGS, **tags)
    assert shapes(tmp_path) == [(7, 5, 6)] * 4
    added = [read_volume(tmp_path, series=n).data - VOXELS.transpose(2, 1, 0) for n in range(1, 5)]
    assert all(np.ptp(part) == 0 for part in added)
    assert sorted(int(part[0, 0, 0]) for part in added) == [0, 1, 2, 3]
    assert len(set(rows_of(tmp_path))) == 4


@pytest.mark.parametrize("mark", ["AcquisitionTime", "ContentTime", "TriggerTime"])
def test_passes_one_after_the_other_are_volumes_where_every_slice_has_a_time(
    tmp_path: Path, mark: str
) -> None:
    rng = np.random.default_rng(3)
    for volume in range(3):
        late = rng.permutation(6)  # the order in which slices were measured
        write_frames(
            tmp_path / str(volume),
            VOXELS + volume,
            lambda n, v=volume, at=late: {**MR_TAGS, mark: str(101000 + 10 * v + at[n])},
        )
    found = find_series(tmp_path).series
    assert [series.shape for series in found] == [(7, 5, 6)] * 3
    for number in (1, 2, 3):
        data = read_volume(tmp_path, series=number).data
        np.testing.assert_array_equal(data, VOXELS.transpose(2, 1, 0) + number - 1)
    assert [series.differs for series in found] == [(f"{mark} {n} of 3",) for n in (1, 2, 3)]


def test_times_that_make_no_whole_volumes_are_named_and_not_guessed(tmp_path: Path) -> None:
    """Slice by slice, all phases of one before the next: times alone don't say which is which."""
    for phase in range(3):
        write_frames(
            tmp_path / str(phase),
            VOXELS,
            lambda n, p=phase: {**MR_TAGS, "AcquisitionTime": str(101000 + 3 * n + p)},
        )
    with pytest.raises(InconsistentSeriesError, match=r"same position.*differ in AcquisitionTime"):
        read_volume(tmp_path)


def test_one_slice_twice_does_not_tear_a_ct_apart_by_its_times(tmp_path: Path) -> None:
    times = lambda n: {"AcquisitionTime": str(101000 + n), "ContentTime": str(101000 + n)}  # noqa: E731
    write_frames(tmp_path, VOXELS, times)
    assert read_volume(tmp_path).shape == (7, 5, 6)
    write_slice(tmp_path / "again", VOXELS[0], (0, 0, 4), **times(50))
    assert shapes(tmp_path) == [(7, 5, 7)]
    with pytest.raises(InconsistentSeriesError, match="same position"):
        read_volume(tmp_path)


FRAME_GROUPS: dict[str, Callable[[int], dict[str, Any]]] = {
    "AcquisitionTime": lambda v: {
        "FrameContentSequence": item(FrameAcquisitionDateTime=f"2020010110150{v}.250000")
    },
    "cardiac phase": lambda v: {
        "CardiacSynchronizationSequence": item(NominalPercentageOfCardiacPhase=25.0 * (v + 1))
    },
    "gradient direction": lambda v: {
        "MRDiffusionSequence": item(
            DiffusionBValue=1000.0,
            DiffusionGradientDirectionSequence=item(
                DiffusionGradientOrientation=[float(v == a) for a in range(3)]
            ),
        )
    },
    "inversion time": lambda v: {"MRModifierSequence": item(InversionTimes=100.0 * (v + 1))},
    "flip angle": lambda v: {"MRTimingAndRelatedParametersSequence": item(FlipAngle=5.0 * (v + 1))},
    "dimension": lambda v: {"FrameContentSequence": item(DimensionIndexValues=[1, 0, v + 1])},
}


@pytest.mark.parametrize("name", FRAME_GROUPS)
def test_volumes_inside_one_file_can_be_chosen(tmp_path: Path, name: str) -> None:
    dataset = enhanced(
        np.concatenate([VOXELS + v for v in range(3)]), SOPClassUID=ENHANCED_MR, Modality="MR"
    )
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        volume, k = divmod(n, len(VOXELS))
        place = item(ImagePositionPatient=[0.0, 0.0, 2.0 * k])
        frame.PlanePositionSequence = pydicom.Sequence([place])
        for group, content in FRAME_GROUPS[name](volume).items():
            if "DimensionIndexValues" in content:
                content.DimensionIndexValues = [1, k + 1, volume + 1]
            setattr(frame, group, pydicom.Sequence([content]))
    path = tmp_path / "a.dcm"
    path.write_bytes(to_bytes(dataset))
    found = find_series(path).series
    assert [series.shape for series in found] == [(7, 5, 6)] * 3
    assert len({series.differs for series in found}) == 3
    added = []
    for number in (1, 2, 3):
        difference = read_volume(path, series=number).data - VOXELS.transpose(2, 1, 0)
        assert np.ptp(difference) == 0
        added.append(int(difference[0, 0, 0]))
    assert sorted(added) == [0, 1, 2]


IN_TURN: dict[str, tuple[dict[str, Any], ...]] = {
    "echo": ({"EchoTime": 10}, {"EchoTime": 80}),
    "image type": tuple({"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in "MP"),
    "b-value": ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}),
    "temporal position": tuple({"TemporalPositionIdentifier": n} for n in (1, 2, 3)),
    "cardiac phase": tuple({"NominalPercentageOfCardiacPhase": n} for n in (40.0, 75.0)),
    "stack": ({"StackID": "1"}, {"StackID": "2"}),
    "inversion time": ({"InversionTime": 50}, {"InversionTime": 200}),
    "flip angle": ({"FlipAngle": 5}, {"FlipAngle": 15}),
    "complex component": tuple({"ComplexImageComponent": c} for c in ("REAL", "IMAGINARY")),
    "echo and image type": tuple(
        {"EchoTime": echo, "ImageType": ["ORIGINAL", "PRIMARY", kind]}
        for echo in (10, 80)
        for kind in "MP"
    ),
    "b-value and direction": (
        {"DiffusionBValue": 0.0},
        *(
            {"DiffusionBValue": b, "DiffusionGradientOrientation": direction}
            for b in (500.0, 1000.0)
            for direction in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
        ),
    ),
}


@pytest.mark.parametrize("slices", [2, 6])
@pytest.mark.parametrize("name", IN_TURN)
def test_contrasts_in_turn_along_an_even_stack_are_volumes(
    tmp_path: Path, name: str, slices: int
) -> None:
    contrasts = IN_TURN[name]
    for k in range(slices):
        for n, tags in enumerate(contrasts):
            place = 0, 0, 2 * k + 2 * n / len(contrasts)
            write_slice(tmp_path / f"{k}-{n}", VOXELS[k] + 3000 * n, place, **MR_TAGS, **tags)
    assert shapes(tmp_path) == [(7, 5, slices)] * len(contrasts)
    found = []
    for number in range(1, len(contrasts) + 1):
        volume = read_volume(tmp_path, series=number)
        added = volume.data.astype(int) - VOXELS[:slices].transpose(2, 1, 0)
        assert np.ptp(added) == 0
        assert volume.spacing[2] == pytest.approx(2)
        found.append(int(added[0, 0, 0]))
    assert sorted(found) == [3000 * n for n in range(len(contrasts))]


def test_dimensions_in_turn_along_an_even_stack_are_volumes(tmp_path: Path) -> None:
    dataset = enhanced(VOXELS, SOPClassUID=ENHANCED_MR, Modality="MR")
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        place = item(ImagePositionPatient=[0.0, 0.0, float(n)])
        frame.PlanePositionSequence = pydicom.Sequence([place])
        content = item(DimensionIndexValues=[n // 2 + 1, n % 2 + 1])
        frame.FrameContentSequence = pydicom.Sequence([content])
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    assert shapes(tmp_path) == [(7, 5, 3)] * 2
    data = read_volume(tmp_path, series=1).data
    np.testing.assert_array_equal(data, VOXELS[::2].transpose(2, 1, 0))


@pytest.mark.parametrize("echoes", [(10, 10, 10, 80, 80, 80), (10, 80, 80, 10, 10, 80)])
def test_contrasts_that_are_not_in_turn_stay_one_stack(
    tmp_path: Path, echoes: Sequence[int]
) -> None:
    write_frames(tmp_path, VOXELS, lambda n: {**MR_TAGS, "EchoTime": echoes[n]})
    assert shapes(tmp_path) == [(7, 5, 6)]


def test_slices_measured_in_two_runs_are_one_volume(tmp_path: Path) -> None:
    """Odd slices, then even ones: acquisitions, times and trigger delays alternate."""
    write_frames(
        tmp_path,
        VOXELS,
        lambda n: {
            **MR_TAGS,
            "AcquisitionNumber": n % 2 + 1,
            "AcquisitionTime": str(101000 + n % 2),
            "TriggerTime": 20 * (n % 2),
        },
    )
    np.testing.assert_array_equal(read_volume(tmp_path).data, VOXELS.transpose(2, 1, 0))


def clock(second: float) -> str:
    """VR TM of a second counted from some midnight."""
    whole, part = divmod(round(second * 1000), 1000)
    hours, rest = divmod(whole % 86400, 3600)
    return f"{hours:02d}{rest // 60:02d}{rest % 60:02d}.{part:03d}"


def day(second: float) -> str:
    return "20191231" if second < 86400 else "20200101"


# tags of a slice that is measured at a second counted from the first day's midnight
OVER_MIDNIGHT: dict[str, Callable[[float], dict[str, Any]]] = {
    "AcquisitionTime": lambda s: {"AcquisitionTime": clock(s)},
    "ContentTime": lambda s: {"ContentTime": clock(s)},
    "AcquisitionTime and date": lambda s: {"AcquisitionDate": day(s), "AcquisitionTime": clock(s)},
    "ContentTime and date": lambda s: {"ContentDate": day(s), "ContentTime": clock(s)},
    "the first day's date": lambda s: {"AcquisitionDate": day(0), "AcquisitionTime": clock(s)},
    "some dates": lambda s: {
        "AcquisitionDate": day(s) if int(s) % 3 else None,
        "AcquisitionTime": clock(s),
    },
    "AcquisitionDateTime": lambda s: {"AcquisitionDateTime": day(s) + clock(s)},
    "all": lambda s: {
        "AcquisitionDate": day(s),
        "AcquisitionTime": clock(s),
        "AcquisitionDateTime": day(s) + clock(s),
        "ContentDate": day(s),
        "ContentTime": clock(s),
    },
}


@pytest.mark.parametrize("start", [86390, 86391, 86399.5], ids=["between", "within", "early"])
@pytest.mark.parametrize("name", OVER_MIDNIGHT)
def test_volumes_measured_over_midnight_are_not_mixed(
    tmp_path: Path, name: str, start: float
) -> None:
    for volume in range(8):
        write_frames(
            tmp_path / str(volume),
            VOXELS + 3000 * volume,
            lambda n, v=volume: {**MR_TAGS, **OVER_MIDNIGHT[name](start + 2 * v + 0.3 * n)},
        )
    found = find_series(tmp_path).series
    assert [series.shape for series in found] == [(7, 5, 6)] * 8
    for number in range(1, 9):
        added = read_volume(tmp_path, series=number).data.astype(int) - VOXELS.transpose(2, 1, 0)
        assert set(added.ravel()) == {3000 * (number - 1)}
    mark = name.split()[0] if name.split()[0] in MARKS else "AcquisitionTime"
    assert [series.differs for series in found] == [(f"{mark} {n} of 8",) for n in range(1, 9)]


def test_volumes_around_the_clock_without_a_date_are_not_guessed(tmp_path: Path) -> None:
    """The first volume at 20:00, then one every six hours; the second runs over midnight."""
    for volume, start in enumerate((72000, 86400 - 3, 115200, 136800)):
        write_frames(
            tmp_path / str(volume),
            VOXELS,
            lambda n, s=start: {**MR_TAGS, "AcquisitionTime": clock(s + n)},
        )
    with pytest.raises(InconsistentSeriesError, match=r"same position.*differ in AcquisitionTime"):
        read_volume(tmp_path)


@pytest.mark.parametrize("wrong", ["250000", "10:99", "noon", "101500\\101501"])
def test_a_time_that_can_t_be_parsed_puts_nothing_in_order(tmp_path: Path, wrong: str) -> None:
    for volume in range(2):
        times = [clock(36000 + 10 * volume + n) for n in range(6)]
        times[2] = wrong if volume else times[2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom notices what is wrong on purpose
            write_frames(
                tmp_path / str(volume),
                VOXELS,
                lambda n, t=times: {"AcquisitionTime": t[n], **MR_TAGS},
            )
    with pytest.raises(InconsistentSeriesError, match="same position"):
        read_volume(tmp_path)
