"""Runs decoders side by side; they release the interpreter's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_WORKERS = 8


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """`map` in threads: results in order, a few ahead, so that memory stays bounded."""
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[_Result]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        # after an error what has not begun is not decoded: damaged streams can take seconds
        pool.shutdown(cancel_futures=True)
