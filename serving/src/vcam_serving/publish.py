"""Publishes a SavedModel as a version folder, whole or not at all.

A version folder without its variables becomes AVAILABLE in TensorFlow Serving
and then fails every request for good. So a servable is written beside the base
path and appears there by one atomic rename.
"""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from vcam_client.errors import ServableError
from vcam_client.syncing import make_folder, sync_folder, sync_tree

_VERSION = re.compile(r"[0-9]+")
_MAX_VERSION = 2**63 - 1  # TensorFlow Serving reads versions as int64
_SHOWN = 40
"""Characters of the base's name in that of a staging folder, which must not be too long."""


@contextlib.contextmanager
def staging(base: Path | str) -> Iterator[Path]:
    """An empty folder beside `base` to write a servable into; removed afterwards.

    It is on the same file system, so that `publish` can rename it, and its name
    starts with a dot and it holds no version folders, so that no server takes it
    for a model.

    Args:
        base: the folder of a model's versions; need not exist.

    Raises:
        ServableError: the folder can't be made.
    """
    base = Path(os.path.abspath(base))
    folder = base.parent / f".{base.name[:_SHOWN]}.staging-{uuid.uuid4().hex[:12]}"
    try:
        make_folder(base.parent)
        folder.mkdir()
    except OSError as error:
        raise ServableError(
            f"Expected to write beside {base.name!r}, received: {error}. "
            "Choose a base folder whose parent is writable."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path | str, base: Path | str, version: int | None = None) -> Path:
    """Moves a staged servable to `<base>/<version>` by one atomic rename.

    Args:
        staged: a complete SavedModel, from `staging(base)`.
        base: the folder of a model's versions; made if it doesn't exist.
        version: a number that isn't taken; by default the one after the highest.

    Returns:
        The version folder.

    Raises:
        ServableError: incomplete, or the version exists: a version never changes.
    """
    staged, base = Path(staged), Path(os.path.abspath(base))
    _check_complete(staged)
    if version is not None and not 0 < version <= _MAX_VERSION:
        raise ServableError(
            f"Expected a version from 1 to {_MAX_VERSION}, received {version}. "
            "Leave it out to take the next one."
        )
    try:
        make_folder(base)
        sync_tree(staged)
        while True:
            taken = versions(base)
            number = version if version is not None else max(taken, default=0) + 1
            if number in taken:
                raise ServableError(
                    f"Version {number} of {base.name!r} exists and a version never changes. "
                    f"Publish as {max(taken) + 1}, or leave the version out."
                )
            target = base / str(number)
            if _rename(staged, target):
                sync_folder(base)
                return target
    except OSError as error:
        raise ServableError(
            f"Expected to publish into {base.name!r}, received: {error}. "
            "Nothing was published; make the folder writable and try again."
        ) from error


def versions(base: Path | str) -> list[int]:
    """The versions in a folder, ascending; `00007` is version 7, `v9` is none."""
    base = Path(base)
    if not base.is_dir():
        return []
    return sorted({int(p.name) for p in base.iterdir() if _VERSION.fullmatch(p.name)})


def _check_complete(staged: Path) -> None:
    needed = ("saved_model.pb", "variables/variables.index")
    missing = [name for name in needed if not (staged / name).is_file()]
    if missing:
        raise ServableError(
            f"Expected a complete SavedModel to publish, {missing} missing in {staged.name!r}. "
            "Export the model again."
        )


def _rename(staged: Path, target: Path) -> bool:
    """Whether the rename won; False if another publisher took the version first.

    Renaming onto a folder that holds anything fails, and a published version is
    never empty.
    """
    try:
        os.rename(staged, target)
    except OSError:
        if target.exists():
            return False
        raise
    return True
