"""How long a run waits for a server that is gone, and when it gives up."""

import random
import threading
import time

from vcam_client._gateways import BadGatewayError
from vcam_client.errors import (
    AccessDeniedError,
    CallBrokenError,
    ModelNotFoundError,
    ServerBusyError,
    ServerUnavailableError,
    VcamError,
)

GONE = (ServerUnavailableError, ServerBusyError, ModelNotFoundError)
"""Errors of a server that answered before and may again: a restart, a model being loaded."""
FATAL = (AccessDeniedError,)
"""Errors that every further scan would meet."""
BREAKING = (CallBrokenError, BadGatewayError)
"""Errors of calls during which the server went away, perhaps because of the scan."""
MOST_BREAKS = 2
"""How often one scan may be asked about that breaks its call: the second time alone."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_MOST_SCANS_THAT_BREAK = 10
"""Scans in a row that may break their calls: then it is the server that fails, not the scans."""


class Patience:
    """Shared by the threads of a run.

    Args:
        seconds: how long no call may be answered until the run gives up.
        stop: set when the run ends.
    """

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._lock = threading.Lock()
        self._since: float | None = None
        self._broke = 0

    @property
    def note(self) -> str:
        """For the line of progress; "" while the server answers."""
        since = self._since
        if since is None:
            return ""
        return f"no answer from the server for {time.monotonic() - since:.0f} s, trying again"

    def answered(self) -> None:
        """A call came through."""
        with self._lock:
            self._since = None
            self._broke = 0

    def is_back(self) -> None:
        """The server says that it is there, though it was asked about no scan yet."""
        with self._lock:
            self._since = None

    def broke(self) -> bool:
        """A scan broke its calls for good; False where the run should stop."""
        with self._lock:
            self._broke += 1
            return self._broke < _MOST_SCANS_THAT_BREAK

    def wait(self, error: VcamError, attempt: int) -> bool:
        """Pauses before the same scan is tried again; False where the run should stop.

        Args:
            error: of the call, after the client's own repetitions.
            attempt: of this scan, from 0.
        """
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
            waited = time.monotonic() - self._since
        if waited >= self._seconds or isinstance(error, FATAL):
            return False
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt, self._seconds - waited)
        return not self._stop.wait(random.uniform(longest / 2, longest))
