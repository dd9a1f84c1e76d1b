"""Decodes the pixels of one frame, whatever their transfer syntax.

imagecodecs does the work (libjpeg-turbo 3, CharLS, OpenJPEG). What a compressed
stream states is compared with the header before anything is allocated.
"""

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import CorruptFileError, UnsupportedFormatError

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 … SOF15 (T.81 B.1.1.3)
_JPEG_LS_FRAME = 0xF7  # SOF55 (T.87)
_SCAN = 0xDA
_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ (T.800 A.4)
_RLE_HEADER_BYTES = 64
_RLE_MOST_SEGMENTS = 15


def decode(data: bytes, syntax: str, rows: int, columns: int, bits_allocated: int) -> NDArray[Any]:
    """Decodes one compressed frame.

    Args:
        data: the fragments of the frame, joined.
        syntax: transfer syntax UID.
        rows, columns, bits_allocated: what the header states.

    Returns:
        Integers [rows, columns], signed or not as the stream states.

    Raises:
        UnsupportedFormatError: a transfer syntax that vcam does not decode.
        CorruptFileError: the stream is damaged, or of another size than stated.
    """
    if syntax == "1.2.840.10008.1.2.5":
        return _rle(data, rows, columns, bits_allocated)
    if syntax not in CODECS:
        raise UnsupportedFormatError(f"pixels in transfer syntax {syntax} can't be decoded")
    size_of, decoder = CODECS[syntax]
    stated = size_of(data)
    if stated != (rows, columns, 1):
        raise CorruptFileError(
            f"the header states {columns}×{rows} grey pixels, the compressed image "
            f"{stated[1]}×{stated[0]} with {stated[2]} components"
            if stated
            else "the compressed image has no frame header"
        )
    try:
        image: NDArray[Any] = decoder(data)
    except (RuntimeError, ValueError, TypeError, MemoryError, IndexError) as error:
        raise CorruptFileError(f"the compressed image is damaged{_reason(error)}") from error
    if image.size != rows * columns:
        raise CorruptFileError("the compressed image is damaged (pixels are missing)")
    return image.reshape(rows, columns)


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components of a JPEG or JPEG-LS stream."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _JPEG_FRAMES or marker == _JPEG_LS_FRAME:
            if at + 10 > len(data):
                return None
            rows, columns, components = struct.unpack(">HHB", data[at + 5 : at + 10])
            return rows, columns, components
        elif marker == _SCAN:
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _jpeg_ls(data: bytes) -> Any:
    """CharLS reads on for ever where damaged data has no end; pixels can't contain the marker."""
    if data.rfind(_END) < data.find(_START_OF_SCAN):
        raise ValueError("its end is missing")
    return imagecodecs.jpegls_decode(data)


def _j2k_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components of a JPEG 2000 codestream, bare or in a JP2 file."""
    at = data.find(_J2K_START)
    if at < 0 or at + 44 > len(data):
        return None
    right, bottom, left, top = struct.unpack(">4I", data[at + 8 : at + 24])
    (components,) = struct.unpack(">H", data[at + 40 : at + 42])
    return bottom - top, right - left, components


def _rle(data: bytes, rows: int, columns: int, bits_allocated: int) -> NDArray[Any]:
    """PS3.5 G: a PackBits segment for each byte of a pixel, the most significant first."""
    count = bits_allocated // 8
    if len(data) < _RLE_HEADER_BYTES:
        raise CorruptFileError("the RLE header is missing")
    segments, *offsets = struct.unpack("<16I", data[:_RLE_HEADER_BYTES])
    if segments != count or segments > _RLE_MOST_SEGMENTS:
        raise CorruptFileError(f"expected {count} RLE segments, the frame has {segments}")
    image = np.empty((rows * columns, count), np.uint8)
    ends = [*offsets[1:segments], len(data)]
    for n, (start, end) in enumerate(zip(offsets[:segments], ends, strict=True)):
        try:
            plane = imagecodecs.packbits_decode(data[start:end])
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise CorruptFileError(f"an RLE segment is damaged{_reason(error)}") from error
        if len(plane) < rows * columns:
            raise CorruptFileError("an RLE segment breaks off")
        image[:, count - 1 - n] = np.frombuffer(plane, np.uint8, rows * columns)
    return image.view(f"<u{count}").reshape(rows, columns)


def _reason(error: Exception) -> str:
    """What a decoder says, if it says anything."""
    return f" ({error})" if str(error) else ""


_Size = Callable[[bytes], tuple[int, int, int] | None]
CODECS: dict[str, tuple[_Size, Callable[[bytes], Any]]] = {
    **dict.fromkeys(
        (
            "1.2.840.10008.1.2.4.50",  # baseline, 8 bit
            "1.2.840.10008.1.2.4.51",  # extended, 12 bit
            "1.2.840.10008.1.2.4.53",  # spectral selection (retired)
            "1.2.840.10008.1.2.4.55",  # full progression (retired)
            "1.2.840.10008.1.2.4.57",  # lossless
            "1.2.840.10008.1.2.4.70",  # lossless, first-order prediction
        ),
        (_jpeg_size, imagecodecs.jpeg_decode),
    ),
    **dict.fromkeys(
        ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
        (_jpeg_size, _jpeg_ls),
    ),
    **dict.fromkeys(
        (
            "1.2.840.10008.1.2.4.90",
            "1.2.840.10008.1.2.4.91",
            "1.2.840.10008.1.2.4.201",  # HTJ2K, lossless
            "1.2.840.10008.1.2.4.202",
            "1.2.840.10008.1.2.4.203",
        ),
        (_j2k_size, imagecodecs.jpeg2k_decode),
    ),
}
"""Transfer syntax → how its stated size is found, and how it is decoded."""
