"""Files that are there as a whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def replace_file(place: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a file beside its place, then renames it."""
    part = place.with_name(f".part-{place.name}")
    write(part)
    os.replace(part, place)


def replace_folder(place: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill an empty folder beside its place, then puts it there.

    What was there before is gone only once the new folder is complete.
    """
    part = Path(tempfile.mkdtemp(prefix=f".part-{place.name}-", dir=place.parent))
    try:
        part.chmod(0o755)
        write(part)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
