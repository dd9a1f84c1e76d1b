"""What is at a path, or why nothing can be read there."""

import errno
import os
import stat
from pathlib import Path

from vcam_client.errors import (
    CorruptFileError,
    InputError,
    ScanNotFoundError,
    UnsupportedFormatError,
)

_FETCH = "`datalad get` or `git annex get`"
UNFETCHED = f"link of git-annex to a content that is not on this machine; fetch it with {_FETCH}"
"""Why such a link was left out."""
_ANNEX = os.path.join("annex", "objects") + os.sep
"""Part of where git-annex keeps contents, below .git."""
_POINTERS = {
    b"/annex/objects/": ("git-annex", _FETCH),
    b"version https://git-lfs.github.com/spec": ("Git LFS", "`git lfs pull`"),
}
"""How files begin that stand for a content that was not fetched, and what fetches it."""
_ADVICE = {
    errno.EACCES: "Check the permissions of the folders above it, and who runs vcam.",
    errno.ELOOP: "Its links lead round in a circle.",
    errno.ENAMETOOLONG: "No file has so long a name; check the path.",
}
_LONGEST_POINTER_BYTES = 2**15
"""git-annex takes no longer file for a pointer; those of Git LFS are below 1024."""


_NOT_FILES = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
"""What may be at a path besides files and folders."""


def with_name(path: Path) -> Path:
    """A path that ends in a name, which "." and ".." don't: messages and results use it."""
    if path.name not in ("", ".."):
        return path
    try:
        return path.resolve()
    except OSError:  # the current folder is gone: why it can't be read is said by others
        return path


def given_path(path: Path | str) -> Path:
    """The path that a user gives for a scan.

    Raises:
        InputError: an empty text, which would mean the current folder.
    """
    if path == "":
        raise InputError(
            "Expected the path of a scan, received an empty one. Check the variable that it comes "
            "from; . is the current folder."
        )
    return Path(path)


def why_unreadable(path: Path) -> InputError | None:
    """Why nothing can be read at a path; None where a file or folder is there.

    Returns:
        A ScanNotFoundError where nothing is there, a link leads nowhere, or the content
        of an annexed file was not fetched; an UnsupportedFormatError for what is neither
        a file nor a folder, such as a pipe, which is not opened; an InputError where this
        user may not look.
    """
    shown = repr(str(path))
    try:
        kind = kind_of_no_file(path)
    except (FileNotFoundError, NotADirectoryError):
        if is_unfetched(path):
            return ScanNotFoundError(
                f"The content of {shown} is not on this machine: it is a link of git-annex. "
                f"Fetch it with {_FETCH}."
            )
        if path.is_symlink():
            return ScanNotFoundError(
                f"{shown} is a link to {os.readlink(path)!r}, where nothing is. Check the link."
            )
        return ScanNotFoundError(
            f"There is no file or folder {shown}. Check the path; expected a NIfTI, DICOM, NRRD, "
            "MetaImage or MGH file, a folder with a DICOM series, a TIFF stack, an array (.npy) or "
            "a picture."
        )
    except ValueError:  # a byte 0
        return ScanNotFoundError(f"Expected a path, received {shown}.")
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Check the path.")
        return InputError(f"{shown} can't be read: {error.strerror or error}. {advice}")
    if kind:
        return UnsupportedFormatError(
            f"{shown} is neither a file nor a folder but {kind}. Save the scan as a file, and give "
            "that; a scan is read in several places, not from its start to its end."
        )
    return None


def kind_of_no_file(path: Path) -> str:
    """What is at a path that is neither a file nor a folder, such as "a pipe"; "" for those.

    Nothing is opened: a pipe waits for whoever writes to it.

    Raises:
        OSError: nothing is there, or this user may not look.
        ValueError: not a path.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return next((name for holds, name in _NOT_FILES if holds(mode)), "something else")


def unreadable(path: Path, error: OSError) -> CorruptFileError:
    """The error for a file, or a folder or one of its files, that can't be opened."""
    name = Path(os.fsdecode(error.filename)).name if error.filename else path.name
    return CorruptFileError(
        f"{name} can't be read: {error.strerror or error}. Check its permissions, or copy it again."
    )


def is_unfetched(path: Path) -> bool:
    """Whether a path is a link of git-annex to a content that is not on this machine."""
    try:
        target = os.readlink(path)
    except (OSError, ValueError):
        return False
    return _ANNEX in target and not os.path.exists(path)


def require_content(path: Path, kind: str) -> None:
    """Refuses a file that only points to its content, as git-annex and Git LFS leave them.

    Args:
        path: of a file.
        kind: what it should be, for the message.

    Raises:
        UnsupportedFormatError: it does.
        OSError: it can't be opened.
    """
    if path.stat().st_size > _LONGEST_POINTER_BYTES:
        return
    with path.open("rb") as stream:
        head = stream.read(max(map(len, _POINTERS)))
    for start, (program, command) in _POINTERS.items():
        if head.startswith(start):
            raise UnsupportedFormatError(
                f"{path.name} is not a {kind} but a {program} pointer to one. Fetch the file "
                f"itself with {command}."
            )
