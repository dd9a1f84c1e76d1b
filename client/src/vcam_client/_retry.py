"""When a call is tried again, and how long to wait before."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vcam_client.errors import ServerBusyError, ServerUnavailableError, VcamError

RETRIED = (ServerUnavailableError, ServerBusyError)
"""Errors after which the same call may succeed: nothing was computed, nothing changes."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Exponential backoff with full jitter.

    Source: Brooker, "Exponential Backoff And Jitter" (AWS, 2015).

    Attributes:
        attempts: calls at most, the first included.
        first_s, most_s: bounds of the pause: it is drawn from 0 to `first_s`, which
            doubles with each attempt up to `most_s`.
    """

    attempts: int = 5
    first_s: float = 0.2
    most_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Expected at least one attempt, received {self.attempts}.")

    def pauses(self) -> Iterator[float]:
        """Seconds before each further attempt."""
        for attempt in range(self.attempts - 1):
            yield random.uniform(0, min(self.most_s, self.first_s * 2**attempt))


class Deadline:
    """A moment until which a call and its repetitions must be answered."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._end - time.monotonic())


class Attempts:
    """Decides after each failure whether, and after which pause, to try again."""

    def __init__(self, retries: Retries, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self._pauses = retries.pauses()

    def pause_after(self, error: VcamError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            VcamError: `error` itself, where trying again is of no use or out of time.
        """
        if not isinstance(error, RETRIED):
            raise error
        pause = next(self._pauses, None)
        if pause is None or pause >= self.deadline.left:
            raise error
        return pause
