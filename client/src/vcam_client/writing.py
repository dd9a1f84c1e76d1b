"""Writes files whole or not at all, and safely on disk.

Everything is written beside its place under a hidden, random, short name, synced to disk and
then renamed; the folder is synced after that. A reader sees the old content or the whole new
one, also after a crash or a power cut. Files have the permissions that the umask gives.

Whatever fails, Ctrl-C included, takes the unfinished file with it. Only a killed process can
leave one behind: `.vcam-…part`, see `remove_unfinished`.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vcam_client.syncing import make_folder, sync, sync_folder
from vcam_client.write_errors import not_written, refusing

Write = Callable[[Path], object]
"""Fills the file, or the empty folder, at a path."""

_UNFINISHED = (".vcam-*.part*", ".part-*")
"""The second of earlier versions."""
_LONGEST_END = 16
"""Bytes of the end of a name that an unfinished file shares."""


def write_atomically(path: Path, content: bytes, *, option: str = "--out") -> None:
    """Writes a file; its folder is made if need be.

    Args:
        path: of the file.
        content: of it.
        option: of the command line, that chooses the folder; for messages.

    Raises:
        OutputError: it can't be written; nothing is left behind.
    """
    with written_together(option) as files:
        files.add(path, content)


def replace_file(path: Path, write: Write, *, option: str = "--out") -> None:
    """Lets `write` fill a file beside `path`, whose name ends alike; see `write_atomically`.

    Raises:
        OutputError: it can't be written; nothing is left behind.
    """
    with written_together(option) as files:
        files.add(path, write)


class Files:
    """Files that are written beside their places, and wait there; see `written_together`."""

    def __init__(self, option: str = "--out") -> None:
        self._option = option
        self._waiting: list[tuple[Path, Path]] = []

    def add(self, path: Path, content: bytes | Write) -> None:
        """Writes one of them, unseen.

        Raises:
            OutputError: it can't be written.
        """
        with refusing(path, self._option):
            _check_place(path)
            make_folder(path.parent)
            unfinished = beside(path, _kept_end(path) if callable(content) else "")
            self._waiting.append((path, unfinished))
            if callable(content):
                content(unfinished)
                sync(unfinished)
            else:
                with unfinished.open("xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())

    def appear(self) -> None:
        """Renames them to their places, in the order in which they were added."""
        folders = []
        while self._waiting:
            path, unfinished = self._waiting[0]
            with refusing(path, self._option):
                os.replace(unfinished, path)
            del self._waiting[0]
            folders.append(path.parent)
        for folder in dict.fromkeys(folders):
            with refusing(folder, self._option):
                sync_folder(folder)

    def forget(self) -> None:
        """Removes those that have not appeared."""
        for _, unfinished in self._waiting:
            with contextlib.suppress(OSError):  # never made, or its folder is gone
                unfinished.unlink()
        self._waiting.clear()


@contextmanager
def written_together(option: str = "--out") -> Iterator[Files]:
    """Files of which none appears before the block ends, and none if it fails.

    Args:
        option: as for `write_atomically`.

    Raises:
        OutputError: one of them can't be written.
    """
    files = Files(option)
    try:
        yield files
        files.appear()
    finally:
        files.forget()


def remove_unfinished(folder: Path) -> None:
    """Removes what killed writers left in a folder; only while no other can be at work there."""
    for path in [path for pattern in _UNFINISHED for path in folder.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def beside(path: Path, end: str = "") -> Path:
    """A name in the same folder that no other writer has, however long that of `path` is."""
    return path.with_name(f".vcam-{os.urandom(8).hex()}.part{end}")


def _kept_end(path: Path) -> str:
    """Such as `.keras` or `.nii.gz`: libraries that write a file may go by it."""
    ends = ("".join(path.suffixes[-2:]), path.suffix, "")
    return next(end for end in ends if len(os.fsencode(end)) <= _LONGEST_END)


def _check_place(path: Path) -> None:
    """Refuses places that a rename would take away, or only refuse after all the work."""
    try:
        path.lstat()  # a name that is too long fails here
    except FileNotFoundError:
        return
    if path.is_dir():
        raise not_written(path, "A folder has this name. Name a file, or another folder for it.")
    folder = os.path.realpath(path.parent)
    is_stream = folder == "/dev" or folder.startswith("/proc/")  # as /dev/stdout, a link
    if is_stream or (path.exists() and not path.is_file()):
        raise not_written(path, "It is a device or a pipe. Name a file.")
