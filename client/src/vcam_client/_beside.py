"""The data file that a header names: beside it or below, never elsewhere."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from vcam_client.errors import CorruptFileError, InputError


def beside(header: Path, named: str) -> Path:
    """The file that a header names, in the header's own folder or below it.

    Its name is not shown in messages: it comes from the header, and may name a patient.

    Args:
        header: a `.mhd` or `.nhdr` file.
        named: what it says, with "/" or a Windows writer's backslashes.

    Raises:
        InputError: it names a file elsewhere, by a path or by a link.
        CorruptFileError: that file is missing.
    """
    posix, windows = PurePosixPath(named), PureWindowsPath(named)
    outside = posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts)
    if outside or not named or "\0" in named:
        raise _elsewhere(header)
    folder = header.parent.resolve()
    # a backslash divides folders for Windows only
    for path in (header.parent / posix, header.parent / Path(*windows.parts)):
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(folder):
            raise _elsewhere(header)
        return path
    raise CorruptFileError(
        f"{header.name} is a header; the data file that it names is missing beside it. Copy both "
        "to the same folder, under the names that they had."
    )


def _elsewhere(header: Path) -> InputError:
    return InputError(
        f"Expected {header.name} to name a data file in its own folder, received a path or a link "
        "that leads elsewhere. Put the data file beside the header, and state its plain name there."
    )
