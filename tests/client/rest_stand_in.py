"""A stand-in for TensorFlow Serving's REST, with or without TLS."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client.stand_in import SPEC, answer

Reply = tuple[int, dict[str, str], bytes]


def every_class() -> dict[str, Any]:
    """Outputs of `SPEC`'s gradcam_all, with the lesion's map as `answer` has it."""
    cam = answer()["cam"]
    return {"scores": [[0.25, 0.75]], "cam": [[(-cam[0]).tolist(), cam[0].tolist()]]}


def zeros(value: Any) -> Any:
    """The same lists, of zeros."""
    return [zeros(part) for part in value] if isinstance(value, list) else 0.0


def signatures(*names: str, shape: Sequence[int] = (-1, 4, 6, 8, 1)) -> dict[str, Any]:
    """Metadata as TensorFlow Serving has it, of signatures with a volume of int16."""
    dims = [{"size": str(size), "name": ""} for size in shape]
    tensor = {"dtype": "DT_INT16", "tensor_shape": {"dim": dims, "unknown_rank": False}}
    found = {name: {"inputs": {"volume": tensor}, "outputs": {}} for name in names}
    return {"metadata": {"signature_def": {"signature_def": found}}}


@dataclass
class RestStandIn:
    """What the server answers, and what it was asked.

    Attributes:
        outputs: of every call but that for the spec.
        version: the one version there is.
        reply: where it is set, (status, headers, body) of every POST but that for the spec.
        token: the bearer token without which it answers 401, or None.
        asked: (verb, path) of every request, in order.
        headers: of the last request.
        address: "http://127.0.0.1:PORT" or "https://127.0.0.1:PORT".
        connections: how many were opened.
        spec_json: what the signature `spec` answers.
        metadata: what /metadata says beside the version; by default nothing.
        as_tensor_content: answer as TensorFlow Serving with that flag does beside REST: zeros
            for numbers; a call for text ends it.
        ended: whether it ended.
    """

    outputs: Callable[[], Any] = every_class
    version: int = 1
    reply: Reply | None = None
    token: str | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    address: str = ""
    connections: int = 0
    spec_json: str = SPEC.to_json()
    metadata: dict[str, Any] = field(default_factory=dict)
    as_tensor_content: bool = False
    ended: bool = False

    def answer(self, verb: str, path: str, body: bytes) -> Reply:
        if self.ended:
            raise ConnectionAbortedError
        plain = {"Content-Type": "application/json"}
        if self.token and self.headers.get("authorization") != f"Bearer {self.token}":
            return 401, plain, b'{"error": "no valid token"}'
        if verb == "GET" and path.endswith("/metadata"):
            said = {"model_spec": {"version": str(self.version)}, **self.metadata}
            return 200, plain, json.dumps(said).encode()
        if verb == "GET":
            status = {"version": str(self.version), "state": "AVAILABLE", "status": {}}
            return 200, plain, json.dumps({"model_version_status": [status]}).encode()
        if f"/versions/{self.version}:" not in path:
            return 404, plain, b'{"error": "Servable not found for request"}'
        signature = json.loads(body)["signature_name"]
        if self.as_tensor_content and signature == "spec":
            self.ended = True
            raise ConnectionAbortedError
        if self.as_tensor_content:
            nothing = {name: zeros(value) for name, value in self.outputs().items()}
            return 200, plain, json.dumps({"outputs": nothing}).encode()
        if signature == "spec":
            return 200, plain, json.dumps({"outputs": [self.spec_json]}).encode()
        if self.reply is not None:
            return self.reply
        return 200, plain, json.dumps({"outputs": self.outputs()}).encode()


@contextmanager
def rest_stand_in(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[RestStandIn]:
    """A running stand-in server, encrypted where it has a context."""
    state = RestStandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["Content-Length"])))

        def _reply(self, body: bytes) -> None:
            state.headers = {name.lower(): value for name, value in self.headers.items()}
            state.asked.append((self.command, self.path))
            status, headers, content = state.answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is None:
                super().finish_request(request, client_address)
                return
            request.settimeout(10)
            with context.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            ) as encrypted:
                encrypted.do_handshake()  # belongs to the connection's own thread
                super().finish_request(encrypted, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    state.address = f"{scheme}://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
