"""Writing files so that nothing half-written is ever left behind."""

import os
from pathlib import Path

from vcam_client.errors import OutputError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: readers see the old file or the whole new one.

    Raises:
        OutputError: the folder can't be written; nothing is left behind.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"Can't write {path}: {error.strerror or error}. Choose another folder with --out, "
            "or free some space."
        ) from error
