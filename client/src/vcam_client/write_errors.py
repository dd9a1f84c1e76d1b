"""Why a file can't be written, in words: the name, the disk or the folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcam_client.errors import OutputError, VcamError

_OF_THE_DISK = {
    errno.ENOSPC: "No space left on the disk",
    errno.EDQUOT: "No space left in your quota of the disk",
    errno.EFBIG: "The file is larger than the disk or a limit allows",
}
_OF_THE_FOLDER = {
    errno.EACCES: "No permission to write into the folder",
    errno.EPERM: "No permission to write into the folder",
    errno.EROFS: "The disk is read-only that holds the folder",
}
_LONGEST_NAME = 255
"""Bytes of a name on nearly all file systems; NAME_MAX in linux/limits.h."""
_SHOWN = 40
"""Characters of a name that is too long."""


@contextmanager
def refusing(path: Path, option: str = "--out") -> Iterator[None]:
    """Says why `path` can't be written, in place of the system's error.

    Args:
        path: what is written meanwhile.
        option: of the command line, that names another place.

    Raises:
        OutputError: instead of errors about writing.
    """
    try:
        yield
    except VcamError:
        raise
    except Exception as error:
        reason = write_error(path, error, option)
        if reason is None:
            raise
        raise reason from error


def write_error(path: Path, error: BaseException, option: str) -> OutputError | None:
    """What to tell of an error that came up while `path` was written.

    Libraries may raise their own error when they close a file on a full disk; then it is the
    system's error before it that counts.

    Returns:
        None for an error that is not about writing.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (seen is error or seen.errno in _OF_THE_DISK):
            return not_written(path, _reason(path, seen, option))
        seen = seen.__cause__ or seen.__context__
    return None


def not_written(path: Path, reason: str) -> OutputError:
    """The error for a place.

    Args:
        path: what was to be written.
        reason: sentences: why not, and what helps.
    """
    shown = Path(*(f"{part[:_SHOWN]}…" if _is_too_long(part) else part for part in path.parts))
    return OutputError(f"Can't write {shown}: {reason}")


def _reason(path: Path, error: OSError, option: str) -> str:
    number = error.errno
    if number == errno.ENAMETOOLONG:
        return _of_the_name(path, option)
    if number in _OF_THE_DISK:
        return f"{_OF_THE_DISK[number]}. Free some space, or choose another disk with {option}."
    if number in _OF_THE_FOLDER:
        return (
            f"{_OF_THE_FOLDER[number]} '{_nearest(path)}'. Choose another folder with {option}, or "
            "ask for the permission."
        )
    if number in (errno.ENOTDIR, errno.EEXIST) and not _nearest(path).is_dir():
        return f"'{_nearest(path)}' is a file, not a folder. Choose another one with {option}."
    if number in (errno.EISDIR, errno.ENOTEMPTY):
        return f"A folder has this name. Choose another one with {option}."
    return f"{error.strerror or error}. Choose another folder with {option}."


def _of_the_name(path: Path, option: str) -> str:
    long = [part for part in path.parts if _is_too_long(part)]
    if not long:
        return f"The path as a whole is too long. Choose a folder with a shorter one with {option}."
    what = "The name" if long[-1] == path.name else f"The folder's name '{long[-1][:_SHOWN]}…'"
    size = len(os.fsencode(long[-1]))
    return f"{what} is too long, {size} bytes of at most {_LONGEST_NAME}. Choose a shorter one."


def _is_too_long(name: str) -> bool:
    return len(os.fsencode(name)) > _LONGEST_NAME


def _nearest(path: Path) -> Path:
    """The nearest folder above that there is, or the file that is in its place."""
    for above in path.parents:
        if os.path.lexists(above):
            return above
    return path.parent
