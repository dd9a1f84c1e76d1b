"""One process at a time: others that make the same data wait, and find them made."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vcam_training.data.dataset import Report
from vcam_training.file_lock import hold


@contextlib.contextmanager
def alone(lock: Path, report: Report, what: str) -> Iterator[None]:
    """Waits while another process is in the same block.

    Args:
        lock: a file, gone afterwards; its folder is made if need be.
        report: called if there is a wait, or no way to lock.
        what: the other run does, such as "reads the same scans".
    """
    told = False

    def tell(_: IO[str]) -> None:
        nonlocal told
        if not told:
            report(f"Waiting for another run that {what}")
        told = True

    with hold(lock, tell, report):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
