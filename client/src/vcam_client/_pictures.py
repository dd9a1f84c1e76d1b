"""PNG and JPEG: pictures for 2-D models, and slices of a folder of PNG slices.

PNG is decoded by libpng, which keeps 16 bits of every kind and checks each chunk; JPEG
by Pillow, which refuses a stream that breaks off.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vcam_client._laboratory import picture, upright
from vcam_client._limits import DEFLATE_EXPANSION, MAX_PICTURE_PIXELS, check_voxels
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client._quiet import quiet
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SUFFIXES = (".png", ".jpg", ".jpeg")

_EXIF_ORIENTATION = 0x0112
_HEADER = struct.Struct(">4sIIBB")
"""IHDR: its name, width, height, bits and colour type; after magic and chunk length."""
_HEADER_AT = len(PNG_MAGIC) + 4
_CHUNK = struct.Struct(">I4s")
"""Length and name of a PNG chunk; its content and a CRC-32 follow."""
_CHECKSUM = struct.Struct(">I")
_WITH_ALPHA, _COLOURS = (2, 4), 3
"""Numbers of channels: grey or colour with alpha, and colour (CMYK has more)."""
_NEARLY_GREY = 8
"""Most that the channels of a grey JPEG may differ, of 255; its chroma is quantised."""

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,  # Pillow's own, UnidentifiedImageError among them
    RuntimeError,  # all of imagecodecs
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What Pillow and imagecodecs raise on damaged files."""


def read_picture(path: Path, options: ReadOptions) -> Volume:
    """Reads a PNG or JPEG as a volume of one slice, upright as EXIF says.

    Its spacing is the one in `options`, else unknown: dots per inch are those of a
    screen or of paper, and not taken.

    Returns:
        A volume of uint8 or uint16 [columns, rows, 1]; see `_laboratory` for its axes.

    Raises:
        UnsupportedFormatError: true colour, or transparent pixels.
        CorruptFileError: truncated or damaged.
        InputError: more pixels than the limit.
    """
    chosen_volume(options.volume_index, 1, "of one slice", path.name)
    return picture(read_grey(path), options.spacing, path.stem)


def read_grey(path: Path) -> NDArray[Any]:
    """Grey values of a PNG or JPEG, uint8 or uint16 [rows, columns]; errors as above."""
    with path.open("rb") as stream:
        is_png = stream.read(len(PNG_MAGIC)) == PNG_MAGIC
    try:
        values, orientation = _png(path) if is_png else _jpeg(path)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path.name} states more pixels than the limit of {MAX_PICTURE_PIXELS}. "
            "Crop or resample it first."
        ) from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the picture's
        raise CorruptFileError(
            f"{path.name} can't be decoded: it breaks off, is damaged or of a rare kind. "
            "Copy it again, or save it anew as PNG."
        ) from error
    return upright(_grey(values, path, is_png=is_png), orientation)


def grey_png(values: NDArray[np.uint8]) -> bytes:
    """A greyscale PNG of uint8 [rows, columns]."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, "PNG")
    return stream.getvalue()


def _png(path: Path) -> tuple[NDArray[Any], int]:
    packed = path.read_bytes()
    name, width, height, bits, _ = _HEADER.unpack_from(packed, _HEADER_AT)
    if name != b"IHDR":
        raise ValueError("no IHDR")
    check_voxels((width, height), path.name, most=MAX_PICTURE_PIXELS)
    if width * height * bits // 8 > len(packed) * DEFLATE_EXPANSION:
        raise CorruptFileError(
            f"{path.name} breaks off: it states {width}×{height} pixels, more than its "
            f"{len(packed)} bytes can hold. Copy it again."
        )
    _check_chunks(packed)
    return imagecodecs.png_decode(packed), _orientation(path)


def _jpeg(path: Path) -> tuple[NDArray[Any], int]:
    with quiet(), Image.open(path, formats=("JPEG",)) as image:
        check_voxels(image.size, path.name, most=MAX_PICTURE_PIXELS)
        return np.asarray(image), int(image.getexif().get(_EXIF_ORIENTATION, 1))


def _check_chunks(packed: bytes) -> None:
    """Raises ValueError unless all chunks are whole; libpng would tell the terminal, too."""
    at, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        size, kind = _CHUNK.unpack_from(packed, at)
        end = at + _CHUNK.size + size
        (checksum,) = _CHECKSUM.unpack_from(packed, end)
        if zlib.crc32(memoryview(packed)[at + 4 : end]) != checksum:
            raise ValueError(f"checksum of {kind!r}")
        at = end + _CHECKSUM.size


def _orientation(path: Path) -> int:
    with quiet(), Image.open(path, formats=("PNG",)) as image:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def _grey(values: NDArray[Any], path: Path, *, is_png: bool) -> NDArray[Any]:
    """One value for each pixel, of [rows, columns] or [rows, columns, channels]."""
    if values.ndim == 2:
        return values
    if is_png and values.shape[2] in _WITH_ALPHA:
        if (values[..., -1] != np.iinfo(values.dtype).max).any():
            raise UnsupportedFormatError(
                f"Expected opaque pixels, received transparent ones in {path.name}. "
                "Save it without transparency."
            )
        values = values[..., :-1]
    # row by row: a difference of the whole picture would be larger than the picture
    apart = max(_apart(row.astype(np.int32)) for row in values)
    if apart > (0 if is_png else _NEARLY_GREY) or values.shape[2] > _COLOURS:
        raise UnsupportedFormatError(
            f"Expected grey values, received colours in {path.name}: its channels differ by up to "
            f"{apart}, and a model takes one value for each pixel. Convert it to grey."
        )
    grey = np.empty(values.shape[:2], values.dtype)
    for out, row in zip(grey, values, strict=True):
        out[:] = row[:, 0] if apart == 0 else np.rint(row.mean(axis=1))
    return grey


def _apart(row: NDArray[np.int32]) -> int:
    """Most that the channels [columns, channels] of any pixel differ from its first."""
    return int(np.abs(row[:, 1:] - row[:, :1]).max(initial=0))
