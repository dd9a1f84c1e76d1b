"""One slice in every transfer syntax: lossless ones equal, lossy ones within their bounds."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from real_scans import ROOT, needs_data

from vcam_client import read_volume

pytestmark = needs_data

_JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = {
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    *(_JPEG + n for n in ("57", "70", "80", "90", "201", "202")),
}
NEAR_LOSSLESS = _JPEG + "81"
JPEG = {_JPEG + n for n in ("50", "51", "53", "55")}
ROUNDING_STEPS = 1.0
"""Half a step before compression, half a step after it."""


def slices() -> list[Path]:
    return sorted((ROOT / "dicom" / "transfer_syntax_ct").glob("*"))


def native() -> np.ndarray:
    """The slice as its plain little endian file has it, by pydicom."""
    for path in slices():
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1":
            stored = dataset.pixel_array.astype(np.int64)
            return stored * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
    pytest.skip("no uncompressed slice to compare with")


def stream_of(path: Path) -> bytes:
    dataset = pydicom.dcmread(path)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def near(path: Path) -> int:
    """NEAR of a JPEG-LS stream, from its start of scan (T.87 C.2.3)."""
    stream = stream_of(path)
    scan = stream.index(b"\xff\xda")
    components = stream[scan + 4]
    return stream[scan + 5 + 2 * components]


def quantisers(path: Path) -> np.ndarray:
    """float64 [64]: the first quantisation table of a JPEG, zigzag order (T.81 B.2.4.1)."""
    stream = stream_of(path)
    at = stream.index(b"\xff\xdb") + 4
    wide = stream[at] >> 4
    return np.frombuffer(stream[at + 1 :], ">u2" if wide else "u1", 64).astype(np.float64)


def jpeg_bounds(path: Path) -> tuple[float, float]:
    """Most that a JPEG can be off on average and anywhere, in steps of its samples.

    A coefficient is off by half its quantiser at most. The transform keeps energy
    (Parseval), so a block's mean error is no larger than the quantisers' root mean
    square over 2; at one pixel they add up with the weights of T.81 A.3.3.
    """
    q = quantisers(path)
    scale = np.array([np.sqrt(0.5), *[1.0] * 7])
    weights = np.outer(scale, scale) / 4
    sums = sorted((u + v, u if (u + v) % 2 else v) for u in range(8) for v in range(8))
    along = np.array([weights[(u, d - u) if d % 2 else (d - u, u)] for d, u in sums])
    return float(np.sqrt((q**2).mean()) / 2), float((along * q / 2).sum())


@pytest.mark.parametrize("path", slices(), ids=lambda p: p.name.split("_")[1])
def test_a_slice_is_the_same_in_every_transfer_syntax(path: Path) -> None:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    syntax = header.file_meta.TransferSyntaxUID
    error = np.abs(read_volume(path).data[:, :, 0].T - native().astype(np.float64))
    slope = float(header.RescaleSlope)
    if syntax in LOSSLESS:
        assert error.max() == 0
    elif syntax == NEAR_LOSSLESS:
        assert near(path) > 0
        assert error.max() <= near(path) * slope
    elif syntax in JPEG:
        mean, largest = jpeg_bounds(path)
        assert 0 < error.mean() <= (mean + ROUNDING_STEPS) * slope
        assert error.max() <= (largest + ROUNDING_STEPS) * slope
    else:
        # JPEG 2000 has no bound but its rate: far below noise here
        assert syntax == _JPEG + "91"
        assert error.mean() <= 3
        assert error.max() <= 30


def test_every_transfer_syntax_has_its_bound() -> None:
    found = {
        str(pydicom.dcmread(p, stop_before_pixels=True).file_meta.TransferSyntaxUID)
        for p in slices()
    }
    assert found <= LOSSLESS | {NEAR_LOSSLESS, _JPEG + "91"} | JPEG
