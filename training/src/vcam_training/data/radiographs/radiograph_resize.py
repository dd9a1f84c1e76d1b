"""Resizes a folder of pictures once, so that training need not read large files again.

Resampling is that of reading and serving (area averaging): a picture that was resized to
the grid's size is, to the bit, what reading the large one onto that grid gives.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vcam_client.errors import ConfigError, InputError
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Grid, Resampling
from vcam_client.writing import replace_file
from vcam_training.data.dataset import Report
from vcam_training.data.laying import lay
from vcam_training.data.progress import progress

SUFFIXES = (".png", ".jpg", ".jpeg")
_JPEG_QUALITY = 95
_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Resized:
    """What became of the pictures of a folder.

    Attributes:
        done: that were resized now.
        skipped: that had been resized before.
        failed: names relative to the folder, with the reason.
    """

    done: int
    skipped: int
    failed: tuple[tuple[str, str], ...]


def resize_folder(folder: Path, out: Path, size: int, report: Report) -> Resized:
    """Writes each PNG and JPEG of a folder anew, with size × size pixels and the same name.

    Pictures that are there in that size, and not older than their originals, are left as
    they are. A picture that can't be read is told and left out.

    Args:
        folder: with its subfolders, whose names are kept as well.
        out: where the small ones go.
        size: pixels along both sides; pictures are stretched.
        report: is told what happens.

    Raises:
        ConfigError: no folder with pictures, the same folder twice, or a full disk.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"Expected a folder with pictures, found none at '{folder}'. Give the folder that "
            "holds them."
        )
    if folder.resolve() == out.resolve():
        raise ConfigError(
            f"Expected another folder for the small pictures than '{folder}' itself, received "
            f"'{out}'. Name another one with --out."
        )
    names = sorted(_pictures(folder, out))
    if not names:
        raise ConfigError(
            f"Expected pictures ({', '.join(SUFFIXES)}) in '{folder}', found none. "
            "Give the folder that holds them."
        )
    grid = Grid(
        shape=(size, size), axes=("A", "I", "L"), fit=Fit.STRETCH, resampling=Resampling.AREA
    )
    missing = [name for name in names if not _is_there(folder / name, out / name, size)]
    tell = progress(report, f"Resizing to {size}×{size} pixels")
    failed = []

    def resize(name: Path) -> str:
        return _resize(folder / name, out / name, grid)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for number, (name, problem) in enumerate(
            zip(missing, pool.map(resize, missing), strict=True), start=1
        ):
            if problem:
                failed.append((str(name), problem))
                report(f"{name}: {problem}")
            tell(number, len(missing))
    return Resized(
        done=len(missing) - len(failed),
        skipped=len(names) - len(missing),
        failed=tuple(failed),
    )


def _pictures(folder: Path, out: Path) -> Iterator[Path]:
    """Paths relative to the folder; the folder of the small ones may lie in it."""
    small = out.resolve()
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if (Path(place) / one).resolve() != small]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield (Path(place) / name).relative_to(folder)


def _is_there(original: Path, small: Path, size: int) -> bool:
    try:
        with Image.open(small) as image:
            same = image.size == (size, size)
    except OSError:
        return False
    return same and small.stat().st_mtime_ns >= original.stat().st_mtime_ns


def _resize(original: Path, small: Path, grid: Grid) -> str:
    """What is wrong with a picture; "" where it was resized."""
    try:
        volume = read_volume(original)
        # 8 or 16 bits as they were stored
        image = lay(volume, grid, np.dtype(volume.data.dtype).name)
    except InputError as error:
        return str(error)
    options: dict[str, int] = {}
    if small.suffix.lower() != ".png":
        options = {"quality": _JPEG_QUALITY}
    picture, kind = Image.fromarray(np.ascontiguousarray(image)), "JPEG" if options else "PNG"
    replace_file(small, lambda part: picture.save(part, kind, **options))
    return ""
