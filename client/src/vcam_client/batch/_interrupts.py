"""What Ctrl-C does to a run: the first ends it in order, the second at once."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which SIGINT and SIGTERM set an event; outside the main thread, nothing.

    Attributes:
        received: the number of the first signal, or None.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.received: int | None = None
        self._stop = stop
        self._before: dict[signal.Signals, Any] = {}

    @property
    def note(self) -> str:
        """For the line of progress."""
        if self.received is None:
            return ""
        return "stopping when the scans under way are finished; once more ends at once"

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # results and log lines are whole at any moment: nothing needs to be unwound
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
        self._stop.set()
