"""A span of voxel bytes that begin somewhere in a file, as they are or compressed.

NRRD and MetaImage put voxels behind a text header or into a file of their own, where
`_gzip.span_of` reads files that are gzipped as a whole. A compressed stream is read to its
end, so that its checksum is verified.
"""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._gzip import MAX_TRAILING_BYTES, breaks_off, fill, holds_more, skip
from vcam_client._limits import DEFLATE_EXPANSION, check_bytes
from vcam_client.errors import CorruptFileError, InputError

RAW, GZIP, ZLIB, BZIP2 = "raw", "gzip", "zlib", "bzip2"
_CHUNK = 1 << 16
_BZIP2_EXPANSION = 2**17
"""Most bytes that one byte of bzip2 may become here; the format sets no bound."""


def span_within(
    path: Path, coding: str, at: int, start: int, size: int, end: int
) -> NDArray[np.uint8]:
    """uint8 [size]: bytes of a stream that begins in a file.

    Args:
        path: the file.
        coding: RAW, GZIP, ZLIB or BZIP2.
        at: byte of the file at which the stream begins.
        start, size: which bytes of the decoded stream.
        end: how many bytes its header says that the stream holds.

    Raises:
        CorruptFileError: it breaks off, holds more than stated, or is damaged.
        InputError: it states more bytes than the limit.
    """
    check_bytes(end, path.name)
    stored = max(0, path.stat().st_size - at)
    if coding == RAW:
        if stored < end:
            raise breaks_off(path, end, stored)
        if stored > end + MAX_TRAILING_BYTES:
            raise holds_more(path)
    else:
        _check_expansion(path, coding, end, stored)
    buffer = np.empty(size, np.uint8)
    with _decoded(path, coding, at) as stream:
        found = skip(stream, start, path)
        found += fill(stream, buffer, path) if found == start else 0
        if coding != RAW:
            # to the end of the stream: there is its checksum
            found += skip(stream, end - start - size, path)
            if skip(stream, MAX_TRAILING_BYTES + 1, path) > MAX_TRAILING_BYTES:
                raise holds_more(path)
            if found < end:
                raise breaks_off(path, end, found)
    if coding == RAW and found < start + size:
        raise breaks_off(path, end, found)
    return buffer


def coding_of(path: Path, at: int) -> str:
    """GZIP or ZLIB, as a deflated stream in a file begins."""
    with path.open("rb") as stream:
        stream.seek(at)
        return GZIP if stream.read(2) == b"\x1f\x8b" else ZLIB


def _check_expansion(path: Path, coding: str, end: int, stored: int) -> None:
    if coding == BZIP2 and end > stored * _BZIP2_EXPANSION:
        raise InputError(
            f"{path.name} states {end} bytes of voxels in {stored} bytes of bzip2, more than vcam "
            "unpacks. Save it with gzip."
        )
    if coding != BZIP2 and end > stored * DEFLATE_EXPANSION:
        raise CorruptFileError(
            f"{path.name} breaks off: its header states {end} bytes, more than {stored} "
            "compressed bytes can hold. Copy or download the file again."
        )


@contextmanager
def _decoded(path: Path, coding: str, at: int) -> Iterator[Any]:
    with path.open("rb") as stream:
        stream.seek(at)
        if coding == RAW:
            yield stream
        elif coding == GZIP:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked
        elif coding == ZLIB:
            yield _Zlib(stream)
        else:
            with bz2.BZ2File(stream) as unpacked:
                yield _Bzip2(unpacked)


class _Zlib:
    """A zlib stream (RFC 1950), read in pieces; EOFError where it breaks off."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(_CHUNK)
            found = self._inflate.decompress(packed, size)
            if found:
                return found
            if not packed:
                raise EOFError("it ends too early")
        return b""


class _Bzip2:
    """A bzip2 stream whose damage is a `zlib.error`, as that of the others is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (OSError, ValueError) as error:
            raise zlib.error("damaged bzip2 stream") from error
