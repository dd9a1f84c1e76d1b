"""Tells how far a long measurement is, and how long it will take."""

import time

from vcam_training.data.dataset import Report

_EVERY_S = 5.0


class Progress:
    """Counts steps of one kind.

    Args:
        report: is told, at most every five seconds and at the end.
        what: is done, a few words.
        total: steps there are.
    """

    def __init__(self, report: Report, what: str, total: int) -> None:
        self._report = report
        self._what = what
        self._total = total
        self._done = 0
        self._started = self._told = time.monotonic()
        report(what)

    def __call__(self) -> None:
        """One more step is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._told < _EVERY_S or self._done == self._total:
            return
        self._told = now
        left = (now - self._started) / self._done * (self._total - self._done)
        minutes, seconds = divmod(round(left), 60)
        self._report(f"{self._what}: {self._done} of {self._total}, {minutes}:{seconds:02d} left")
