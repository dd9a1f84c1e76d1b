"""What vcam is willing to allocate for one scan; checked before anything is allocated."""

from vcam_client.errors import InputError

MAX_VOXELS = 2**31
"""Voxels of one volume: 4 GiB of int16."""

MAX_FILE_BYTES = 16 * 2**30
"""Decompressed bytes of one file."""


def check_voxels(shape: tuple[int, ...], name: str) -> None:
    """Raises InputError where a volume of `shape` is larger than vcam takes."""
    count = 1
    for size in shape:
        count *= size
    if count > MAX_VOXELS:
        raise InputError(
            f"{name} states {'×'.join(map(str, shape))} voxels, more than the limit of "
            f"{MAX_VOXELS}. Crop or resample it first."
        )
