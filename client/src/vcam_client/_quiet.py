"""Keeps the warnings of reading libraries off the terminal: they may quote patient data.

`warnings.catch_warnings` isn't for threads: of two that overlap, the first to end brings
back what the second had changed, for good. Here one filter is put in front while any
reader is at work, and taken out again after the last; nothing else of the user's filters
is touched. The filter holds for threads that are reading, so that others still warn.
"""

import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Item = TypeVar("_Item")


class _ReadingThreads(threading.local):
    """Stands in a filter where others have the pattern of a message: fits any, in a reader."""

    depth = 0

    def match(self, _message: str) -> bool:
        return self.depth > 0


_threads = _ReadingThreads()
_filter: Any = ("ignore", _threads, Warning, None, 0)
_lock = threading.Lock()
_readers = 0
_lists: list[Any] = []
"""The lists that hold the filter; several where others change `warnings.filters` meanwhile."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what this thread warns to itself; may be nested.

    Not to be held while a generator yields: what runs then, and where, is another's choice.
    """
    global _readers
    with _lock:
        _readers += 1
        if not any(item is _filter for item in warnings.filters):
            warnings.filters.insert(0, _filter)  # type: ignore[attr-defined]
            _lists.append(warnings.filters)
    _threads.depth += 1
    try:
        yield
    finally:
        _threads.depth -= 1
        with _lock:
            _readers -= 1
            if _readers == 0:
                _take_out()


def quietly(items: Iterable[_Item]) -> Iterator[_Item]:
    """`items`, each of which is made quietly; what is done between them is not."""
    iterator = iter(items)
    while True:
        with quiet():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _take_out() -> None:
    # a copy, made meanwhile by another's catch_warnings, is the current list
    for filters in (*_lists, warnings.filters):
        filters[:] = [item for item in filters if item is not _filter]
    _lists.clear()
