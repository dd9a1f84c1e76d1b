"""Compressed pixels written here: every codec, fragments and offset tables, read as they were."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from client.dicom_instances import compress, enhanced, instance, to_bytes
from soak.seeds import rle_frame

from vcam_client import read_volume

_UID = "1.2.840.10008.1.2."
Encoder = Callable[[np.ndarray], bytes]


def j2k(pixels: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **options))


def lossless_jpeg(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg_encode(pixels, lossless=True, predictor=1))


def htj2k(pixels: np.ndarray) -> bytes:
    if not hasattr(imagecodecs, "htj2k_encode"):  # decoding needs OpenJPEG alone
        pytest.skip("imagecodecs encodes HTJ2K from 2026.1.1 on")
    return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))


def jpeg12(pixels: np.ndarray) -> bytes:
    if imagecodecs.__version__ < "2025":
        pytest.skip("imagecodecs encodes JPEG with 12 bits from 2025.3.30 on")
    return bytes(imagecodecs.jpeg_encode(pixels, level=97, bitspersample=12))


LOSSLESS: dict[str, tuple[str, Encoder]] = {
    "RLE": (_UID + "5", rle_frame),
    "JPEG lossless": (_UID + "4.70", lossless_jpeg),
    "JPEG-LS": (_UID + "4.80", lambda a: bytes(imagecodecs.jpegls_encode(a))),
    "JPEG 2000": (_UID + "4.90", lambda a: j2k(a, reversible=True)),
    "HTJ2K": (_UID + "4.201", htj2k),
}
_JPEG_LS = "JPEG-LS" if importlib.util.find_spec("jpeg_ls") else ""  # pyjpegls has no 3.14 wheels
_PYDICOM_DECODES = ("RLE", _JPEG_LS, "JPEG 2000")
"""What pydicom has plugins for here."""
NEAR = 3
LOSSY: dict[str, tuple[str, int, float, Encoder]] = {
    "JPEG baseline": (_UID + "4.50", 8, 6, lambda a: bytes(imagecodecs.jpeg_encode(a, level=97))),
    "JPEG extended": (_UID + "4.51", 12, 40, jpeg12),
    "JPEG-LS near": (_UID + "4.81", 12, NEAR, lambda a: bytes(imagecodecs.jpegls_encode(a, NEAR))),
    "JPEG 2000 lossy": (_UID + "4.91", 12, 10, lambda a: j2k(a, level=90, reversible=False)),
}
"""Transfer syntax, bits, most that a value may be off, encoder."""


def picture(rng: np.random.Generator, frames: int, bits: int) -> np.ndarray:
    """Smooth structures and noise, uint8 or uint16 [frames, 24, 40]."""
    k, y, x = np.mgrid[:frames, :24, :40]
    smooth = (np.sin(x / 5 + k) + np.cos(y / 4)) / 4.2 + 0.5
    noise = rng.normal(0, 0.004, smooth.shape)
    values = np.clip((smooth + noise) * (2**bits - 1), 0, 2**bits - 1)
    return np.rint(values).astype(np.uint8 if bits == 8 else np.uint16)


def bits_of(bits: int) -> dict[str, int]:
    return {"BitsAllocated": 8 if bits == 8 else 16, "BitsStored": bits, "HighBit": bits - 1}


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_single_frames_come_back(tmp_path: Path, name: str, bits: int) -> None:
    syntax, encode = LOSSLESS[name]
    pixels = picture(np.random.default_rng(bits), 1, bits)[0]
    dataset = instance(pixels, **bits_of(bits), RescaleIntercept=-1024)
    (tmp_path / "a.dcm").write_bytes(to_bytes(compress(dataset, [encode(pixels)], syntax)))
    volume = read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(volume.data[:, :, 0].T, pixels.astype(int) - 1024)


SIGNED = ["RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"]


@pytest.mark.parametrize("name", SIGNED)
def test_signed_values_come_back(tmp_path: Path, name: str) -> None:
    """Codecs without a sign hold the bits; the header says that they are signed."""
    syntax, encode = LOSSLESS[name]
    pixels = picture(np.random.default_rng(1), 1, 16)[0].view(np.int16)
    stream = encode(pixels) if name == "JPEG 2000" else encode(pixels.view(np.uint16))
    dataset = compress(instance(pixels), [stream], syntax)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    assert int(pixels.min()) < 0
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").data[:, :, 0].T, pixels)


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("name", LOSSLESS)
def test_frames_fragments_and_offset_tables(
    tmp_path: Path, name: str, fragments: int, table: str
) -> None:
    if fragments > 1 and table == "extended":
        pytest.skip("an extended offset table allows one fragment a frame (PS3.3 C.7.6.3.1.8)")
    if fragments > 1 and name == "RLE":
        pytest.skip("RLE has one fragment a frame (PS3.5 A.4.2)")
    syntax, encode = LOSSLESS[name]
    pixels = picture(np.random.default_rng(2), 5, 12)
    order = [2, 0, 1, 4, 3]
    dataset = enhanced(pixels, order=order, **bits_of(12))
    frames = [encode(np.ascontiguousarray(pixels[n])) for n in order]
    compress(dataset, frames, syntax, fragments=fragments, table=table)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    volume = read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), pixels)
    if name in _PYDICOM_DECODES:
        peer = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
        np.testing.assert_array_equal(volume.data.transpose(2, 1, 0)[order], peer)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_frames_come_back_nearly(tmp_path: Path, name: str) -> None:
    syntax, bits, most, encode = LOSSY[name]
    pixels = picture(np.random.default_rng(3), 3, bits)
    dataset = enhanced(
        pixels if bits > 8 else pixels.astype(np.uint16), **bits_of(bits), PixelRepresentation=0
    )
    compress(dataset, [encode(p) for p in pixels], syntax)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    volume = read_volume(tmp_path / "a.dcm")
    error = np.abs(volume.data.transpose(2, 1, 0).astype(int) - pixels)
    assert 0 < error.max() <= most
    assert error.mean() < 0.6 * most


@pytest.mark.parametrize("name", ["JPEG-LS near", "JPEG 2000 lossy"])
def test_lossy_frames_equal_pydicom_s(tmp_path: Path, name: str) -> None:
    if name == "JPEG-LS near" and not _JPEG_LS:
        pytest.skip("pyjpegls is not installed")
    syntax, bits, _, encode = LOSSY[name]
    pixels = picture(np.random.default_rng(4), 1, bits)[0]
    dataset = compress(instance(pixels, **bits_of(bits)), [encode(pixels)], syntax)
    (tmp_path / "a.dcm").write_bytes(to_bytes(dataset))
    peer = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").data[:, :, 0].T, peer)
