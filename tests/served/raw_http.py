"""HTTP as bytes: what a library would not send, and answers read without mercy."""

import contextlib
import json
import socket
from dataclasses import dataclass

TIMEOUT_SECONDS = 30
_INTERIM = 100


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: its code.
        headers: by their names in lower case.
        body: as many bytes as Content-Length says.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The text of {"error": "…"}."""
        document = json.loads(self.body)
        assert list(document) == ["error"], document
        return document["error"]


def send(address: str, sent: bytes, *, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Sends, then ends its side of the connection, and returns everything that comes back.

    Raises:
        TimeoutError: the server neither answered nor closed.
        ConnectionResetError: it closed before it had read everything, so that its answer may
            be lost.
    """
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout) as connection:
        # Refused before the end: the answer may be here already.
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def answers(received: bytes, *, head: bool = False) -> list[Answer]:
    """The answers of a connection.

    Args:
        received: all bytes of it.
        head: whether a HEAD request was among what was sent; its answer has no body.

    Raises:
        AssertionError: it is not HTTP.
    """
    found = []
    while received:
        top, empty_line, received = received.partition(b"\r\n\r\n")
        assert empty_line, f"cut within the headers: {top!r}"
        line, *lines = top.decode("ascii").split("\r\n")
        version, code, phrase = line.split(" ", 2)
        assert version in ("HTTP/1.0", "HTTP/1.1"), line
        assert phrase, line
        headers = {}
        for text in lines:
            name, colon, value = text.partition(": ")
            assert colon, text
            assert name.lower() not in headers, text
            headers[name.lower()] = value
        if int(code) == _INTERIM:
            continue
        length = int(headers["content-length"])
        if head and (not received or received.startswith(b"HTTP/1.")):
            length = 0
        body, received = received[:length], received[length:]
        assert len(body) == length, f"cut within the body: {body[-100:]!r}"
        found.append(Answer(status=int(code), headers=headers, body=body))
    return found


def request(
    method: str, path: str, body: bytes | None = None, *headers: tuple[str, str], close: bool = True
) -> bytes:
    """A sound request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
