"""Gzip streams of heatmaps: what any reader makes of them."""

import gzip
import zlib

import imagecodecs
import numpy as np
import pytest

from vcam_client._deflate import gzip_bytes

BODIES = {
    "empty map": np.zeros((40, 50, 60), np.uint8),
    "one voxel": np.ones((1, 1, 1), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (30, 40, 50)).astype(np.uint8),
}

every_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


@every_body
@pytest.mark.parametrize("head", [b"", b"head" * 88, bytes(65535)])
def test_the_stream_holds_head_and_body(head: bytes, body: np.ndarray) -> None:
    stream = gzip_bytes(head, body)
    assert gzip.decompress(stream) == head + body.tobytes()
    assert imagecodecs.gzip_decode(stream) == head + body.tobytes()


@every_body
def test_it_is_one_member_with_nothing_behind(body: np.ndarray) -> None:
    one = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert one.decompress(gzip_bytes(b"head", body)) == b"head" + body.tobytes()
    assert one.eof
    assert one.unused_data == b""


@every_body
def test_the_same_map_gives_the_same_bytes(body: np.ndarray) -> None:
    assert gzip_bytes(b"head", body) == gzip_bytes(b"head", body.copy())


def test_damage_is_noticed() -> None:
    stream = bytearray(gzip_bytes(b"head", BODIES["noise"]))
    stream[10 + 5] ^= 1  # the first byte of the head
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(bytes(stream))
