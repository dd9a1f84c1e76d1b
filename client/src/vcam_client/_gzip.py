"""A span of bytes of a file that may be gzipped, verified to the file's end.

libdeflate (through imagecodecs) decodes a stream of one member in one go and checks
its CRC-32 and its length; it says nothing of what follows that member and never
reads a second one. Whatever is not exactly one sound member of the expected length
goes through the standard library, a chunk at a time, which finds out what is wrong.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from vcam_client._limits import DEFLATE_EXPANSION, check_bytes
from vcam_client.errors import CorruptFileError

_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
MAX_TRAILING_BYTES = 1 << 20
"""Bytes that may follow the voxels: padding, or a footer."""
_LENGTH_BYTES = 4
_LENGTH_MODULUS = 2**32
"""A gzip member ends with its length modulo 2³² (RFC 1952)."""


def head_of(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, fewer where it is shorter; decompressed.

    Raises:
        CorruptFileError: a gzip stream that breaks off or is damaged within them.
    """
    with _open(path) as stream:
        return _read(stream, size, path)


def span_of(path: Path, start: int, size: int, end: int) -> NDArray[np.uint8]:
    """uint8 [size]: the decompressed bytes of a file from `start` on.

    Nothing is allocated before sizes are plausible; only `size` bytes are held, or
    `end` where that is all but the same, and the compressed file.

    Args:
        path: the file; gzipped or not, whatever its name says.
        start, size: which bytes.
        end: how many bytes its header says that the file holds.

    Raises:
        CorruptFileError: it breaks off, holds more than stated, or a checksum is wrong.
        InputError: it states more bytes than the limit.
    """
    check_bytes(end, path.name)
    stored = path.stat().st_size
    if not _is_gzip(path):
        return _plain(path, start, size, end, stored)
    if end > stored * DEFLATE_EXPANSION:
        raise CorruptFileError(
            f"{path.name} breaks off: its header states {end} bytes, more than the "
            f"{stored} bytes of a gzip file can hold. Copy or download the file again."
        )
    whole = _in_one_go(path, end) if start + size == end and start <= _CHUNK else None
    return whole[start:] if whole is not None else _streamed(path, start, size, end)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def _plain(path: Path, start: int, size: int, end: int, stored: int) -> NDArray[np.uint8]:
    if stored < end:
        raise breaks_off(path, end - start, max(0, stored - start))
    if stored > end + MAX_TRAILING_BYTES:
        raise holds_more(path)
    buffer = np.empty(size, np.uint8)
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        fill(stream, buffer, path)
    return buffer


def _in_one_go(path: Path, end: int) -> NDArray[np.uint8] | None:
    """All bytes of a file of one sound gzip member of `end` bytes; None for any other."""
    import imagecodecs

    if end >= _LENGTH_MODULUS:
        return None
    # NumPy's large arrays come in huge pages, which bytes do not: less to page in
    packed = np.empty(path.stat().st_size, np.uint8)
    with path.open("rb", buffering=0) as stream:
        if fill(stream, packed, path) < packed.size:
            return None
    if int.from_bytes(packed[-_LENGTH_BYTES:].tobytes(), "little") != end:
        return None
    buffer = np.empty(end, np.uint8)
    try:
        decoded = imagecodecs.gzip_decode(cast(bytes, packed.data), out=buffer.data)
    except (imagecodecs.DeflateError, ValueError):
        return None  # the careful way says what is wrong
    return buffer if len(decoded) == end else None


def _streamed(path: Path, start: int, size: int, end: int) -> NDArray[np.uint8]:
    buffer = np.empty(size, np.uint8)
    with _open(path) as stream:
        skipped = skip(stream, start, path)
        if skipped < start:
            raise breaks_off(path, end - start, 0)
        found = fill(stream, buffer, path)
        found += skip(stream, end - start - size, path)
        if found < end - start:
            raise breaks_off(path, end - start, found)
        if skip(stream, MAX_TRAILING_BYTES + 1, path) > MAX_TRAILING_BYTES:
            raise holds_more(path)
    return buffer


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        magic = stream.read(len(_MAGIC))
        stream.seek(0)
        if magic == _MAGIC:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            yield stream


def _read(stream: Any, size: int, path: Path) -> bytes:
    try:
        return bytes(stream.read(size))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = "gzip" if isinstance(stream, gzip.GzipFile) else "compressed"
        raise CorruptFileError(
            f"{path.name} is damaged: its {kind} stream breaks off or its checksum is wrong "
            f"({error}). Copy or download the file again."
        ) from error


def fill(stream: Any, buffer: NDArray[np.uint8], path: Path) -> int:
    """Fills `buffer` as far as the stream goes; returns how far."""
    at = 0
    while at < len(buffer):
        chunk = _read(stream, min(_CHUNK, len(buffer) - at), path)
        if not chunk:
            break
        buffer[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at += len(chunk)
    return at


def skip(stream: Any, size: int, path: Path) -> int:
    """Reads over `size` bytes as far as the stream goes; returns how far."""
    left = size
    while left > 0 and (chunk := _read(stream, min(_CHUNK, left), path)):
        left -= len(chunk)
    return size - left


def breaks_off(path: Path, stated: int, found: int) -> CorruptFileError:
    """The error for a file with fewer bytes of voxels than its header states."""
    return CorruptFileError(
        f"{path.name} breaks off: its header states {stated} bytes of voxels, the file holds "
        f"{found}. Copy or download the file again."
    )


def holds_more(path: Path) -> CorruptFileError:
    """The error for a file with more bytes than its header states."""
    return CorruptFileError(
        f"{path.name} holds more data than its header states. Convert the original scan again."
    )
