"""Walks the directories of a TIFF file, so that none is lost without a word.

tifffile reads a chain of image directories (IFDs) up to where it breaks off and goes on
with what it has; a truncated stack would just have fewer slices.
"""

import struct
from pathlib import Path
from typing import IO

from vcam_client.errors import CorruptFileError, UnsupportedFormatError

_BIG_VERSION = 43
_MAX_TAGS = 4096
_MAX_PAGES = 2**20
_REDUCED = 254
"""NewSubfileType, whose lowest bit says that a page is a thumbnail of another."""
_SHAPE_TAGS = (256, 257, 258, 259, 277, 339)
"""Width, length, bits, compression, samples and sample format: the same for all slices."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Field types BYTE, SHORT, LONG and LONG8, whose single value stands in the directory."""


def count_pages(path: Path) -> int:
    """How many images the file holds, thumbnails left out.

    Raises:
        CorruptFileError: the chain of directories breaks off or runs in a circle.
        UnsupportedFormatError: images of different sizes or types.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(16).ljust(16, b"\0")
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack(order + "H", head[2:4])[0] == _BIG_VERSION
        offset = struct.unpack(order + "Q", head[8:16])[0] if big else _long(order, head[4:8])
        seen: set[int] = set()
        kinds: dict[tuple[int, ...], int] = {}
        while offset:
            if offset >= size or offset in seen or len(seen) >= _MAX_PAGES:
                raise _damaged(path, len(seen))
            seen.add(offset)
            tags, offset = _directory(stream, offset, order, big, path, len(seen) - 1)
            if tags.get(_REDUCED, 0) <= 0 or not tags[_REDUCED] & 1:
                kind = tuple(tags.get(tag, 0) for tag in _SHAPE_TAGS)
                kinds[kind] = kinds.get(kind, 0) + 1
    if len(kinds) > 1:
        raise UnsupportedFormatError(
            f"Expected slices of one size and type in {path.name}, received {len(kinds)} different "
            f"kinds of images ({', '.join(map(str, kinds.values()))} of each). Export the slices "
            "of one volume into a file of their own."
        )
    if not kinds:
        raise CorruptFileError(f"{path.name} is a TIFF file without an image. Export it again.")
    return sum(kinds.values())


def _directory(
    stream: IO[bytes], offset: int, order: str, big: bool, path: Path, number: int
) -> tuple[dict[int, int], int]:
    """{tag: its number, or minus how many it has} of one IFD, and the offset of the next."""
    counter, entry, pointer = ("Q", 20, 8) if big else ("H", 12, 4)
    stream.seek(offset)
    length = struct.calcsize(order + counter)
    raw = stream.read(length)
    count = struct.unpack(order + counter, raw)[0] if len(raw) == length else _MAX_TAGS + 1
    if count > _MAX_TAGS:
        raise _damaged(path, number)
    body = stream.read(count * entry + pointer)
    if len(body) < count * entry + pointer:
        raise _damaged(path, number)
    tags = {}
    head = order + "HH" + ("Q" if big else "I")
    for start in range(0, count * entry, entry):
        code, kind, values = struct.unpack_from(head, body, start)
        tags[code] = -values
        if values == 1 and kind in _INTEGERS:
            value = order + _INTEGERS[kind]
            tags[code] = struct.unpack_from(value, body, start + struct.calcsize(head))[0]
    following = struct.unpack_from(order + ("Q" if big else "I"), body, count * entry)[0]
    return tags, following


def _long(order: str, raw: bytes) -> int:
    value: int = struct.unpack(order + "I", raw)[0]
    return value


def _damaged(path: Path, pages: int) -> CorruptFileError:
    return CorruptFileError(
        f"{path.name} breaks off or is damaged after {pages} images. "
        "Copy it again, or export it anew."
    )
