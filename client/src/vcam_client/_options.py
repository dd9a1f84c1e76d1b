"""How a scan is to be read, where the file alone can't say."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a file alone can't say.

    Attributes:
        series: which DICOM series: its number in the table of `vcam-client inspect`,
            or its SeriesInstanceUID.
        volume_index: which volume of a 4-D file, from 0.
        spacing: mm between voxel centres, for files that state none: one number, or one
            each along i, j, k (columns, rows, slices).
        strict: refuse what could only be read by resampling it.
    """

    series: str | None = None
    volume_index: int | None = None
    spacing: tuple[float, ...] | None = None
    strict: bool = False
