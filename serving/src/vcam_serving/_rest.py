"""The REST side: TensorFlow Serving's paths, as a WSGI application."""

import contextlib
import logging
import re
import threading
import zlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

from vcam_serving import _answers, _json_reply
from vcam_serving._json_request import Inputs, read_request
from vcam_serving._models import Models
from vcam_serving._status import HTTP_STATUS, StatusError, invalid_argument
from vcam_serving.session import DEFAULT_SIGNATURE

MAX_UNPACKED_BYTES = 100 * 2**20
"""Of a gzipped body, as in TensorFlow Serving (kMaxUncompressedBytes)."""

_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_API = re.compile("/v1/.*", re.IGNORECASE)
_PREDICT = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_ABOUT = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?", re.IGNORECASE
)
_ORIGIN = re.compile("https?://[^/]*", re.IGNORECASE)
_WEB_PAGE = re.compile("https?://")
# Others get 501; the ones of these that mean nothing here, 400.
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_LARGE_BYTES = 16 * 2**20
_MAX_VERSION = 2**63 - 1
_MAX_VERSION_DIGITS = 19
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)

_log = logging.getLogger("vcam_serving")


class RestApplication:
    """Answers status, metadata and predict; refusals are {"error": "…"}."""

    def __init__(self, models: Models, *, cors: bool) -> None:
        """Answers for these models.

        Args:
            models: what is served.
            cors: let the pages of any web site read the answers.
        """
        self._models = models
        self._cors = cors
        self._large = threading.Lock()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = _ORIGIN.sub("", environ["REQUEST_URI"], count=1)
        code, reply = self._answer(method, path, environ)
        phrase = code.phrase if isinstance(code, HTTPStatus) else "Client Closed Request"
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(reply)))]
        if self._cors and _API.fullmatch(path):
            headers += _CORS
        start_response(f"{int(code)} {phrase}", headers)
        return [b"" if method == "HEAD" else reply]

    def _answer(self, method: str, path: str, environ: dict[str, Any]) -> tuple[int, bytes]:
        try:
            if method not in _METHODS:
                text = f"The embedded server has no {_shown(method)}."
                return HTTPStatus.NOT_IMPLEMENTED, _json_reply.error(text)
            if not _API.fullmatch(path):
                return HTTPStatus.NOT_FOUND, _json_reply.error(f"Not found: {_shown(path)}")
            if method == "OPTIONS":
                return HTTPStatus.OK, _preflight(environ.get("HTTP_ORIGIN", ""))
            return HTTPStatus.OK, self._reply(method, path, environ)
        except StatusError as error:
            return HTTP_STATUS[error.code], _json_reply.error(error.message)
        except MemoryError:
            text = "OOM when allocating memory for this request. Send fewer volumes at once."
            return HTTPStatus.TOO_MANY_REQUESTS, _json_reply.error(text)
        except Exception:
            _log.exception("REST %s %s failed", method, _shown(path))
            text = "The server failed on this request; its log says why."
            return HTTPStatus.INTERNAL_SERVER_ERROR, _json_reply.error(text)

    def _reply(self, method: str, path: str, environ: dict[str, Any]) -> bytes:
        if method == "POST" and (match := _PREDICT.fullmatch(path)):
            spec = _spec(match)
            wanted = match["method"].lower()
            if wanted != "predict":
                raise StatusError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"The embedded server has no {wanted}. Call :predict.",
                )
            body = _body(environ)
            # values of JSON take some ten times the memory of its text
            with self._large if len(body) > _LARGE_BYTES else contextlib.nullcontext():
                return self._predict(spec, body)
        if method == "GET" and (match := _ABOUT.fullmatch(path)):
            if not match["name"]:
                raise invalid_argument("Missing model name in request.")
            spec = _spec(match)
            if match["metadata"]:
                about = get_model_metadata_pb2.GetModelMetadataRequest(
                    model_spec=spec, metadata_field=["signature_def"]
                )
                return _json_reply.metadata(_answers.metadata(self._models, about))
            request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            return _json_reply.message(_answers.status(self._models, request))
        raise invalid_argument(f"Malformed request: {method} {_shown(path)}")

    def _predict(self, spec: ModelSpec, body: bytes) -> bytes:
        def inputs_of(signature: str) -> Inputs:
            name = signature or DEFAULT_SIGNATURE
            with self._models.use(spec) as (_, servable):
                if name not in servable.signatures:
                    raise invalid_argument(
                        f'Serving signature name: "{name}" not found in signature def'
                    )
                return dict(servable.signatures[name].inputs)

        request = predict_pb2.PredictRequest(model_spec=spec)
        form = read_request(body, request, inputs_of)
        _, outputs = _answers.run(self._models, request)
        return _json_reply.predictions(outputs, form)


def _preflight(origin: str) -> bytes:
    """The empty answer to a browser that wants to know whether a page may call.

    Without CORS headers it means no.
    """
    if not _WEB_PAGE.search(origin):
        raise StatusError(
            grpc.StatusCode.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"
        )
    return b""


def _body(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read()
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise invalid_argument(
            f"Expected a body that is plain or Content-Encoding gzip, received {_shown(encoding)}."
        )
    return _unpacked(body)


def _unpacked(packed: bytes) -> bytes:
    """A gzipped body; one member after the other, and never more than the limit."""
    parts: list[bytes] = []
    left = MAX_UNPACKED_BYTES
    while packed:
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            # one byte more than is allowed shows that there is more
            parts.append(unpacker.decompress(packed, left + 1))
        except zlib.error as error:
            raise invalid_argument("The body is not gzip, as its Content-Encoding says.") from error
        left -= len(parts[-1])
        if left < 0:
            raise invalid_argument(
                f"The body is too large: unpacked, it may have {MAX_UNPACKED_BYTES >> 20} MiB."
            )
        if not unpacker.eof:
            raise invalid_argument("The gzipped body ends too early.")
        packed = unpacker.unused_data
    return b"".join(parts)


def _spec(match: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=_decoded(match["name"]))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > _MAX_VERSION_DIGITS or int(digits) > _MAX_VERSION:
            raise invalid_argument(
                f"Failed to convert version: {_shown(match['version'])} to numeric."
            )
        spec.version.value = int(digits)
    if match["label"]:
        spec.version_label = _decoded(match["label"])
    return spec


def _decoded(part: str) -> str:
    """A part of the path; WSGI hands over bytes as Latin-1."""
    return unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "replace")


def _shown(text: str) -> str:
    """For a message: what came as UTF-8, and not more than a line of it."""
    readable = text.encode("latin-1", "replace").decode("utf-8", "replace")
    return readable if len(readable) <= 200 else readable[:200] + "…"
