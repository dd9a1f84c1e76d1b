"""Bits, signs, overlays, padding and rescale of stored DICOM values."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series
from client.dicom_instances import enhanced, instance, to_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vcam_client import Volume, read_volume
from vcam_client.errors import InconsistentSeriesError

properties = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SHAPE = (5, 6)
PET = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"}


def read(dataset: Dataset) -> Volume:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.dcm"
        path.write_bytes(to_bytes(dataset))
        return read_volume(path)


def plane(volume: Volume) -> np.ndarray:
    return volume.data[:, :, 0].T


@properties
@given(
    seed=st.integers(0, 2**32 - 1),
    allocated=st.sampled_from([8, 16, 32]),
    stored=st.integers(1, 32),
    shift=st.integers(0, 31),
    signed=st.booleans(),
    overlay=st.booleans(),
)
def test_stored_bits_lie_where_the_header_says(
    seed: int, allocated: int, stored: int, shift: int, signed: bool, overlay: bool
) -> None:
    """BitsStored, HighBit and PixelRepresentation (PS3.5 8.1.1), whatever the bits beside hold."""
    stored = min(stored, allocated)
    high = min(stored - 1 + shift, allocated - 1)
    rng = np.random.default_rng(seed)
    low = -(2 ** (stored - 1)) if signed else 0
    values = rng.integers(low, low + 2**stored, SHAPE)
    bits = (values & (2**stored - 1)) << (high + 1 - stored)
    if overlay:
        mask = ((2**stored - 1) << (high + 1 - stored)) ^ (2**allocated - 1)
        bits |= rng.integers(0, 2**allocated, SHAPE) & mask
    pixels = bits.astype(f"<u{allocated // 8}")
    dataset = instance(
        np.zeros(SHAPE, np.uint16),
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high,
        PixelRepresentation=int(signed),
    )
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OW"
    found = plane(read(dataset))
    expected = values if found.dtype.kind == "i" else values.astype(np.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stated_signed", [False, True])
def test_padding_written_with_the_other_sign(signed: bool, stated_signed: bool) -> None:
    """PixelPaddingValue as US beside signed pixels, and as SS beside unsigned ones."""
    padding = -2000 if signed else 63536  # the same sixteen bits
    pixels = np.full(SHAPE, 100, np.int16 if signed else np.uint16)
    pixels[0, :3] = padding
    value = -2000 if stated_signed else 63536
    dataset = instance(pixels)
    dataset.add_new("PixelPaddingValue", "SS" if stated_signed else "US", value)
    volume = read(dataset)
    assert volume.padding == (float(padding), float(padding))
    assert plane(volume)[0, :4].tolist() == [padding] * 3 + [100]


def test_padding_beyond_the_stored_bits_stays(tmp_path: Path) -> None:
    """Scanners write -2000 beside 12-bit values (IHE); it is not cut to the bits."""
    pixels = np.full(SHAPE, 100, np.int16)
    pixels[0, :3] = -3000
    dataset = instance(pixels, BitsStored=12, HighBit=11)
    dataset.add_new("PixelPaddingValue", "SS", -3000)
    volume = read(dataset)
    assert plane(volume)[0, :4].tolist() == [-3000] * 3 + [100]
    assert volume.padding == (-3000.0, -3000.0)


def test_a_range_of_padding() -> None:
    pixels = np.arange(30, dtype=np.uint16).reshape(SHAPE)
    dataset = instance(pixels, RescaleIntercept=-1000)
    dataset.add_new("PixelPaddingValue", "US", 7)
    dataset.add_new("PixelPaddingRangeLimit", "US", 3)
    assert read(dataset).padding == (-997.0, -993.0)


@settings(properties, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rescales=st.lists(
        st.tuples(
            st.sampled_from([1.0, 2.0, 0.5, -1.0, 0.0012345, 3.25]),
            st.sampled_from([0.0, -1024.0, 0.5, 100000.0, -32768.0]),
        ),
        min_size=3,
        max_size=3,
    ),
    signed=st.booleans(),
)
def test_each_slice_has_a_rescale_of_its_own(
    seed: int, rescales: list[tuple[float, float]], signed: bool
) -> None:
    rng = np.random.default_rng(seed)
    kind = np.int16 if signed else np.uint16
    info = np.iinfo(kind)
    data = rng.integers(info.min, info.max, (3, *SHAPE), kind, endpoint=True)
    with tempfile.TemporaryDirectory() as name:
        paths = write_series(Path(name), data, **PET)
        for path, (slope, intercept) in zip(paths, rescales, strict=True):
            dataset = pydicom.dcmread(path)
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
            dataset.save_as(path)
        found = read_volume(name).data.transpose(2, 1, 0)
    expected = [p * s + b for p, (s, b) in zip(data.astype(np.float64), rescales, strict=True)]
    whole = all(s.is_integer() and b.is_integer() for s, b in rescales)
    if whole:
        assert found.dtype.kind == "i"
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_a_rescale_in_functional_groups_wins() -> None:
    data = np.arange(60, dtype=np.uint16).reshape(2, *SHAPE)
    volume = read(enhanced(data, rescale=(2, -1000), RescaleSlope=7, RescaleIntercept=7))
    np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), 2 * data.astype(int) - 1000)
    assert volume.units == "HU"


@pytest.mark.parametrize("monochrome1", [False, True])
def test_a_modality_table(monochrome1: bool) -> None:
    """Modality LUT (PS3.3 C.11.1): the first entry is for the first value mapped and below."""
    pixels = np.array([[0, 10, 11], [12, 13, 200]], np.uint16)
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [3, 10, 16])
    table.add_new("LUTData", "US", [100, 500, 900])
    table.ModalityLUTType = "HU"
    dataset = instance(
        pixels,
        RescaleSlope=None,
        RescaleIntercept=None,
        PhotometricInterpretation="MONOCHROME1" if monochrome1 else "MONOCHROME2",
    )
    dataset.ModalityLUTSequence = Sequence([table])
    expected = np.array([[100, 100, 500], [900, 900, 900]])
    if monochrome1:
        expected = 1000 - expected
    np.testing.assert_array_equal(plane(read(dataset)), expected)


@settings(properties, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    stored=st.integers(8, 16),
    signed=st.booleans(),
    rescale=st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (0.5, 3.0)]),
)
def test_monochrome1_turns_the_range_of_the_stored_bits(
    seed: int, stored: int, signed: bool, rescale: tuple[float, float]
) -> None:
    low = -(2 ** (stored - 1)) if signed else 0
    high = low + 2**stored - 1
    values = np.random.default_rng(seed).integers(low, high, SHAPE, endpoint=True)
    dataset = instance(
        values.astype(np.int16 if signed else np.uint16),
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=stored,
        HighBit=stored - 1,
        RescaleSlope=rescale[0],
        RescaleIntercept=rescale[1],
    )
    expected = (low + high - values) * rescale[0] + rescale[1]
    np.testing.assert_array_equal(plane(read(dataset)), expected)


def test_padding_is_one_value_though_each_slice_has_a_rescale_of_its_own(tmp_path: Path) -> None:
    data = np.full((3, *SHAPE), 500, np.int16)
    data[:, 0, :2] = -2000
    paths = write_series(tmp_path, data)
    for n, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        dataset.RescaleSlope = n + 1
        dataset.save_as(path)
    volume = read_volume(tmp_path)
    assert volume.padding is not None
    padded = (volume.data >= volume.padding[0]) & (volume.data <= volume.padding[1])
    np.testing.assert_array_equal(padded.transpose(2, 1, 0), data == -2000)
    assert [int(v) for v in volume.data[-1, -1]] == [500, 1000, 1500]


def test_volumes_of_one_enhanced_file_are_told_apart_by_functional_groups(tmp_path: Path) -> None:
    data = np.arange(180, dtype=np.uint16).reshape(6, *SHAPE)
    dataset = enhanced(data)
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        place = frame.PlanePositionSequence[0]
        place.ImagePositionPatient = [0, 0, 2.0 * (n // 2)]
        content = Dataset()
        content.TemporalPositionIndex = 1 + n % 2
        frame.FrameContentSequence = Sequence([content])
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    for number in (1, 2):
        volume = read_volume(tmp_path / "a.dcm", series=number)
        np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), data[number - 1 :: 2])


def changed(paths: list[Path], numbers: list[int], *gone: str, **tags: object) -> None:
    """Takes elements out of some slices of a series, or gives them others."""
    for number in numbers:
        dataset = pydicom.dcmread(paths[number])
        for keyword in gone:
            delattr(dataset, keyword)
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.save_as(paths[number])


RESCALE = ("RescaleSlope", "RescaleIntercept")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("numbers", "gone", "tags", "named"),
    [
        ([5], RESCALE, {}, "1 of 12 has no rescale: IM007"),
        ([0], RESCALE, {}, "1 of 12 has no rescale: IM012"),
        ([1, 2], RESCALE, {}, "2 of 12 have no rescale: IM010, IM011"),
        (list(range(6)), RESCALE, {}, "and 2 more"),
        ([5], ("RescaleIntercept",), {}, "1 of 12 has a slope without an intercept: IM007"),
        ([5], (), {"RescaleType": "US"}, "1 of 12 has US: IM007"),
        ([5], (), {"RescaleType": "Nobody"}, "1 of 12 has another RescaleType: IM007"),
    ],
)
def test_slices_that_do_not_say_what_the_rest_says_are_named(
    tmp_path: Path,
    numbers: list[int],
    gone: tuple[str, ...],
    tags: dict[str, object],
    named: str,
    strict: bool,
) -> None:
    data = np.random.default_rng(0).integers(0, 2000, (12, *SHAPE)).astype(np.int16)
    paths = write_series(tmp_path / "s", data, RescaleIntercept=-1024, RescaleType="HU")
    assert read_volume(tmp_path / "s").units == "HU"
    changed(paths, numbers, *gone, **tags)
    with pytest.raises(InconsistentSeriesError) as raised:
        read_volume(tmp_path / "s", strict=strict)
    assert named in str(raised.value)
    assert "NOBODY" not in str(raised.value)


def test_a_modality_table_in_some_slices_only_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", np.zeros((3, *SHAPE), np.int16))
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [3, 0, 16])
    table.add_new("LUTData", "US", [100, 500, 900])
    table.ModalityLUTType = "HU"
    changed(paths, [1], *RESCALE, ModalityLUTSequence=Sequence([table]))
    with pytest.raises(InconsistentSeriesError, match=r"1 of 3 has a modality table: IM002"):
        read_volume(tmp_path / "s")


def test_a_frame_without_rescale_is_named() -> None:
    data = np.arange(120, dtype=np.uint16).reshape(4, *SHAPE)
    dataset = enhanced(data, rescale=(1, -1024), shared=False)
    del dataset.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence
    with pytest.raises(InconsistentSeriesError, match=r"has no rescale: frame 3 of a\.dcm"):
        read(dataset)


def test_units_that_are_left_out_where_values_say_them_are_not_missed(tmp_path: Path) -> None:
    """RescaleType is optional beside a rescale of CT (PS3.3 C.8.2.1)."""
    paths = write_series(tmp_path, np.zeros((3, *SHAPE), np.int16), RescaleType="HU")
    changed(paths, [1], "RescaleType")
    assert read_volume(tmp_path).units == "HU"


@pytest.mark.parametrize("numbers", [range(5, 12), [0]])
def test_units_that_only_some_slices_state_are_refused(
    tmp_path: Path, numbers: Iterable[int]
) -> None:
    """Beside an intercept of CT, no RescaleType means HU; "US" means that units are unknown."""
    paths = write_series(tmp_path / "s", np.zeros((12, *SHAPE), np.int16), RescaleIntercept=-1024)
    changed(paths, list(numbers), RescaleType="US")
    with pytest.raises(InconsistentSeriesError, match=r"\(RescaleType\): most have (US|HU)"):
        read_volume(tmp_path / "s")


@pytest.mark.parametrize(
    ("first", "other", "named"),
    [
        ({"Units": "BQML"}, {"Units": "GML"}, "(Units): most have BQML, but 2 of 6 have GML: IM00"),
        ({"Units": "BQML"}, {"Units": ""}, "but 2 of 6 have no Units: IM00"),
        ({"Units": "BQML"}, {"Units": "NOBODY"}, "but 2 of 6 have another Units: IM00"),
        ({"Units": "GML"}, {"Units": "GML", "SUVType": "LBM"}, "(SUVType): most have BW, but"),
    ],
)
def test_pet_slices_in_other_units_are_named(
    tmp_path: Path, first: dict[str, str], other: dict[str, str], named: str
) -> None:
    paths = write_series(tmp_path / "s", np.zeros((6, *SHAPE), np.int16), **first, **PET)
    assert read_volume(tmp_path / "s").modality == "PT"
    changed(paths, [1, 2], **other)
    with pytest.raises(InconsistentSeriesError) as raised:
        read_volume(tmp_path / "s")
    assert named in str(raised.value)
    assert "NOBODY" not in str(raised.value)


def test_the_suv_type_that_is_meant_may_be_left_out(tmp_path: Path) -> None:
    """Without SUVType, GML is by body weight (PS3.3 C.8.9.1)."""
    paths = write_series(tmp_path, np.zeros((4, *SHAPE), np.int16), Units="GML", **PET)
    changed(paths, [1], SUVType="BW")
    assert read_volume(tmp_path).shape[2] == 4


def test_unspecified_units_may_be_left_out_of_mr_slices(tmp_path: Path) -> None:
    paths = write_series(tmp_path, np.zeros((4, *SHAPE), np.int16), **MR)
    changed(paths, [1], RescaleType="US")
    assert read_volume(tmp_path).shape[2] == 4


def test_modality_tables_in_other_units_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", np.zeros((3, *SHAPE), np.int16))
    for number in range(3):
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [3, 0, 16])
        table.add_new("LUTData", "US", [100, 500, 900])
        table.ModalityLUTType = "OD" if number == 1 else "HU"
        changed(paths, [number], *RESCALE, ModalityLUTSequence=Sequence([table]))
    with pytest.raises(InconsistentSeriesError, match=r"1 of 3 has OD: IM002"):
        read_volume(tmp_path / "s")


MR = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"}


@pytest.mark.parametrize("intercept", [0, 5])
def test_an_identity_that_is_left_out_of_mr_slices_changes_nothing(
    tmp_path: Path, intercept: int
) -> None:
    data = np.arange(90, dtype=np.int16).reshape(3, *SHAPE)
    paths = write_series(tmp_path / "s", data, RescaleIntercept=intercept, **MR)
    changed(paths, [1], *RESCALE)
    if intercept:
        with pytest.raises(InconsistentSeriesError, match="has no rescale: IM002"):
            read_volume(tmp_path / "s")
    else:
        np.testing.assert_array_equal(read_volume(tmp_path / "s").data.transpose(2, 1, 0), data)


@pytest.mark.parametrize("tags", [{**MR, "RescaleSlope": 2}, {"Modality": "CT"}], ids=["MR", "CT"])
def test_a_rescale_that_says_something_is_missed(tmp_path: Path, tags: dict[str, object]) -> None:
    """A slope changes values; even an identity says of a CT that they are Hounsfield units."""
    paths = write_series(tmp_path, np.ones((3, *SHAPE), np.int16), RescaleIntercept=0, **tags)
    changed(paths, [1], *RESCALE)
    with pytest.raises(InconsistentSeriesError, match="has no rescale: IM002"):
        read_volume(tmp_path)


def test_a_slope_without_an_intercept_is_no_way_to_hounsfield_units(tmp_path: Path) -> None:
    """Most writers mean 0, some forget -1024; the file does not say which."""
    data = np.arange(90, dtype=np.int16).reshape(3, *SHAPE)
    write_series(tmp_path, data, RescaleSlope=2, RescaleIntercept=None)
    volume = read_volume(tmp_path)
    assert volume.units == ""
    np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), 2 * data)


def test_a_range_of_padding_does_not_grow_over_values_of_other_slices(tmp_path: Path) -> None:
    """Padding 0 to 5 is -1000 to -995 in one slice, 0 to 5 in another; 0 to -1000 are real."""
    data = np.full((3, *SHAPE), 600, np.int16)
    data[:, 0] = np.arange(SHAPE[1])
    paths = write_series(tmp_path, data, RescaleIntercept=-1000, **PET)
    for n, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "SS", 0)
        dataset.add_new("PixelPaddingRangeLimit", "SS", 5)
        dataset.RescaleIntercept = -1000 if n < 2 else 0
        dataset.save_as(path)
    volume = read_volume(tmp_path)
    assert volume.padding is not None
    padded = (volume.data >= volume.padding[0]) & (volume.data <= volume.padding[1])
    np.testing.assert_array_equal(padded.transpose(2, 1, 0), data <= 5)
    assert volume.data.transpose(2, 1, 0)[:, 1, 0].tolist() == [-400, -400, 600]
