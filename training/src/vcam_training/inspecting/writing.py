"""Writes several files into a folder, each whole."""

from collections.abc import Callable, Mapping
from pathlib import Path

from vcam_client.errors import ConfigError
from vcam_training.replacing import replace_file

Write = Callable[[Path], object]
"""Fills a file."""


def write_all(folder: Path | str, files: Mapping[str, Write]) -> list[str]:
    """Writes files; others in the folder stay.

    Args:
        folder: made if need be.
        files: by name, what fills them.

    Returns:
        Their names.

    Raises:
        ConfigError: they can't be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in files.items():
            replace_file(folder / name, write)
    except OSError as error:
        raise ConfigError(
            f"Can't write to '{folder}' ({error}). Name another folder with --out."
        ) from error
    return list(files)
