"""One process at a time: others that make the same data wait, and find them made."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vcam_training.data.dataset import Report


@contextlib.contextmanager
def alone(lock: Path, report: Report, what: str) -> Iterator[None]:
    """Waits while another process is in the same block.

    Args:
        lock: a file in a folder that exists, gone afterwards. The system lets go of it when a
            process ends.
        report: called if there is a wait.
        what: the other run does, such as "reads the same scans".
    """
    told = False
    while True:
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    report(f"Waiting for another run that {what}")
                told = True
                fcntl.flock(stream, fcntl.LOCK_EX)
            if not is_named(stream, lock):
                continue  # its holder has removed it
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def is_named(stream: IO[str], lock: Path) -> bool:
    """Whether an open file still has its name; another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), lock.stat())
    except FileNotFoundError:
        return False
