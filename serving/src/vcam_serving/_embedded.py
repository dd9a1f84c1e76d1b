"""The embedded server: a small twin of TensorFlow Serving, inside a Python process."""

import logging
import os
import socket
import threading
from pathlib import Path
from types import TracebackType

import grpc

from vcam_client.errors import InputError, ServableError
from vcam_serving import _grpc_server, _listening
from vcam_serving._folders import check_root, models_in, versions_in
from vcam_serving._models import Models
from vcam_serving._rest import RestApplication
from vcam_serving._rest_server import RestServer

GRPC_PORT, REST_PORT = 8500, 8501
DEFAULT_HOST = "127.0.0.1"
_POLL_SECONDS = 1.0
# TensorFlow Serving's 4 threads per CPU refuse the twentieth client of a laptop.
_LEAST_THREADS = 64
_THREADS_PER_CPU = 4
# REST calls wait for a thread, none is refused: TensorFlow Serving's number will do.
_LEAST_REST_THREADS = 16
_STOP_SECONDS = 10.0

_log = logging.getLogger("vcam_serving")


class EmbeddedServer:
    """Serves a folder of versions (as `default`) or a folder of models, over gRPC and REST.

    Like TensorFlow Serving it keeps its ports closed until a model is
    available, serves the newest version of each model, loads a new one before
    it unloads the old one, and answers with the same codes and texts. For
    laptops, demos and tests: no batching, no TLS, no authentication.

        with EmbeddedServer("models", port=0, rest_port=0) as server:
            server.wait_until_available("ct")
            print(server.address)

    Attributes:
        root: the served folder.
        address: "host:port" of gRPC.
        rest_address: "host:port" of REST; "" without it.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        host: str = DEFAULT_HOST,
        port: int = GRPC_PORT,
        rest_port: int | None = REST_PORT,
        poll_wait_seconds: float = _POLL_SECONDS,
        tensor_content: bool = False,
        grpc_max_threads: int | None = None,
        cors: bool = False,
    ) -> None:
        """Describes the server; `start` or `with` starts it.

        Args:
            root: a folder of versions, or of models.
            host: IPv4 or IPv6 address, or name, to bind; only this machine reaches the default.
            port: of gRPC; 0 takes a free one.
            rest_port: of REST; 0 takes a free one, None serves gRPC alone.
            poll_wait_seconds: pause between two looks into the folder; 0 looks only once.
            tensor_content: answer with `tensor_content` instead of typed fields; without REST only.
            grpc_max_threads: calls at once, more are refused; default: 4 per CPU, at least 64.
            cors: let the pages of any web site read what REST answers.

        Raises:
            ServableError: the folder is missing or is no folder of versions or models.
            InputError: `tensor_content` beside REST.
        """
        self.root = Path(root)
        check_root(self.root)
        if tensor_content and rest_port is not None:
            raise InputError(
                "Expected --no-rest with --enable-serialization-as-tensor-content, received both "
                "REST and the flag. A TensorFlow Serving so started answers zeros over REST, and "
                "one call of `spec` ends it. Leave the flag out, or serve gRPC alone with "
                "--no-rest."
            )
        self._host = host
        self._port, self._rest_port = port, rest_port
        self._cors = cors
        self._poll_wait_seconds = poll_wait_seconds
        self._tensor_content = tensor_content
        usual_threads = _THREADS_PER_CPU * (os.cpu_count() or 1)
        self._max_threads = grpc_max_threads or max(_LEAST_THREADS, usual_threads)
        self._rest_threads = max(_LEAST_REST_THREADS, usual_threads)
        self._models = Models()
        self._bases: dict[str, Path] = {}
        self._stopping, self._opened = threading.Event(), threading.Event()
        self._poller: threading.Thread | None = None
        self._reserved: list[socket.socket] = []
        self._grpc: grpc.Server | None = None
        self._rest: RestServer | None = None
        self.address = self.rest_address = ""

    def start(self) -> None:
        """Loads what is there, opens the ports and watches the folder from then on.

        In an empty folder it returns too, with the ports still closed: they
        open once a version is available.

        Raises:
            InputError: the host is not an address of this machine.
            ServerUnavailableError: a port is taken.
            ServableError: there are versions, and none of them loads.
        """
        try:
            self._reserve()
            self._poll()
            failures = self._models.failures()
            if failures and not self._models.available():
                raise ServableError(
                    "Expected a version that can be served, each one failed to load: "
                    + "; ".join(f"{what}: {why}" for what, why in failures.items())
                    + ". Export the model again with `vcam-train export`."
                )
        except BaseException:
            self.stop()
            raise
        if self._poll_wait_seconds:
            self._poller = threading.Thread(target=self._watch, name="vcam-watch", daemon=True)
            self._poller.start()

    def stop(self) -> None:
        """Closes the ports and unloads all models; calls in flight are cancelled."""
        self._stopping.set()
        if self._poller is not None:
            self._poller.join(_STOP_SECONDS)
        if self._grpc is not None:
            self._grpc.stop(None).wait(_STOP_SECONDS)
        if self._rest is not None:
            self._rest.stop()
        for holder in self._reserved:
            holder.close()
        self._models.close()

    def available(self) -> dict[str, list[int]]:
        """{model: its available versions, newest first}."""
        return self._models.available()

    def wait_until_open(self, timeout: float) -> bool:
        """Returns whether the ports are open, at the latest after `timeout` seconds."""
        return self._opened.wait(timeout)

    def wait_until_available(
        self, model: str, version: int | None = None, timeout: float = 60.0
    ) -> None:
        """Returns once the version of the model (default: any) is served.

        Raises:
            ServableError: the version failed to load.
            DeadlineExceededError: it is not there after `timeout` seconds.
        """
        self._models.wait(model, version, timeout)

    def __enter__(self) -> "EmbeddedServer":
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _reserve(self) -> None:
        """Takes the ports without answering on them."""
        self._reserved = _listening.bound(self._host, self._port, "--port")
        self.address = _listening.shown(self._host, self._reserved[0].getsockname()[1])
        if self._rest_port is None:
            return
        sockets = _listening.bound(self._host, self._rest_port, "--rest-port")
        application = RestApplication(self._models, cors=self._cors)
        self._rest = RestServer(application, sockets, threads=self._rest_threads)
        self.rest_address = _listening.shown(self._host, self._rest.port)

    def _open(self) -> None:
        server = _grpc_server.build(
            self._models, max_threads=self._max_threads, tensor_content=self._tensor_content
        )
        _grpc_server.listen(server, map(_listening.numeric, self._reserved))
        self._grpc = server
        for holder in self._reserved:
            holder.close()
        if self._rest is not None:
            self._rest.start()
        self._opened.set()
        rest = f"REST on http://{self.rest_address}" if self.rest_address else "no REST"
        _log.info("gRPC on %s, %s", self.address, rest)

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_wait_seconds):
            try:
                self._poll()
            except Exception:
                _log.exception("The look into '%s' failed; trying again", self.root)

    def _poll(self) -> None:
        found = models_in(self.root)
        # A folder of versions stays one, and a folder of models too.
        if not self._bases or self._is_one_model(self._bases) == self._is_one_model(found):
            self._bases = {**found, **self._bases}
        for model, base in self._bases.items():
            if self._stopping.is_set():
                return
            versions = versions_in(base)
            if versions is not None:
                self._models.update(model, versions)
        if self._grpc is None and self._models.available():
            self._open()

    def _is_one_model(self, bases: dict[str, Path]) -> bool:
        return self.root in bases.values()
