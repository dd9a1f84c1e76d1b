"""HTTP answers as broken gateways, login pages and attackers give them: sound ones, damaged."""

import functools
import gzip
import json
import random
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from client.gateway import listening
from client.rest_stand_in import RestStandIn, signatures
from soak.mutations import mutated

CALLS = ("status", "metadata", "scores", "spec", "gradcam_all")
"""What a client asks of REST for one prediction, in order."""

_STATUSES = (
    "200 OK", "200", "204 No Content", "206 Partial Content", "100 Continue", "101 Switching",
    "103 Early Hints", "199 x", "300 x", "301 Moved", "302 Found", "304 Not Modified", "307 x",
    "308 x", "400 Bad", "401 x", "403 x", "404 x", "405 x", "407 x", "408 x", "411 x", "412 x",
    "413 x", "414 x", "421 x", "426 x", "429 x", "431 x", "451 x", "499 x", "500 x", "501 x",
    "502 x", "503 x", "504 x", "505 x", "511 x", "520 x", "524 x", "599 x", "600 x", "999 x", "0 x",
    "-1 x", "1000 x", "abc x", "", "200\tOK", "2 00 OK", "٢٠٠ OK",
)  # fmt: skip
_VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.", "HTTP", "ICY", "http/1.1")
_LENGTHS = ("-1", "abc", "0", "1", "99999999999999999999", "1e3", "5, 5", "5, 7", "", " 7 ", "0x10")
_CHUNKS = (
    b"zz\r\n",
    b"-1\r\n",
    b"ffffffffffffffff\r\n",
    b"5;x=y\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"\r\n",
)
_ENCODINGS = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, gzip",
    "identity",
    "compress",
    "\xff",
    "x" * 99,
)
_LOCATIONS = (
    "/login?next=%2f", "http://[", "http://[::1", "//", "///", "https://h:99999/v1/models/x",
    "\x00", "http://user:pw@h/v1/models/m", "javascript:alert(1)", "http://" + "a" * 5000, "http://h:port/",
    "\xff\xfe", "", "http://xn--/", "file:///etc/passwd", "http://\u2100.example/",
)  # fmt: skip
_HEADERS = (
    "Set-Cookie: a=b; Expires=never; Domain=\x01", "Set-Cookie: =", "Retry-After: soon",
    "Content-Type: text/html; charset=\xff", "Content-Type: application/json; charset=utf-7",
    "no colon at all", " folded", ": nothing", "X:" + "y" * 70_000,
    "Connection: keep-alive, close", "Server: \x1b[31mred\x07", "Server: " + "n" * 500,
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity", "Upgrade: h2c", "Date: x", "Trailer: x",
    "Keep-Alive: timeout=-1",
)  # fmt: skip
_VALUES = (
    b"null", b"true", b"1", b"-1", b"1e400", b"-0.0", b"NaN", b"Infinity", b'""', b'"x"', b"[]",
    b"{}", b"[[]]", b"[[], [1]]", b"[1, [2]]", b'{"a": 1}', b"9" * 5000, b"0." + b"1" * 500,
    b'"\\ud800"', b'"\\u0000"', b"[" * 3000, b"[" * 60 + b"]" * 60, b"[" * 40 + b"]" * 40,
    b"[" + b"0," * 3000 + b"0]", b'{"error": "x"}', b'[{"error": 1}]', b"2147483648", b"1" * 400,
)  # fmt: skip
_PAGES = (
    b"<html><title>Sign in</title></html>", b"<!DOCTYPE html>\n<html>", b"<?xml version='1.0'?>",
    b"", b" ", b"\xff\xfe<\0h\0", b'{"error": "x"}', b'{"error": {"code": 1}}', b'{"error": null}',
    b'{"message": "no route"}', b"upstream connect error", b"[]", b"0", b"\x00" * 100,
    b'{"model_version_status": []}', b'{"model_version_status": [{"version": "1e9"}]}',
    b'{"model_version_status": {"version": 1}}', b'{"outputs": []}', b'{"outputs": {"scores": []}}',
    b'{"outputs": "' + b"x" * 1000 + b'"}', b'{"model_spec": {"version": {}}}', b"{" * 50_000,
)  # fmt: skip
_RAW = (
    b"", b"\x15\x03\x01\x00\x02\x02\x46", b"SSH-2.0-OpenSSH\r\n", b"\0\0\x12\x04\0\0\0\0\0",
    b"\r\n" * 50, b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n",
    b"\xff" * 3000, b"HTTP/1.1 100 Continue\r\n\r\n" * 300,
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n{}",
)  # fmt: skip
_BOMB_BYTES = 48 * 2**20

Kind = Callable[[bytes, random.Random], bytes]


@contextmanager
def http_server(rng: random.Random) -> Iterator[str]:
    """A REST server of which one of the answers for a prediction is damaged; its address."""
    state = RestStandIn()
    state.metadata = signatures("scores", "spec", "gradcam_all", "serving_default")
    damaged, way = rng.choice(CALLS), rng.choice(_WAYS)

    def serve(connection: socket.socket, received: bytes) -> None:
        while received:
            while b"\r\n\r\n" not in received or _missing(received):
                more = connection.recv(2**16)
                if not more:
                    return
                received += more
            head, _, body = received.partition(b"\r\n\r\n")
            verb, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            sound = _sound(state, verb, path, body)
            if _name(verb, path, body) == damaged:
                for piece in _pieces(way(sound, rng), rng):
                    connection.sendall(piece)
                return
            connection.sendall(sound)
            received = connection.recv(2**16)

    with listening(serve) as server:
        yield f"http://127.0.0.1:{server.port}"


