"""One process at a time in a folder of runs."""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vcam_client.errors import ConfigError
from vcam_client.syncing import make_folder
from vcam_client.write_errors import refusing
from vcam_training.data.alone import is_named

LOCK = ".lock"
"""Its name. It is gone once the folder is free; after a crash it may stay, and locks nothing."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""Of file systems that offer none."""


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
    stream = _hold(lock, what, report)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder has been moved away, or is not empty
            lock.unlink()
            for one in made:
                one.rmdir()
        stream.close()


def _hold(lock: Path, what: str, report: Callable[[str], None]) -> IO[str]:
    """The lock's file, open and locked."""
    while True:
        with refusing(lock):
            make_folder(lock.parent)
            stream = lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stream:
                stream.seek(0)
                holder = stream.read().strip()
            raise ConfigError(
                f"Another process {what} in '{lock.parent}' ({holder or 'just begun'}). Wait until "
                "it has ended and give the same command again, or name another folder with --out."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                stream.close()
                raise
            report(
                f"Warning: '{lock.parent}' is on a file system without locks; make sure that no "
                "other run writes into it"
            )
            return stream
        if is_named(stream, lock):
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
            return stream
        stream.close()  # its holder removed it just before it was locked here
