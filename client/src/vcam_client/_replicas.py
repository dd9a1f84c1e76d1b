"""Replicas of a server: calls go round them in turn, and past those that are down."""

import threading
import time
from typing import Generic, TypeVar

from vcam_client._retry import Attempts, Retries
from vcam_client.errors import ServerUnavailableError, VcamError

_Transport = TypeVar("_Transport")

_REST_S = 10.0
"""Seconds for which a replica that was not there is left out, while others are."""


class Replicas(Generic[_Transport]):
    """The transports of one connection, safe to use from several threads.

    Attributes:
        transports: one for each address.
    """

    def __init__(self, transports: list[_Transport]) -> None:
        self.transports = transports
        self._turn = -1
        self._known = False
        self._down_until: dict[int, float] = {}
        self._lock = threading.Lock()

    def attempts(self, retries: Retries, seconds: float) -> Attempts:
        """The attempts of one call that may take so many seconds."""
        return Attempts(retries, seconds, replicas=len(self.transports), known=self._known)

    def next(self) -> _Transport:
        """The transport whose turn it is; one that is down only where all are."""
        with self._lock:
            now = time.monotonic()
            for _ in self.transports:
                self._turn = (self._turn + 1) % len(self.transports)
                if self._down_until.get(self._turn, 0.0) <= now:
                    break
            else:
                self._turn = (self._turn + 1) % len(self.transports)
            return self.transports[self._turn]

    def answered(self, transport: _Transport) -> None:
        """Notes that a replica is there."""
        with self._lock:
            self._known = True
            self._down_until.pop(self.transports.index(transport), None)

    def failed(self, transport: _Transport, error: VcamError) -> None:
        """Notes that a call failed, and whether the replica is there."""
        if not isinstance(error, ServerUnavailableError):
            return
        with self._lock:
            self._down_until[self.transports.index(transport)] = time.monotonic() + _REST_S
