"""Writes several files into a folder, each whole."""

from collections.abc import Mapping
from pathlib import Path

from vcam_client.writing import Write, replace_file


def write_all(folder: Path | str, files: Mapping[str, Write]) -> list[str]:
    """Writes files; others in the folder stay.

    Args:
        folder: made if need be.
        files: by name, what fills them.

    Returns:
        Their names.

    Raises:
        OutputError: they can't be written.
    """
    for name, write in files.items():
        replace_file(Path(folder) / name, write)
    return list(files)
