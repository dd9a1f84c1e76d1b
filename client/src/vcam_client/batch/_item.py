"""One scan of many: what it is called, and how to read it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from vcam_client._missing import without_nan
from vcam_client._one_line import one_line
from vcam_client._options import ReadOptions
from vcam_client.errors import InconsistentSeriesError, InputError
from vcam_client.volume import Volume


class ItemKind(Enum):
    """How a scan lies on disk."""

    FILE = "file"
    SLICES = "slices"
    DICOM = "dicom"


@dataclass(frozen=True, kw_only=True)
class ScanItem:
    """A scan that was found; nothing of its voxels is held.

    Attributes:
        key: what it is known by in the log: its path below what was searched, with "/";
            a DICOM series of several in a folder has "#series2" behind it.
        path: the file, or the folder of its files.
        name: stem of its result files, below the folder of results, with "/"; unique.
        kind: a file, a folder of slices, or files of a DICOM series.
        series: its number among the DICOM series of its folder, from 1; None elsewhere.
        files: names of its files below `path`; empty for a file.
        rank: which it is of the series that those files hold, from 0.
        size: bytes on disk.
    """

    key: str
    path: Path
    name: str
    kind: ItemKind = ItemKind.FILE
    series: int | None = None
    files: tuple[str, ...] = ()
    rank: int = 0
    size: int = 0

    def read(self, options: ReadOptions) -> Volume:
        """The volume.

        Raises:
            VcamError: as `read_volume`.
        """
        if self.kind is ItemKind.FILE:
            from vcam_client.reading import read_volume

            return read_volume(self.path, **vars(options))
        if options.series is not None:
            raise InputError(
                f"{one_line(self.key)} is one scan of those in its folder already. Leave out "
                "--series."
            )
        if self.kind is ItemKind.SLICES:
            from vcam_client._slice_folder import read_slices

            slices = [self.path / name for name in self.files]
            return without_nan(read_slices(self.path, slices, options), options.nan)
        return without_nan(self._read_series(options), options.nan)

    def _read_series(self, options: ReadOptions) -> Volume:
        from vcam_client import _dicom

        if options.volume_index is not None:
            raise InputError(
                f"{one_line(self.key)} is DICOM; its volumes are series, each a scan. Leave out "
                "--volume-index."
            )
        found = _dicom.find_series_among(self.path / name for name in self.files)
        if self.rank >= len(found.series):
            raise InconsistentSeriesError(
                f"Expected the {len(self.files)} files of a series in {one_line(self.key)}, as "
                f"they were found; now they hold {len(found.series)}. Start again when nothing "
                "writes there."
            )
        return _dicom.read_series(found.series[self.rank], self.path, options)


class FoundScans(list[ScanItem]):
    """Scans in a fixed order.

    Attributes:
        left_out: how many files and folders were not taken, by reason.
    """

    def __init__(self, items: Iterable[ScanItem], left_out: Counter[str]) -> None:
        super().__init__(items)
        self.left_out = left_out
