"""What vcam is willing to allocate for one scan; checked before anything is allocated."""

import math

from vcam_client.errors import InputError

MAX_VOXELS = 2**31
"""Voxels of one volume: 4 GiB of int16."""

MAX_FILE_BYTES = 16 * 2**30
"""Decompressed bytes of one file."""

MAX_UNPACKED_INSTANCE_BYTES = 4 * 2**30
"""Bytes of one DICOM instance once it is unpacked from an archive, or inflated."""

MAX_PICTURE_PIXELS = 2**27
"""Pixels of one picture; more than twice the largest stitched radiographs."""

DEFLATE_EXPANSION = 1032
"""Most bytes that one byte of a deflate stream (gzip, PNG) can become (zlib's manual)."""


def check_voxels(shape: tuple[int, ...], name: str, most: int | None = None) -> None:
    """Raises InputError where a volume of `shape` is larger than vcam takes.

    Args:
        shape: voxels along each axis.
        name: the file.
        most: the limit; MAX_VOXELS by default.
    """
    most = MAX_VOXELS if most is None else most
    if math.prod(shape) > most:
        raise InputError(
            f"{name} states {'×'.join(map(str, shape))} voxels, more than the limit of "
            f"{most}. Crop or resample it first."
        )


def check_bytes(size: int, name: str) -> None:
    """Raises InputError where a file holds more decompressed bytes than vcam takes."""
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"{name} states {size} bytes of voxels, more than the limit of {MAX_FILE_BYTES}. "
            "Crop or resample it first."
        )
