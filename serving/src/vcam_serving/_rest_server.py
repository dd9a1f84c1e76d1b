"""The HTTP server of the REST side: waitress, with JSON refusals and limits.

Waitress parses strictly (lengths, chunks, header lines), answers by a fixed number of
threads, and holds slow or idle connections without a thread. What is answered is in
`_rest.py`.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import Adjustments, TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import BadRequest

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_BODY_BYTES = 256 * 2**20
"""A volume of 128×128×64 voxels is 6 MB of JSON; TensorFlow Serving has no limit."""

MAX_HEADER_BYTES = 64 * 2**10
"""Request line and headers."""

MAX_CONNECTIONS = 500
"""Open at once; more wait until one closes."""

REQUEST_SECONDS = 120
"""For a request to arrive as a whole, and for a connection to stay open without one."""

_CLEANUP_SECONDS = 5
_RECEIVED_BYTES = 2**18
_IN_MEMORY_BYTES = 16 * 2**20  # of one body or answer; the rest is in a temporary file
_LOOP_SECONDS = 1
_TLS = b"\x16\x03"  # how a TLS handshake begins
_STOP_SECONDS = 0.1

_TEXTS = {
    413: f"The request is too large: a body may have {MAX_BODY_BYTES >> 20} MiB. "
    "Send fewer volumes at once, or use gRPC.",
    431: f"The request line and headers are too large: they may have {MAX_HEADER_BYTES >> 10} KiB.",
    500: "The server failed on this request; its log says why.",
}


class RestServer:
    """Answers from the moment of `start`; its ports are bound, and closed, before."""

    def __init__(
        self,
        application: Application,
        sockets: Sequence[socket.socket],
        *,
        threads: int,
        request_seconds: int = REQUEST_SECONDS,
    ) -> None:
        """Takes over bound sockets that don't listen yet.

        Args:
            application: a WSGI application.
            sockets: one for each address.
            threads: requests at once; more wait.
            request_seconds: for a request to arrive, and for a connection without one.
        """
        self._application = application
        self._sockets = list(sockets)
        self._threads = threads
        self._request_seconds = request_seconds
        self._map: dict[int, Any] = {}
        self._servers: list[TcpWSGIServer] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port, the same on each address."""
        return int(self._sockets[0].getsockname()[1])

    def start(self) -> None:
        """Listens and answers, in threads."""
        # Refusals of clients' mistakes are answers, and a queue is no news.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(self._threads)
        settings = Adjustments(
            sockets=self._sockets,
            threads=self._threads,
            ident=None,
            recv_bytes=_RECEIVED_BYTES,
            inbuf_overflow=_IN_MEMORY_BYTES,
            outbuf_overflow=_IN_MEMORY_BYTES,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=self._request_seconds,
            cleanup_interval=min(_CLEANUP_SECONDS, self._request_seconds),
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,
            asyncore_use_poll=True,  # select stops at 1024 file descriptors
        )
        self._servers = [
            _Server(
                self._application,
                map=self._map,
                _sock=bound,
                dispatcher=dispatcher,
                adj=settings,
                sockinfo=(bound.family, bound.type, bound.proto, bound.getsockname()),
                bind_socket=False,
            )
            for bound in self._sockets
        ]
        self._thread = threading.Thread(
            target=self._run, args=(dispatcher,), name="vcam-rest", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Closes the ports and all connections; a graph that runs is not waited for."""
        if self._thread is not None:
            # set within the loop, which wakes for it
            self._servers[0].trigger.pull_trigger(self._stopping.set)
            self._thread.join()
            self._thread = None
        for bound in self._sockets:
            bound.close()

    def _run(self, dispatcher: ThreadedTaskDispatcher) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(_LOOP_SECONDS, use_poll=True, map=self._map, count=1)
        wasyncore.close_all(self._map)
        dispatcher.shutdown(timeout=_STOP_SECONDS)


class _Parser(HTTPRequestParser):
    """Refuses what proxies in front of a server understand in two ways."""

    # Of a request whose first line could not be read.
    command = ""
    path = ""

    def received(self, data: bytes) -> int:
        if self.body_rcv is None and not self.header_plus and data.startswith(_TLS):
            # it would wait for the end of a line
            self.error = BadRequest("this port speaks HTTP, not HTTPS: begin with http://")
            self.completed = True
            return len(data)
        consumed: int = super().received(data)
        if self.completed:  # "go on" would come after the whole request, or after its refusal
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a length of 5,000 digits, a URL such as http://[
            raise ParsingError("The request line or a length in the headers is invalid") from error
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if not self.chunked and "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")


class _Refusal(ErrorTask):
    """{"error": "…"} for what is not HTTP, as for everything else."""

    def execute(self) -> None:
        error = self.request.error
        self.status = f"{error.code} {error.reason}"
        text = _TEXTS.get(error.code) or f"Malformed request: {error.body}"
        body = (json.dumps({"error": text}, indent=1) + "\n").encode()
        self.response_headers.append(("Content-Type", "application/json"))
        self.request.headers.pop("CONNECTION", None)  # no "Keep-Alive" beside "close"
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(b"" if self.request.command == "HEAD" else body)


class _Channel(HTTPChannel):
    parser_class = _Parser
    error_task_class = _Refusal

    _discards = False
    _discarded = 0

    def handle_read(self) -> None:
        if self._discards:
            self._discarded += len(self.recv(_RECEIVED_BYTES))  # closes at the end
            if self._discarded > MAX_BODY_BYTES:
                super().handle_close()
            return
        # A request that comes byte by byte has no more time than one that stays away.
        began = self.last_activity if self.request is not None else None
        super().handle_read()
        if began is not None and self.request is not None:
            self.last_activity = began

    def readable(self) -> bool:
        return self._discards or bool(super().readable())

    def handle_close(self) -> None:
        if self._discards or not self.connected:
            super().handle_close()
            return
        # Closing with unread bytes would reset the connection, and the answer with it: what
        # still comes is thrown away, until the client closes or its time is over.
        self.will_close = False
        self._discards = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client has closed already
            super().handle_close()


class _Server(TcpWSGIServer):
    channel_class = _Channel
