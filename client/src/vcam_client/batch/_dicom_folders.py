"""The DICOM series of many folders.

Folders are looked at one by one, so that memory holds the headers of one and a new
folder renumbers no other's series. A series whose slices are spread over several folders
is put together again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

from vcam_client import _dicom
from vcam_client.batch._found import Find, bytes_of
from vcam_client.batch._item import ItemKind

_DIGITS = 2
"""Decimals of a millimetre to which positions of slices are compared."""

_Identity = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """A series of one folder, without its headers.

    Attributes:
        identity: what it shares with the rest of the same series elsewhere; () where
            nothing can be the rest of it.
        positions: where its slices lie.
    """

    folder: Path
    number: int
    of: int
    files: tuple[Path, ...]
    rank: int
    identity: _Identity
    positions: frozenset[bytes]


def series_in(folders: Mapping[Path, Sequence[str]], left_out: Counter[str]) -> list[Find]:
    """One for each series; what is none is counted.

    Args:
        folders: names of files that may be DICOM, by folder.
        left_out: counted further.
    """
    parts: list[_Part] = []
    for folder, names in folders.items():
        if names:
            found = _dicom.find_series_among(folder / name for name in names)
            left_out.update(found.left_out)
            parts += _parts(folder, found.series)
    finds = []
    for group in _spread(parts):
        if len(group) == 1:
            finds.append(_find(group[0]))
        else:
            finds += _together([file for part in group for file in part.files])
    return finds


def _parts(folder: Path, series: Sequence[_dicom.Series]) -> list[_Part]:
    parts: list[_Part] = []
    for one in series:
        files = one.files
        first = one.frames[0]
        alone = first.instance.radiograph or first.instance.unplaced or not one.uid
        shape = first.instance.columns, first.instance.rows
        identity = () if alone else (one.uid, one.modality, *map(str, shape))
        parts.append(
            _Part(
                folder=folder,
                number=one.number,
                of=len(series),
                files=files,
                # series that share a file, as of a multi-frame instance, come in this order
                rank=sum(bool(set(files) & set(part.files)) for part in parts),
                identity=identity,
                positions=frozenset((f.position.round(_DIGITS) + 0.0).tobytes() for f in one.frames)
                if identity
                else frozenset(),
            )
        )
    return parts


def _spread(parts: Iterable[_Part]) -> list[list[_Part]]:
    """Parts by series; copies of a series, which share positions, stay apart."""
    by_identity: dict[object, list[_Part]] = {}
    for part in parts:
        by_identity.setdefault(part.identity or id(part), []).append(part)
    groups: list[list[_Part]] = []
    for group in by_identity.values():
        folders = {part.folder for part in group}
        slices = sum(len(part.positions) for part in group)
        apart = slices == len(frozenset().union(*(part.positions for part in group)))
        if len(folders) == len(group) and apart:
            groups.append(group)
        else:
            groups += [[part] for part in group]
    return groups


def _find(part: _Part) -> Find:
    lone = part.files[0].name if len(part.files) == 1 else None
    return Find(
        path=part.folder,
        files=tuple(file.relative_to(part.folder).as_posix() for file in part.files),
        kind=ItemKind.DICOM,
        size=bytes_of(part.files),
        series=part.number if part.of > 1 and (lone is None or part.rank) else None,
        rank=part.rank,
        alone=lone,
    )


def _together(files: Sequence[Path]) -> list[Find]:
    folder = Path(commonpath(files))
    series = _dicom.find_series_among(sorted(files)).series
    return [_find(part) for part in _parts(folder, series)]
