"""Whether the TIFF files of a folder are the slices of one scan."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

_NUMBER = re.compile(r"(\d+)")
_FEWEST = 3
"""Slices of a folder, at least; two numbered files may be anything."""


def slices_among(folder: Path, names: Sequence[str]) -> list[str]:
    """All names, where they are 2-D files numbered without gaps; none otherwise.

    Of the files themselves only the first is looked at: a stack of several pages is a
    scan of its own, and so are its neighbours.
    """
    if len(names) < _FEWEST or not _numbered(names) or not _one_page(folder / names[0]):
        return []
    return list(names)


def _numbered(names: Sequence[str]) -> bool:
    parts = [_NUMBER.split(Path(name).stem) for name in names]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return False
    columns = list(zip(*([int(n) for n in part[1::2]] for part in parts), strict=True))
    varying = [sorted(column) for column in columns if len(set(column)) > 1]
    return len(varying) == 1 and all(b - a == 1 for a, b in itertools.pairwise(varying[0]))


def _one_page(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return len(file.pages) == 1
    except Exception:  # damaged in any way: it fails where it is read, as a scan of its own
        return False
