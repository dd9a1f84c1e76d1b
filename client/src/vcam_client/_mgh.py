"""FreeSurfer's .mgh and .mgz: a big endian header, voxels, and a footer that is not read."""

import math
from pathlib import Path
from typing import Any

import nibabel  # noqa: F401  (the whole first)
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from vcam_client._gzip import head_of, span_of
from vcam_client._laboratory import assumed_directions, no_spacing, stack
from vcam_client._limits import check_voxels
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

# nibabel's modules import each other in circles. A thread that enters such a circle at a part of
# nibabel while another is importing the whole would get a half-made module.
SUFFIXES = (".mgh", ".mgz", ".mgh.gz")

_HEADER_BYTES = 284
_VERSION = 1
_RAS_FLAG = slice(28, 30)
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 8: ">f8", 10: ">u2"}
"""FreeSurfer's MRI_UCHAR, _INT, _FLOAT, _SHORT, _DOUBLE and _USHRT."""


def read_mgh(path: Path, options: ReadOptions) -> Volume:
    """Reads a volume; the place is nibabel's, in scanner RAS+ mm (not tkregister's).

    A file whose goodRASFlag is not set states no place and no voxel size: it is a stack as
    of a laboratory, whose spacing `options` must state, with a warning.

    Returns:
        A volume, data [I, J, K] in native byte order.

    Raises:
        UnsupportedFormatError: no MGH file, values over a surface, or no scalar voxels.
        CorruptFileError: truncated, or a checksum that is wrong.
        InputError: several volumes and no index, or an option that doesn't fit.
    """
    head = head_of(path, _HEADER_BYTES)
    if len(head) < _HEADER_BYTES or int.from_bytes(head[:4], "big") != _VERSION:
        raise UnsupportedFormatError(
            f"{path.name} is not an MGH file: it does not begin as one. Copy it again, or give "
            "the file under its own suffix."
        )
    sizes = np.frombuffer(head, ">i4", 4, 4).tolist()
    dtype = _dtype(int.from_bytes(head[20:24], "big"), path)
    if min(sizes) < 1:
        raise CorruptFileError(
            f"{path.name} states impossible dimensions {sizes}. Convert the original scan again."
        )
    i, j, k, volumes = sizes
    if j == k == 1 < i:
        raise UnsupportedFormatError(
            f"{path.name} holds values of {i} vertices of a surface, not a volume. Give the volume "
            "that they were made from."
        )
    check_voxels((i, j, k), path.name)
    index = chosen_volume(options.volume_index, volumes, f"of {i}×{j}×{k} voxels", path.name)
    placed = int.from_bytes(head[_RAS_FLAG], "big", signed=True) > 0
    if placed and options.spacing is not None:
        raise InputError(
            f"{path.name} is an MGH file, which states its own spacing. Leave out --spacing."
        )
    if not placed and options.spacing is None:
        raise no_spacing(path.name, "an MGH file whose place is marked as not valid")
    size = math.prod((i, j, k)) * dtype.itemsize
    start = _HEADER_BYTES + index * size
    voxels = span_of(path, start, size, _HEADER_BYTES + volumes * size).view(dtype)
    data = voxels.astype(dtype.newbyteorder("="), copy=False).reshape((i, j, k), order="F")
    name = stem(path)
    if options.spacing is not None:
        assumed = assumed_directions(path, options)
        return stack(data.transpose(2, 1, 0), options.spacing, name, assumed)
    header: Any = MGHHeader
    with np.errstate(all="ignore"):  # a volume refuses what is not finite
        affine = np.asarray(header(head, check=False).get_affine(), np.float64)
    return Volume(data=data, affine=affine, name=name)


def stem(path: Path) -> str:
    """The file name without the suffixes of an MGH file."""
    suffix = next(s for s in (".mgh.gz", path.suffix) if path.name.lower().endswith(s.lower()))
    return path.name[: len(path.name) - len(suffix)]


def _dtype(code: int, path: Path) -> np.dtype[np.generic]:
    if code not in _TYPES:
        raise UnsupportedFormatError(
            f"Expected scalar voxels, {path.name} holds FreeSurfer's type {code}. Convert it with "
            "mri_convert, to float for example."
        )
    return np.dtype(_TYPES[code])
