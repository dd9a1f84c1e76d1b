"""One process at a time in a folder of runs."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vcam_client.errors import ConfigError
from vcam_client.write_errors import refusing
from vcam_training.file_lock import hold

LOCK = ".lock"
"""Its name. It is gone once the folder is free; after a crash it may stay, and locks nothing."""


@contextlib.contextmanager
def locked(folder: Path, what: str, report: Callable[[str], None]) -> Iterator[None]:
    """Holds a folder, so that no second run writes into it at the same time.

    The system lets go of it when the process ends, however it does. Reading needs no lock.

    Args:
        folder: made if need be, and removed again if nothing was written into it.
        what: the other process does, in the refusal: "trains" or "sweeps".
        report: called where the file system has no locks.

    Raises:
        ConfigError: another process has it.
        OutputError: the folder can't be written.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    lock = folder / LOCK

    def refuse(held: IO[str]) -> None:
        held.seek(0)
        holder = held.read().strip()
        raise ConfigError(
            f"Another process {what} in '{folder}' ({holder or 'just begun'}). Wait until it has "
            "ended and give the same command again, or name another folder with --out."
        )

    with refusing(lock):
        stream = hold(lock, refuse, report)
    try:
        with refusing(lock):
            os.ftruncate(stream.fileno(), 0)
            os.write(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder has been moved away, or is not empty
            lock.unlink()
            for one in made:
                one.rmdir()
        stream.close()
