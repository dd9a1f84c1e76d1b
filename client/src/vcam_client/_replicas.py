"""Replicas of a server: calls go round them in turn, and on to the next where one is down."""

import itertools
import threading
from typing import Generic, TypeVar

_Transport = TypeVar("_Transport")


class Replicas(Generic[_Transport]):
    """The transports of one connection, safe to use from several threads.

    Attributes:
        transports: one for each address.
    """

    def __init__(self, transports: list[_Transport]) -> None:
        self.transports = transports
        self._turns = itertools.count()
        self._lock = threading.Lock()

    def next(self) -> _Transport:
        """The transport whose turn it is."""
        with self._lock:
            turn = next(self._turns)
        return self.transports[turn % len(self.transports)]
