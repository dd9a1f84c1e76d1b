"""The REST side: TensorFlow Serving's paths over HTTP/1.1."""

import gzip
import logging
import re
import socketserver
import threading
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

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

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_API = re.compile("/v1/.*", re.IGNORECASE)
_PREDICT = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_ABOUT = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?", re.IGNORECASE
)
_MAX_VERSION = 2**63 - 1
_IDLE_SECONDS = 300
_POLL_SECONDS = 0.05

_log = logging.getLogger("vcam_serving")


class RestServer:
    """Answers from the moment of `start`; the port is bound, and closed, before."""

    def __init__(self, models: Models, host: str, port: int) -> None:
        """Binds the address.

        Raises:
            OSError: the address is taken or not of this machine.
        """
        handler = type("Handler", (_Handler,), {"models": models})
        self._server = _Server((host, port), handler, bind_and_activate=False)
        self._thread: threading.Thread | None = None
        try:
            self._server.server_bind()
        except OSError:
            self._server.server_close()
            raise

    @property
    def port(self) -> int:
        """The port, also when 0 was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listens and answers, in a thread."""
        self._server.server_activate()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="vcam-rest", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # HTTPServer would look up the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        _log.debug("REST call from %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    models: Models
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = -1  # header and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        _log.debug("REST %s", format % args)

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        code: int = HTTPStatus.OK
        try:
            body = self._body()
            if not _API.fullmatch(path):
                code, reply = HTTPStatus.NOT_FOUND, _json_reply.error(f"Not found: {path}")
            else:
                reply = self._reply(path, body)
        except StatusError as error:
            code, reply = HTTP_STATUS[error.code], _json_reply.error(error.message)
        except Exception as error:
            _log.exception("REST %s %s failed", self.command, path)
            code = HTTPStatus.INTERNAL_SERVER_ERROR
            reply = _json_reply.error(f"{type(error).__name__}: {error}")
            self.close_connection = True
        self.send_response(code, "Client Closed Request" if code not in set(HTTPStatus) else None)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            try:
                return gzip.decompress(body)
            except (OSError, EOFError, zlib.error) as error:
                raise invalid_argument(f"The body is not gzip: {error}") from error
        return body

    def _chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _reply(self, path: str, body: bytes) -> bytes:
        if self.command == "POST" and (match := _PREDICT.fullmatch(path)):
            spec = _spec(match)
            method = match["method"].lower()
            if method != "predict":
                raise StatusError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"The embedded server has no {method}. Call :predict.",
                )
            return self._predict(spec, body)
        if self.command == "GET" and (match := _ABOUT.fullmatch(path)):
            if not match["name"]:
                raise invalid_argument("Missing model name in request.")
            spec = _spec(match)
            if match["metadata"]:
                wanted = get_model_metadata_pb2.GetModelMetadataRequest(
                    model_spec=spec, metadata_field=["signature_def"]
                )
                return _json_reply.metadata(_answers.metadata(self.models, wanted))
            request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            return _json_reply.message(_answers.status(self.models, request))
        raise invalid_argument(f"Malformed request: {self.command} {path}")

    def _predict(self, spec: ModelSpec, body: bytes) -> bytes:
        def inputs_of(signature: str) -> Inputs:
            name = signature or DEFAULT_SIGNATURE
            with self.models.use(spec) as (_, servable):
                if name not in servable.signatures:
                    raise invalid_argument(
                        f'Serving signature name: "{name}" not found in signature def'
                    )
                return dict(servable.signatures[name].inputs)

        request = predict_pb2.PredictRequest(model_spec=spec)
        form = read_request(body, request, inputs_of)
        _, outputs = _answers.run(self.models, request)
        return _json_reply.predictions(outputs, form)


def _spec(match: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        if int(match["version"]) > _MAX_VERSION:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = unquote(match["label"])
    return spec
