"""Writes folders whole or not at all: the old one stays until the new one is on disk."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

from vcam_client.syncing import make_folder, sync_folder, sync_tree
from vcam_client.write_errors import not_written, refusing
from vcam_client.writing import Write, beside

_CANT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV, errno.EPERM)
_REPLACED_MEANWHILE = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of renameat2, from linux/fcntl.h and linux/fs.h."""


def replace_folder(path: Path, write: Write, *, option: str = "--out") -> None:
    """Lets `write` fill an empty folder, then puts it in the place of the one at `path`.

    The two change places at once where the system can do that. Elsewhere the old folder is
    renamed first: a process that is killed between the two renames leaves it under a hidden
    name, from which `recover_folder` brings it back; so does the next `replace_folder`.

    Args:
        path: of the folder.
        write: fills the new one.
        option: of the command line, that chooses the place; for messages.

    Raises:
        OutputError: it can't be written; the old folder stays.
    """
    with refusing(path, option):
        path = _behind_links(path)
        if path.exists() and not path.is_dir():
            raise not_written(path, "It is a file. Name a folder, or another place.")
        make_folder(path.parent)
        recover_folder(path)
        unfinished = beside(path)
        try:
            unfinished.mkdir()
            write(unfinished)
            sync_tree(unfinished)
            _swap(unfinished, path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Brings a folder back whose replacement was killed between two renames.

    Raises:
        OutputError: it can't be renamed.
    """
    with refusing(path):
        path = _behind_links(path)
        old = _aside(path)
        if not old.exists():
            return
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)
            sync_folder(path.parent)


def _swap(new: Path, path: Path) -> None:
    """Gives `new` the name `path`; what has that name is at `new` afterwards, or gone."""
    while True:
        if not path.exists():
            try:
                os.rename(new, path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        if _exchange(new, path):
            return
        try:
            os.rename(path, _aside(path))
            os.rename(new, path)
            return
        except OSError as error:
            if error.errno not in _REPLACED_MEANWHILE or not new.exists():
                raise  # else another process replaced it at the same time
        finally:
            recover_folder(path)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names at once; False where the system or the file system can't."""
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (*_CANT_EXCHANGE, errno.ENOENT):  # gone since: renamed by another process
        return False
    raise OSError(number, os.strerror(number), str(other))


def _behind_links(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _aside(path: Path) -> Path:
    """Where the old folder waits while the new one takes its place; the same in each process."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".vcam-before-{digest}")
