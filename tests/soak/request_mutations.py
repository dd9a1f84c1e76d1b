"""Damages HTTP requests the way broken clients, proxies and attackers do."""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

_METHODS = (
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PRI", "get",
    "", "G E T", "\0", "\u00e9", "A" * 9000,
)  # fmt: skip
_VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.10",
    "http/1.1",
    "",
    "HTTP/",
    "X",
)
_PATHS = (
    "", "/", "*", "//", "/v1", "/v1/", "/v1/models", "/v1/models/", "/v1/models/:predict",
    "/V1/MODELS/default",
    "/v1/models/default/versions/1", "/v1/models/default/versions/99",
    "/v1/models/default/versions/-1",
    "/v1/models/default/versions/" + "9" * 25, "/v1/models/default/versions/" + "1" * 5000,
    "/v1/models/default/labels/x", "/v1/models/default/labels/x:predict",
    "/v1/models/default/metadata/x",
    "/v1/models/default:classify", "/v1/models/default:regress", "/v1/models/default:nope",
    "/v1/models/%64efault:predict", "/v1/models/%", "/v1/models/%zz", "/v1/models/%00",
    "/v1/models/%ff%fe",
    "/v1/models/..%2f..%2fetc", "/../../etc/passwd", "/v1/models/\u00e9",
    "/v1/models/default?x=1#y",
    "http://[::1/v1/models/default", "http://x/v1/models/default",
    "http://x:99999/v1/models/default",
    "/v1/models/default:predict ", "/v1/models/a b", "/v1/models/\x7f", "/" + "a" * 70_000,
    "/monitoring/prometheus/metrics",
)  # fmt: skip
_LENGTHS = (
    "-1", "abc", "", "0", "1", "00", "+5", "5.0", "1e3", "0x10", " 7", "5, 5", "5 5", "\u0665",
    "4294967296", "18446744073709551616", "99999999999999999999", "9" * 5000, "268435457",
)  # fmt: skip
_HEADERS = (
    "X: " + "a" * 1000, "X: " + "a" * 70_000, "no colon", ": no name", "X : space", " X: folded",
    "X:\0", "X: a\rb", "X: \u00e9", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\x0bchunked",
    "Transfer_Encoding: chunked",
    "Expect: 100-continue", "Expect: nothing", "Content-Encoding: gzip",
    "Content-Encoding: deflate",
    "Content-Encoding: gzip, gzip", "Content-Encoding: br", "Content-Type: text/plain", "Host: ",
    "Origin: https://elsewhere.example", "Origin: null", "Connection: keep-alive",
    "Connection: upgrade",
    "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Range: bytes=0-1", "Accept-Encoding: gzip",
    "X-Forwarded-For: 1.2.3.4", "Content-Length: 5",
)  # fmt: skip
_TEXTS = (
    b"", b"{", b"}", b"null", b"[]", b"{}", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"\0",
    b"{}{}", b"nul",
    b'{"inputs": ' + b"[" * 100_000, b'{"inputs": ' + b'{"a":' * 100_000,
    b'{"a": ' + b"9" * 6000 + b"}",
    b'{"signature_name": "spec", "inputs": {"key": ["\\ud800"]}}', b'{"\\udfff": 1}',
    b'{"inputs": "\xff"}',
    b'{"signature_name": "\xc3", "inputs": [1]}', b'{"inputs": NaN}', b'{"inputs": [1e999]}',
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 10**400, -(2**63), 2**64, float("nan"), float("inf"),
    1e308, "", "a",
    "\0", "\U0001f600", "\ud800", [], [[]], {}, [None], [[1], [1, 2]], {"b64": "AAAA"},
    {"b64": "?"},
    {"b64": 1}, {"b64": "", "x": 1}, "x" * 10_000, [0] * 5000,
)  # fmt: skip
_KEYS = ("inputs", "instances", "signature_name", "volume", "key", "class_index", "b64", "", "\0")
_SIGNATURES = (
    "serving_default", "gradcam", "gradcam_all", "scores", "spec", "layercam", "nope", "",
    "__saved_model_init_op",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request in parts.

    Attributes:
        method, path, version: its first line.
        headers: lines, without those of the length.
        length: the text of Content-Length; None for none.
        body: as it is sent.
        document: what the body is the JSON of, if it is.
        end: of lines.
    """

    method: str
    path: str
    version: str = "HTTP/1.1"
    headers: tuple[str, ...] = ("Host: x",)
    length: str | None = None
    body: bytes = b""
    document: Any = None
    end: str = "\r\n"

    def sent(self) -> bytes:
        lines = [f"{self.method} {self.path} {self.version}".rstrip(), *self.headers]
        if self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        top = self.end.join([*lines, "", ""])
        return top.encode("latin-1", "replace") + self.body


def with_body(request: Request, body: bytes) -> Request:
    return replace(request, body=body, length=str(len(body)))


def seeds(shape: tuple[int, ...]) -> list[Request]:
    """Sound requests to the model `default`, whose volumes have this shape [D, H, W]."""
    volume: Any = 7
    for size in (1, *reversed(shape), 1):
        volume = [volume] * size
    documents = (
        {"signature_name": "spec", "inputs": {"key": ["model_spec"]}},
        {"signature_name": "spec", "instances": [{"key": "model_spec"}]},
        {"inputs": {"volume": volume}},
        {"instances": volume},
        {"signature_name": "gradcam", "inputs": {"volume": volume, "class_index": [0]}},
        {"signature_name": "scores", "instances": [{"volume": volume[0]}]},
    )
    predict = "/v1/models/default:predict"
    return [
        Request(method="GET", path="/v1/models/default"),
        Request(method="GET", path="/v1/models/default/metadata"),
        Request(method="GET", path="/v1/models/default/versions/1"),
        *(
            with_body(
                Request(method="POST", path=predict, document=document),
                json.dumps(document).encode(),
            )
            for document in documents
        ),
    ]


def mutated(kinds: list[Request], rng: random.Random) -> bytes:
    """What a damaged client sends on one connection."""
    request = rng.choice(kinds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        request = rng.choice(_WAYS)(request, rng)
    sent = request.sent()
    for way in (_pipelined, _flipped, _cut):
        if rng.random() < 0.15:
            sent = way(sent, kinds, rng)
    return sent


def _method(request: Request, rng: random.Random) -> Request:
    return replace(request, method=rng.choice(_METHODS))


def _path(request: Request, rng: random.Random) -> Request:
    if rng.random() < 0.7:
        return replace(request, path=rng.choice(_PATHS))
    at = rng.randrange(len(request.path) + 1)
    piece = rng.choice(("%", "%2F", ":", "/", "?", "#", "\0", "..", ";", "\\", "1"))
    return replace(request, path=request.path[:at] + piece + request.path[at:])


def _version(request: Request, rng: random.Random) -> Request:
    return replace(request, version=rng.choice(_VERSIONS))


def _header(request: Request, rng: random.Random) -> Request:
    lines = list(request.headers)
    way = rng.randrange(4)
    if way == 0 and lines:
        del lines[rng.randrange(len(lines))]
    elif way == 1:
        lines += [rng.choice(_HEADERS)] * rng.choice((1, 2, 3000))
    else:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(_HEADERS))
    return replace(request, headers=tuple(lines))


def _length(request: Request, rng: random.Random) -> Request:
    if rng.random() < 0.4:
        near = len(request.body) + rng.choice((-2, -1, 1, 2, 1000))
        return replace(request, length=rng.choice((str(near), None)))
    return replace(request, length=rng.choice(_LENGTHS))


def _end(request: Request, rng: random.Random) -> Request:
    return replace(request, end=rng.choice(("\n", "\r", "\n\r", "\r\n ")))


def _text(request: Request, rng: random.Random) -> Request:
    return with_body(replace(request, method="POST"), rng.choice(_TEXTS))


def _json(request: Request, rng: random.Random) -> Request:
    if request.document is None:
        return request
    document = json.loads(json.dumps(request.document))
    _change(document, rng)
    body = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    return replace(with_body(request, body.encode("utf-8", "surrogatepass")), document=document)


def _change(document: Any, rng: random.Random) -> None:
    """Changes one thing in it, anywhere."""
    at = document
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys) if keys else None
        if key is None or not isinstance(at[key], dict | list) or rng.random() < 0.3:
            break
        at = at[key]
    if isinstance(at, dict):
        way = rng.randrange(4)
        if way == 0 and key is not None:
            del at[key]
        elif way == 1:
            at[rng.choice(_KEYS)] = rng.choice(_VALUES)
        elif way == 2:
            at["signature_name"] = rng.choice(_SIGNATURES)
        elif key is not None:
            at[key] = rng.choice(_VALUES)
    elif key is None or rng.random() < 0.3:
        at.append(rng.choice(_VALUES))
    elif rng.random() < 0.3:
        del at[key]
    else:
        at[key] = rng.choice(_VALUES)


def _gzip(request: Request, rng: random.Random) -> Request:
    packed = rng.choice(
        (
            gzip.compress(request.body),
            gzip.compress(request.body)[: -rng.randrange(1, 20)],
            gzip.compress(request.body) * rng.choice((1, 2, 50)),
            gzip.compress(gzip.compress(request.body)),
            zlib.compress(request.body),
            request.body,
            bomb(),
        )
    )
    packed = _with_flips(packed, rng) if rng.random() < 0.3 else packed
    coded = replace(request, headers=(*request.headers, "Content-Encoding: gzip"))
    return with_body(coded, packed)


def _chunked(request: Request, rng: random.Random) -> Request:
    body, at = b"", 0
    while at < len(request.body):
        size = rng.choice((1, 10, 1000, 10**6))
        part = request.body[at : at + size]
        at += size
        body += b"%x%s\r\n%s\r\n" % (
            len(part) + rng.choice((0,) * 20 + (-1, 1)),
            rng.choice((b"",) * 9 + (b";x=y",)),
            part,
        )
    body += rng.choice((b"0\r\n\r\n",) * 8 + (b"0\r\nX: y\r\n\r\n", b"", b"-1\r\n", b"zz\r\n"))
    body += rng.choice((b"",) * 9 + (b"f" * 40 + b"\r\n",))
    headers = (*request.headers, "Transfer-Encoding: chunked")
    return replace(request, headers=headers, body=body, length=rng.choice((None,) * 9 + ("5",)))


_WAYS: tuple[Callable[[Request, random.Random], Request], ...] = (
    _method, _path, _path, _version, _header, _header, _length, _end, _text, _json, _json, _json,
    _gzip, _chunked,
)  # fmt: skip


def _pipelined(sent: bytes, kinds: list[Request], rng: random.Random) -> bytes:
    others = [rng.choice(kinds).sent() for _ in range(rng.choice((1, 2, 20)))]
    others.insert(rng.randrange(len(others) + 1), sent)
    return b"".join(others)


def _flipped(sent: bytes, _kinds: list[Request], rng: random.Random) -> bytes:
    return _with_flips(sent, rng)


def _with_flips(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8)) if changed else 0):
        changed[rng.randrange(min(len(changed), 400))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(sent: bytes, _kinds: list[Request], rng: random.Random) -> bytes:
    return sent[: rng.randrange(len(sent) + 1)]


@cache
def bomb() -> bytes:
    """400 kB that unpack to 400 MB."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(b" " * 2**20) for _ in range(400)]
    return b"".join([*parts, packer.flush()])
