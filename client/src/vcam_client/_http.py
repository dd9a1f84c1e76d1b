"""HTTP calls that end when they must: at a deadline, whatever trickles in, or from another thread.

requests knows a time for each read, none for a whole call, and nothing ends a call that another
thread makes. Here each read has what is left of the call's time, and a call that is ended gets
its socket shut down. Nor are redirections looked at: requests reads whole bodies for that.
"""

import contextlib
import http.client
import io
import socket
import threading
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from vcam_client._retry import Deadline

_LEAST_S = 0.001
"""A timeout of 0 would mean a socket that never waits."""


class Ending(Deadline):
    """A moment until which a call must be answered; `end` brings it about at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.ended = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds; 0 when it is over or ended."""
        return 0.0 if self.ended else super().left

    @property
    def seconds(self) -> float:
        """What is left, for a socket: never 0."""
        return max(_LEAST_S, self.left)

    def end(self) -> None:
        """Ends the call, from any thread: what waits for the network gets an error."""
        with self._lock:
            self.ended = True
            if self._socket is not None:
                _shut(self._socket)

    def hold(self, connected: socket.socket | None) -> None:
        """Notes the socket that the call uses now; None when it uses none."""
        with self._lock:
            self._socket = connected
            if connected is not None and self.ended:
                _shut(connected)


class Session(requests.Session):
    """A session that carries one call at a time, within the time that `until` leaves.

    Attributes:
        until: of the call that is made next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.until = Ending(0.0)
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: redirections are answers like others, and not followed."""
        return None


def _shut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was faster
        # the method of plain sockets: that of ssl would take the state from the thread that reads
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Makes connections that know the session's call."""

    def __init__(self, session: Session) -> None:
        self._pools = _pools_of(session)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is urllib3.ProxyManager:  # those of SOCKS have pools of their own
            manager.pool_classes_by_scheme = self._pools
        return manager


def _pools_of(session: Session) -> dict[str, Any]:
    """Pools of connections that read and write within the time of the session's call."""

    class Timed:
        """Sets a socket's timeout before each use, and notes it."""

        sock: Any
        timeout: Any
        _answer: Any = None

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]
            self._begin()

        def request(self, *args: Any, **kwargs: Any) -> None:
            self._begin()
            super().request(*args, **kwargs)  # type: ignore[misc]

        def getresponse(self) -> Any:
            self._begin()
            try:
                return super().getresponse()  # type: ignore[misc]
            except BaseException:
                # urllib3 leaves it open where it refuses a header
                if self._answer is not None:
                    self._answer.close()
                raise

        def response_class(self, connected: socket.socket, *args: Any, **kwargs: Any) -> Any:
            self._answer = _Response(session.until, connected, *args, **kwargs)
            return self._answer

        def _begin(self) -> None:
            if self.sock is not None:
                # urllib3 sends with the time for connecting: too short for large bodies
                self.timeout = session.until.seconds
                self.sock.settimeout(self.timeout)
                session.until.hold(self.sock)

    class Plain(Timed, HTTPConnection):  # type: ignore[misc]
        pass

    class Encrypted(Timed, HTTPSConnection):  # type: ignore[misc]
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


class _Response(http.client.HTTPResponse):
    """An answer of which each read has what is left of the time."""

    def __init__(self, until: Ending, connected: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(connected, *args, **kwargs)
        plain: Any = self.fp
        self.fp = io.BufferedReader(_TimedReader(plain.detach(), connected, until))

    def begin(self) -> None:
        """Reads the header; lines that are none are left out, without urllib3's warning."""
        super().begin()
        whole = http.client.HTTPMessage()
        for name, value in self.msg.items():
            whole[name] = value
        self.headers = self.msg = whole


class _TimedReader(io.RawIOBase):
    """Reads a socket's stream, each time with what is left."""

    def __init__(self, stream: Any, connected: socket.socket, until: Ending) -> None:
        super().__init__()
        self._stream, self._socket, self._until = stream, connected, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._until.seconds)
        count: int | None = self._stream.readinto(buffer)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
