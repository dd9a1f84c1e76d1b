"""NumPy's .npy: an array [slices, rows, columns], or a picture [rows, columns]."""

import math
import tokenize
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._laboratory import no_spacing, picture, stack
from vcam_client._limits import MAX_PICTURE_PIXELS, check_bytes, check_voxels
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

_PICTURE_DIMENSIONS = 2
_STACK_DIMENSIONS = 3
_MAX_VALUE_BYTES = 8
_NO_HEADER = (
    SyntaxError,
    TypeError,
    ValueError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""What numpy raises on a damaged header."""


def read_npy(path: Path, options: ReadOptions) -> Volume:
    """Reads a real array, in C or Fortran order, any byte order; never a pickle.

    [slices, rows, columns] is a stack, whose spacing `options` must state; more axes
    before those count volumes. [rows, columns] is a picture.

    Returns:
        A volume in the array's type, native byte order; see `_laboratory` for its axes.

    Raises:
        UnsupportedFormatError: no real numbers, or fewer than two axes.
        CorruptFileError: a damaged header, or not as many bytes as it states.
        InputError: no spacing, several volumes and no index, or too many voxels.
    """
    with path.open("rb", buffering=0) as stream:
        shape, fortran, dtype = _header(stream, path)
        start, stored = stream.tell(), path.stat().st_size
        size = math.prod(shape) * dtype.itemsize
        check_bytes(size, path.name)
        if stored - start != size:
            raise CorruptFileError(
                f"{path.name} states an array {_by(shape)} of {size} bytes and holds "
                f"{stored - start}. Copy it again, or save it anew."
            )
        volumes = math.prod(shape[:-_STACK_DIMENSIONS])
        what = f"of {_by(shape[:-4:-1])} voxels"
        index = chosen_volume(options.volume_index, volumes, what, path.name)
        kept = shape[-_STACK_DIMENSIONS:]
        flat = len(kept) == _PICTURE_DIMENSIONS
        check_voxels(kept, path.name, most=MAX_PICTURE_PIXELS if flat else None)
        if not flat and options.spacing is None:
            raise no_spacing(path.name, "an array, which states none")
        data = _array(stream, start, shape, index, fortran, dtype)
    if flat:
        return picture(data, options.spacing, path.stem)
    assert options.spacing is not None
    return stack(data, options.spacing, path.stem)


def _header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version}")
    except _NO_HEADER as error:
        raise CorruptFileError(
            f"The header of {path.name} can't be read. Save the array again with numpy.save."
        ) from error
    if dtype.kind not in "iufb" or dtype.itemsize > _MAX_VALUE_BYTES:
        raise UnsupportedFormatError(
            f"Expected real numbers of up to 64 bits, received {dtype} in {path.name}. "
            "Save a plain numeric array."
        )
    if len(shape) < _PICTURE_DIMENSIONS or any(n < 1 for n in shape):
        raise UnsupportedFormatError(
            f"Expected [slices, rows, columns] or [rows, columns], received the shape {shape} in "
            f"{path.name}. Save the array with these axes."
        )
    return shape, fortran, dtype


def _array(
    stream: IO[bytes],
    start: int,
    shape: tuple[int, ...],
    index: int,
    fortran: bool,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """The array chosen; only what must be is read."""
    kept = shape[-_STACK_DIMENSIONS:]
    leading = shape[:-_STACK_DIMENSIONS]
    if fortran:
        data = _filled(stream, start, math.prod(shape), dtype).reshape(shape, order="F")
        return data[np.unravel_index(index, leading)] if leading else data
    count = math.prod(kept)
    return _filled(stream, start + index * count * dtype.itemsize, count, dtype).reshape(kept)


def _filled(stream: IO[bytes], start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    data = np.empty(count, dtype)
    stream.seek(start)
    left = data.view(np.uint8).data
    while left.nbytes and (read := stream.readinto(left)):  # type: ignore[attr-defined]
        left = left[read:]
    if left.nbytes:
        raise InputError("The file became shorter while it was read. Copy it again.")
    if not dtype.isnative:
        data = data.byteswap(inplace=True).view(dtype.newbyteorder())
    return data


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
