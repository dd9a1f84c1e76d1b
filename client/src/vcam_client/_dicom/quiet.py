"""Keeps pydicom's warnings off the terminal: they may quote patient data."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: Any = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps pydicom's warnings, which may quote patient data, to itself.

    Counted, since warning filters belong to the process and not to a thread.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.simplefilter("ignore")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_filters.__exit__(None, None, None)
