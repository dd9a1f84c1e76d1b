"""Waiting until files, folders and their names are on disk, where a power cut leaves them."""

import errno
import os
from pathlib import Path

_CANT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""Of folders: file systems without it, and folders that may be written but not read."""


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, on disk.

    Raises:
        OSError: it can't be made.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)  # another process may have made it
    sync_folder(folder.parent)


def sync(path: Path) -> None:
    """Waits until a file's content is on disk.

    Raises:
        OSError: it can't be written, or there is no such file.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk, where its file system offers that.

    Raises:
        OSError: the disk fails.
    """
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in _CANT_SYNC:
            raise


def sync_tree(folder: Path) -> None:
    """Waits until a folder is on disk with everything in it.

    Raises:
        OSError: the disk fails.
    """
    for place, _, files in os.walk(folder, topdown=False, onerror=_raise):
        for name in files:
            sync(Path(place, name))
        sync_folder(Path(place))


def _raise(error: OSError) -> None:
    raise error
