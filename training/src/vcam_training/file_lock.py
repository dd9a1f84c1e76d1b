"""Locks on files, of which the system lets go when a process ends, however it does."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vcam_client.syncing import make_folder

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""Of file systems that offer none."""


def hold(lock: Path, busy: Callable[[IO[str]], None], report: Callable[[str], None]) -> IO[str]:
    """Opens a file and locks it; closing it frees it. Whoever holds it may remove it before.

    Args:
        lock: a file; its folder is made if need be.
        busy: called with the open file where another process has it: raises to give up, returns
            to wait.
        report: called where the file system has no locks; the file is open then, and not locked.

    Raises:
        OSError: it can't be opened, or the folder not made.
    """
    while True:
        make_folder(lock.parent)  # each time: its holder may have removed it with the lock
        stream = lock.open("a+", encoding="utf-8")
        try:
            _wait(stream, busy)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                report(
                    f"Warning: '{lock.parent}' is on a file system without locks; make sure that "
                    "no other run writes into it"
                )
                return stream
            stream.close()
            raise
        except BaseException:
            stream.close()
            raise
        if _is_named(stream, lock):
            return stream
        stream.close()  # its holder removed it just before it was locked here


def _wait(stream: IO[str], busy: Callable[[IO[str]], None]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy(stream)
        fcntl.flock(stream, fcntl.LOCK_EX)


def _is_named(stream: IO[str], lock: Path) -> bool:
    """Whether an open file still has its name; another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), lock.stat())
    except FileNotFoundError:
        return False
