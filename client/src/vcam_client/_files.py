"""Writing files so that nothing half-written is ever left behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcam_client.errors import OutputError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: readers see the old file or the whole new one.

    Raises:
        OutputError: the folder can't be written; nothing is left behind.
    """
    with written_together() as files:
        files.add(path, content)


class Files:
    """Files that are written beside their places, and wait there; see `written_together`."""

    def __init__(self) -> None:
        self._beside: dict[Path, Path] = {}

    def add(self, path: Path, content: bytes) -> None:
        """Writes one of them, unseen.

        Raises:
            OutputError: the folder can't be written.
        """
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._beside[path] = beside
            with beside.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise _refused(path, error) from error

    def appear(self) -> None:
        """Renames them to their places, in the order in which they were added."""
        for path, beside in list(self._beside.items()):
            try:
                beside.replace(path)
            except OSError as error:
                raise _refused(path, error) from error
            del self._beside[path]

    def forget(self) -> None:
        """Removes those that have not appeared."""
        for beside in self._beside.values():
            try:
                beside.unlink(missing_ok=True)
            except OSError:
                continue  # its folder is a file, or gone
        self._beside.clear()


@contextmanager
def written_together() -> Iterator[Files]:
    """Files of which none appears before the block ends, and none if it fails.

    Raises:
        OutputError: a folder can't be written.
    """
    files = Files()
    try:
        yield files
        files.appear()
    finally:
        files.forget()


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Can't write {path}: {error.strerror or error}. Choose another folder with --out, "
        "or free some space."
    )
