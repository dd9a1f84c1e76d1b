"""Tells how far the making of a data set is, and how long it will take."""

import time
from collections.abc import Callable

from vcam_training.data.dataset import Report

_EVERY_S = 10.0


def progress(report: Report, what: str) -> Callable[[int, int], None]:
    """A function of (things done, things in all).

    Args:
        report: is told at most every ten seconds, and at the end.
        what: is done, a few words.
    """
    started = told = time.monotonic()
    first: int | None = None

    def tell(done: int, total: int) -> None:
        nonlocal told, first
        first = done - 1 if first is None else first
        now = time.monotonic()
        if done < total and now - told < _EVERY_S:
            return
        told = now
        left = (now - started) / (done - first) * (total - done)
        minutes, seconds = divmod(round(left), 60)
        more = f", {minutes}:{seconds:02d} left" if done < total else ""
        report(f"{what}: {done} of {total}{more}")

    return tell
