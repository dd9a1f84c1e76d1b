"""How a scan is to be read, where the file alone can't say."""

from dataclasses import dataclass
from typing import Literal

from vcam_client.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a file alone can't say.

    Attributes:
        series: which DICOM series: its number in the table of `vcam-client inspect`,
            or its SeriesInstanceUID.
        volume_index: which volume of a 4-D file, from 0.
        spacing: mm between voxel centres, for files that state none: one number, or one
            each along i, j, k (columns, rows, slices).
        strict: refuse what could only be read by resampling it, or by assuming something;
            a model then refuses values that can't be in its units, too.
        nan: what takes the place of voxels that are NaN or infinite: a value in the scan's
            units, or "padding", which is kept out of what a model sees. None leaves them
            as they are; models then refuse the scan.
    """

    series: str | None = None
    volume_index: int | None = None
    spacing: tuple[float, ...] | None = None
    strict: bool = False
    nan: float | Literal["padding"] | None = None


def chosen_volume(index: int | None, volumes: int, what: str, name: str) -> int:
    """Which of several volumes to read, from 0.

    Args:
        index: the one asked for, or None.
        volumes: how many there are.
        what: what each of them is, such as "of 6×7×8 voxels".
        name: the file.

    Raises:
        InputError: several and none is chosen, or one is chosen that is not there.
    """
    if index is None and volumes > 1:
        raise InputError(
            f"Expected one volume, received {volumes} volumes {what} in {name}. "
            f"Choose one with --volume-index, 0 to {volumes - 1}."
        )
    if index is not None and not 0 <= index < volumes:
        held = "one volume" if volumes == 1 else f"{volumes} volumes"
        raise InputError(
            f"{name} holds {held} {what}, there is none with index {index}. "
            + ("Leave out --volume-index." if volumes == 1 else f"Choose 0 to {volumes - 1}.")
        )
    return index or 0
