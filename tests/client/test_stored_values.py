"""Bits, signs, overlays, padding and rescale of stored DICOM values."""

import tempfile
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

properties = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SHAPE = (5, 6)


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
        paths = write_series(Path(name), data)
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
