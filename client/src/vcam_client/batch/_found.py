"""A scan that was found, before it has a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vcam_client.batch._item import ItemKind


@dataclass(frozen=True, kw_only=True)
class Find:
    """Attributes as of `ScanItem`; `alone` is the one file of a DICOM series, or None."""

    path: Path
    files: tuple[str, ...]
    kind: ItemKind
    size: int
    series: int | None = None
    rank: int = 0
    alone: str | None = None

    @classmethod
    def of(cls, path: Path, files: Sequence[str], kind: ItemKind) -> "Find":
        """A file, or a folder of slices."""
        each = [path / name for name in files] or [path]
        return cls(path=path, files=tuple(files), kind=kind, size=bytes_of(each))


def bytes_of(files: Sequence[Path]) -> int:
    """Bytes on disk; a file that went away meanwhile has none."""
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total
