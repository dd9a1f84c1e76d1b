"""A folder of slices, one TIFF or PNG file each, in the order of their numbers."""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client import _tiff
from vcam_client._laboratory import no_spacing, stack
from vcam_client._limits import check_voxels
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import InconsistentSeriesError
from vcam_client.volume import Volume

_LISTED = 6
_NUMBER = re.compile(r"(\d+)")
_Spacing = tuple[float, float, float]


def read_slices(folder: Path, files: Sequence[Path], options: ReadOptions) -> Volume:
    """Reads slices as one volume, in the order of the number in their names.

    The spacing is the one in `options`, else what every TIFF slice states alike.

    Args:
        folder: names the volume.
        files: TIFF files, or PNG files; at least one.
        options: `spacing`, for slices that state none.

    Raises:
        InconsistentSeriesError: numbers missing, or slices of several sizes or types.
        CorruptFileError, UnsupportedFormatError: a slice that can't be read.
        InputError: no spacing, or too many voxels.
    """
    if len(files) == 1 and files[0].name.lower().endswith(_tiff.SUFFIXES):
        return _tiff.read_tiff(files[0], options)
    chosen_volume(options.volume_index, 1, f"of {len(files)} slices", folder.name)
    ordered = _in_order(files, folder)
    read = _reader(files)
    first, stated = read(ordered[0])
    spacing = options.spacing or stated
    if spacing is None:
        raise no_spacing(folder.name, f"{len(files)} slices that state none")
    check_voxels((*first.shape[::-1], len(ordered)), folder.name)
    data = np.empty((len(ordered), *first.shape), first.dtype)
    data[0] = first
    for k, file in enumerate(ordered[1:], 1):
        plane, own = read(file)
        if plane.shape != first.shape or plane.dtype != first.dtype:
            raise InconsistentSeriesError(
                f"Expected slices of one size and type in {folder.name}, received "
                f"{_kind(first)} in {ordered[0].name} and {_kind(plane)} in {file.name}. "
                "Keep the slices of one scan in a folder of their own."
            )
        if options.spacing is None and own != stated:
            raise InconsistentSeriesError(
                f"{file.name} states another spacing than {ordered[0].name}. Keep the slices of "
                "one scan in a folder of their own, or state the spacing with --spacing."
            )
        data[k] = plane
    return stack(data, spacing, folder.name)


def _reader(files: Sequence[Path]) -> Callable[[Path], tuple[NDArray[Any], _Spacing | None]]:
    if files[0].name.lower().endswith(_tiff.SUFFIXES):
        return _tiff.read_slice
    from vcam_client._pictures import read_grey

    return lambda path: (read_grey(path), None)


def _in_order(files: Sequence[Path], folder: Path) -> list[Path]:
    """The files by the one number in which their names differ; without gaps."""
    parts = [_NUMBER.split(file.stem) for file in files]
    texts = {tuple(part[::2]) for part in parts}
    if len(texts) > 1:
        names = ", ".join(sorted(file.name for file in files)[:_LISTED])
        raise InconsistentSeriesError(
            f"Expected slices in {folder.name} whose names differ in one number, received {names}"
            f"{', …' if len(files) > _LISTED else ''}. Keep the slices of one scan in a folder of "
            "their own."
        )
    numbers = np.array([[int(n) for n in part[1::2]] for part in parts], dtype=object)
    varying = [n for n in range(numbers.shape[1]) if len(set(numbers[:, n])) > 1]
    if len(files) > 1 and len(varying) != 1:
        raise InconsistentSeriesError(
            f"Expected slices in {folder.name} whose names differ in one number, received "
            f"{files[0].name} and {files[1].name}. Keep the slices of one scan in a folder of "
            "their own."
        )
    if len(files) == 1:
        return list(files)
    by_number = {int(numbers[n, varying[0]]): file for n, file in enumerate(files)}
    if len(by_number) < len(files):
        raise InconsistentSeriesError(
            f"Several slices of {folder.name} have the same number. Keep one of each."
        )
    found = sorted(by_number)
    missing = [n for a, b in itertools.pairwise(found) for n in range(a + 1, b)[:_LISTED]]
    if missing:
        raise InconsistentSeriesError(
            f"The slices of {folder.name} are numbered {found[0]} to {found[-1]}, but "
            f"{', '.join(map(str, missing[:_LISTED]))}{', …' if len(missing) > _LISTED else ''} "
            "are missing. Complete the folder; where nothing is missing, number them anew."
        )
    return [by_number[number] for number in found]


def _kind(plane: NDArray[Any]) -> str:
    rows, columns = plane.shape
    return f"{columns}×{rows} {plane.dtype}"