def _missing(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    return len(body) < int(length or 0)


def _name(verb: str, path: str, body: bytes) -> str:
    if verb == "GET":
        return "metadata" if path.endswith("/metadata") else "status"
    return str(json.loads(body)["signature_name"])


def _sound(state: RestStandIn, verb: str, path: str, body: bytes) -> bytes:
    status, headers, content = state.answer(verb, path, body)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} OK", f"Content-Length: {len(content)}", *lines])
    return head.encode() + b"\r\n\r\n" + content


def _pieces(content: bytes, rng: random.Random) -> list[bytes]:
    """At once, or torn into two; the stand-in hangs up afterwards."""
    at = rng.randrange(len(content)) if content and rng.random() < 0.2 else 0
    return [piece for piece in (content[:at], content[at:]) if piece]


def _divided(sound: bytes) -> tuple[bytes, bytes]:
    head, _, body = sound.partition(b"\r\n\r\n")
    return head, body


def _joined(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _answer(body: bytes, rng: random.Random, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(header.lower().startswith(("content-length", "transfer")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return _joined([line.encode("latin-1", "replace") for line in lines], body)


def _status(sound: bytes, rng: random.Random) -> bytes:
    head, body = _divided(sound)
    line = f"{rng.choice(_VERSIONS) if rng.random() < 0.3 else 'HTTP/1.1'} {rng.choice(_STATUSES)}"
    location = [f"Location: {rng.choice(_LOCATIONS)}".encode("utf-8", "replace")]
    body = rng.choice((body, rng.choice(_PAGES)))
    lines = [line.encode(), *location[: rng.randrange(2)], f"Content-Length: {len(body)}".encode()]
    return _joined([*lines, *head.split(b"\r\n")[2:]], body)


def _length(sound: bytes, rng: random.Random) -> bytes:
    _, body = _divided(sound)
    lengths = [f"Content-Length: {rng.choice(_LENGTHS)}" for _ in range(rng.choice((1, 1, 2)))]
    near = f"Content-Length: {max(0, len(body) + rng.choice((-9, -1, 1, 1000)))}"
    return _answer(body, rng, *rng.choice((lengths, [near])))


def _chunked(sound: bytes, rng: random.Random) -> bytes:
    _, body = _divided(sound)
    whole = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    if rng.random() < 0.5:
        at = rng.randrange(len(whole))
        whole = whole[:at] + rng.choice(_CHUNKS) + whole[at:]
    else:
        whole = mutated(whole, "bytes", rng)
    return _answer(whole, rng, "Transfer-Encoding: chunked")


def _encoding(sound: bytes, rng: random.Random) -> bytes:
    _, body = _divided(sound)
    packed = rng.choice((gzip.compress(body), zlib.compress(body), body, gzip.compress(body) * 2))
    if rng.random() < 0.5:
        packed = mutated(packed, "bytes", rng)
    return _answer(packed, rng, f"Content-Encoding: {rng.choice(_ENCODINGS)}")


def _bomb(sound: bytes, rng: random.Random) -> bytes:
    headers = ["Content-Encoding: gzip", f"Location: {rng.choice(_LOCATIONS)}"]
    status = rng.choice(("200 OK", "200 OK", "302 Found", "404 x", "500 x"))
    return _answer(bombs()[rng.randrange(len(bombs()))], rng, *headers, status=status)


@functools.cache
def bombs() -> tuple[bytes, ...]:
    """Some 50 kB each that would become 48 MB, and a few within what is read."""
    parts = (b" ", b"[", b"[],", b"{}", b'{"outputs":[', b"0,")
    large = [gzip.compress(part * (_BOMB_BYTES // len(part))) for part in parts]
    nested = gzip.compress(gzip.compress(b" " * _BOMB_BYTES))
    within = gzip.compress(b'{"outputs": [' + b"[]," * 2_000_000 + b"[]]}")
    return (*large, nested, within)


def _headers(sound: bytes, rng: random.Random) -> bytes:
    head, body = _divided(sound)
    lines = head.split(b"\r\n")
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(1, len(lines) + 1)
        lines.insert(at, rng.choice(_HEADERS).encode("latin-1", "replace"))
    return _joined(lines, body)


def _json(sound: bytes, rng: random.Random) -> bytes:
    """A value of the JSON replaced, or a page in its place."""
    _, body = _divided(sound)
    if rng.random() < 0.3:
        return _answer(rng.choice(_PAGES), rng)
    marks = [at for at, byte in enumerate(body) if byte in b'[{:,"]}']
    if not marks:
        return _answer(rng.choice(_VALUES), rng)
    first = rng.choice(marks)
    last = rng.choice([at for at in marks if at >= first][:6])
    return _answer(body[: first + 1] + rng.choice(_VALUES) + body[last:], rng)


def _body(sound: bytes, rng: random.Random) -> bytes:
    return _answer(mutated(_divided(sound)[1], "bytes", rng), rng)


def _bytes(sound: bytes, rng: random.Random) -> bytes:
    return mutated(sound, "bytes", rng)


def _raw(sound: bytes, rng: random.Random) -> bytes:
    return rng.choice((*_RAW, rng.randbytes(rng.choice((1, 10, 5000)))))


_WAYS: tuple[Kind, ...] = (
    *(_status, _status, _length, _chunked, _encoding, _headers, _headers),
    *(_json, _json, _json, _body, _bytes, _bytes, _raw, _bomb),
)
