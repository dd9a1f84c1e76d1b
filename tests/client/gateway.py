"""Gateways and proxies: sockets that answer HTTP/1.1 or HTTP/2 as a test wants."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS = 1, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS_INDEX = 8
"""Of ":status" in HPACK's static table (RFC 7541, appendix A)."""


@dataclass
class Listening:
    """A port, and what came in.

    Attributes:
        port: of 127.0.0.1.
        received: the first bytes of each connection.
    """

    port: int
    received: list[bytes] = field(default_factory=list)


@contextmanager
def listening(answer: Callable[[socket.socket, bytes], None]) -> Iterator[Listening]:
    """Calls `answer` with each connection and its first bytes, then closes the connection."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        state = Listening(port=server.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                first = connection.recv(2**16)
                state.received.append(first)
                answer(connection, first)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(0.2)
                    while connection.recv(2**16):  # so that what is unread resets nothing
                        pass

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            over.set()
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http1(status: str, body: bytes = b"", headers: str = "") -> bytes:
    """An answer of HTTP/1.1, such as of "502 Bad Gateway"."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(text: bytes) -> bytes:
    """A string of HPACK without Huffman's code (RFC 7541, 5.2)."""
    return bytes([len(text)]) + text


def http2(
    status: int, content_type: bytes = b"text/html"
) -> Callable[[socket.socket, bytes], None]:
    """Answers each call with a status and no gRPC, as a gateway in front of a server does."""
    header = bytes([_STATUS_INDEX]) + literal(str(status).encode())
    header += b"\0" + literal(b"content-type") + literal(content_type)
    return http2_frames(lambda stream: frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, header))


def http2_frames(reply: Callable[[int], bytes]) -> Callable[[socket.socket, bytes], None]:
    """Speaks HTTP/2 as far as needed; `reply` gives the bytes for a call's stream."""

    def answer(connection: socket.socket, buffered: bytes) -> None:
        connection.sendall(frame(_SETTINGS, 0, 0))
        while len(buffered) < len(_PREFACE):
            buffered += connection.recv(2**16)
        buffered = buffered[len(_PREFACE) :]
        while True:
            while len(buffered) < 9 or len(buffered) < 9 + int.from_bytes(buffered[:3], "big"):
                more = connection.recv(2**16)
                if not more:
                    return
                buffered += more
            size = int.from_bytes(buffered[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", buffered[3:9])
            buffered = buffered[9 + size :]
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(frame(_SETTINGS, _ACK, 0))
            elif kind == _HEADERS:
                connection.sendall(reply(stream))

    return answer
