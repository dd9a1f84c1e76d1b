"""The body of an HTTP answer: whole, in time, and never more than it may be."""

import zlib
from typing import Any

import requests

from vcam_client._retry import Deadline

ENCODING = "gzip"
"""What is asked for. The others that requests knows are decompressed without a limit."""

_CHUNK_BYTES = 2**18
_EITHER_ZLIB = zlib.MAX_WBITS | 32
"""Headers of gzip and of zlib alike (zlib's manual, inflateInit2)."""


class BodyError(Exception):
    """A body that can't be used; the text says what was received instead."""


def read_body(response: requests.Response, most: int, deadline: Deadline) -> tuple[bytes, int]:
    """The decompressed body, and the bytes that it took on the wire.

    Args:
        response: opened as a stream.
        most: decompressed bytes.
        deadline: until when.

    Raises:
        BodyError: larger, or compressed in another way or wrongly.
        TimeoutError: it is not whole by then.
        urllib3.exceptions.HTTPError: it breaks off.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        unpack = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(_EITHER_ZLIB)
    else:
        raise BodyError("an answer that can't be decompressed: its encoding was not asked for")
    raw: Any = response.raw
    # one look at the socket at a time: bytes that trickle in keep no deadline away
    read = getattr(raw, "read1", raw.read)
    parts: list[bytes] = []
    size = 0
    while part := read(_CHUNK_BYTES, decode_content=False):
        part = part if unpack is None else _unpacked(unpack, part, most - size)
        size += len(part)
        if size > most:
            raise BodyError(f"an answer of more than {most} bytes")
        parts.append(part)
        if not deadline.left:
            raise TimeoutError
    if unpack is not None and raw.tell() and not unpack.eof:
        raise BodyError("an answer that can't be decompressed: it breaks off")
    return b"".join(parts), raw.tell()


def _unpacked(unpack: Any, part: bytes, most: int) -> bytes:
    """What a part of a stream becomes, one byte more than `most` at most."""
    try:
        content: bytes = unpack.decompress(part, most + 1)
    except zlib.error as error:
        raise BodyError("an answer that can't be decompressed") from error
    if unpack.unused_data:
        raise BodyError("an answer that can't be decompressed: more follows its end")
    return content
