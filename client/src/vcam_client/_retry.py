"""When a call is tried again, and how long to wait before."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vcam_client._gateways import BadGatewayError
from vcam_client.errors import (
    CallBrokenError,
    InputError,
    ServerBusyError,
    ServerUnavailableError,
    VcamError,
)

RETRIED = (ServerUnavailableError, ServerBusyError)
"""Errors after which the same call may succeed: nothing was computed, nothing changes."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Exponential backoff with full jitter.

    A server that has answered this client before may be restarting: the default goes on
    for about 13 s. One that never answered is probably not there: it is given up sooner.

    Source: Brooker, "Exponential Backoff And Jitter" (AWS, 2015).

    Attributes:
        attempts: calls at most, the first included; a round over all replicas counts as one.
        first_s, most_s: bounds of the pause: it is drawn from 0 to `first_s`, which
            doubles with each attempt up to `most_s`.
        absent_s: seconds after which a server that has never answered is given up.
        breaks: how often a call is made again that broke its connection, over all replicas:
            the server may have ended because of it. With 0, neither is one for which a
            gateway lost its server (HTTP 502).
    """

    attempts: int = 10
    first_s: float = 0.2
    most_s: float = 5.0
    absent_s: float = 2.5
    breaks: int = 1

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InputError(f"Expected at least one attempt, received {self.attempts}.")
        if min(self.first_s, self.most_s, self.absent_s) < 0:
            raise InputError(f"Expected pauses of 0 s or more, received {self}.")
        if self.breaks < 0:
            raise InputError(f"Expected 0 or more calls after a break, received {self.breaks}.")

    def pauses(self) -> Iterator[float]:
        """Seconds before each further attempt."""
        most = self.first_s
        for _ in range(self.attempts - 1):
            yield random.uniform(0, min(self.most_s, most))
            most = min(self.most_s, 2 * most)


class Deadline:
    """A moment until which a call and its repetitions must be answered."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._end - time.monotonic())


class Attempts:
    """Decides after each failure whether, and after which pause, to try again.

    Args:
        retries: see there.
        seconds: that all attempts may take together.
        replicas: how many servers there are; another one is tried without a pause.
        known: whether one of them has answered before.
    """

    def __init__(
        self, retries: Retries, seconds: float, *, replicas: int = 1, known: bool = True
    ) -> None:
        self.deadline = Deadline(seconds)
        self._pauses = retries.pauses()
        self._absent = None if known else Deadline(retries.absent_s)
        self._replicas = replicas
        self._failures = 0
        self._most_breaks = retries.breaks
        self._breaks = 0

    def pause_after(self, error: VcamError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            VcamError: `error` itself, where trying again is of no use or out of time.
        """
        if not isinstance(error, RETRIED):
            raise error
        if isinstance(error, ServerBusyError):
            self._absent = None
        if isinstance(error, CallBrokenError):
            self._breaks += 1
        alone = isinstance(error, BadGatewayError) and not self._most_breaks
        if alone or self._breaks > self._most_breaks:
            raise error
        self._failures += 1
        if self._failures % self._replicas:
            pause: float | None = 0.0
        else:
            pause = next(self._pauses, None)
        if pause is None or pause >= self.deadline.left:
            raise error
        if self._absent is not None and pause and pause >= self._absent.left:
            raise error
        return pause
