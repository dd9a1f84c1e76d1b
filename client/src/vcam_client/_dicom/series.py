"""Finds the volumes among the instances of a file, a folder or an archive.

A series is known by what it is: identifiers, shape, orientation and spacing of
its frames. An empty or shared SeriesInstanceUID does not mix volumes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PureWindowsPath

import numpy as np

from vcam_client._dicom.frame import MARKS, Frame, frames_of
from vcam_client._dicom.header import Header, NotDicomError, read_header
from vcam_client._dicom.instance import DIRECTORY_SOP_CLASS, NoVolumeError
from vcam_client._dicom.sources import Source, Sources, file_source, find_sources
from vcam_client._dicom.stack import same_positions
from vcam_client._quiet import quiet
from vcam_client.errors import CorruptFileError

_SAME_DIRECTION = 1e-3
"""Largest difference of a direction cosine within one volume."""
_SAME_SPACING = 1e-4
"""Largest relative difference of the pixel spacing within one volume."""
_ORIGIN_DIGITS = 1
"""Decimals of a millimetre to which origins in the plane are compared."""

_RECONSTRUCTIONS = ("ConvolutionKernel", "SliceThickness")
"""What is one throughout a reconstruction; scanners change it along the patient at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """The frames of one volume, in no order.

    Attributes:
        number: its row in the table, from 1.
        frames: at least one.
    """

    number: int
    frames: tuple[Frame, ...]

    @property
    def uid(self) -> str:
        """The SeriesInstanceUID; "" where there is none."""
        return _text(self.frames[0], "SeriesInstanceUID")

    @property
    def files(self) -> tuple[Path, ...]:
        """Where its frames lie on disk, sorted; empty for members of an archive."""
        paths = {frame.instance.header.source.path for frame in self.frames}
        return tuple(sorted(path for path in paths if path is not None))

    @property
    def modality(self) -> str:
        """Modality, such as "CT"."""
        return self.frames[0].instance.modality

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows and slices."""
        instance = self.frames[0].instance
        return instance.columns, instance.rows, len(self.frames)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a path holds.

    Attributes:
        series: volumes, in a fixed order.
        left_out: how many files were left out, by reason.
        damaged: whether one of them is damaged, rather than another kind of file.
    """

    series: tuple[Series, ...]
    left_out: Counter[str]
    damaged: bool


def find_series(path: Path) -> Found:
    """Reads all headers under a path and groups their frames.

    Raises:
        CorruptFileError: a damaged archive or DICOMDIR.
    """
    sources = find_sources(path)
    headers, left_out, damaged = _headers(sources)
    if path.is_file():
        directory = next((h for h in headers if _is_directory(h)), None)
        if directory is not None:
            sources = _in_directory(directory, path)
            headers, left_out, damaged = _headers(sources)
    return _found(headers, left_out, damaged)


def find_series_among(files: Iterable[Path]) -> Found:
    """Reads the headers of these files and groups their frames; none of them is followed."""
    sources = Sources(files=[file_source(path) for path in files], left_out=Counter())
    return _found(*_headers(sources))


def _found(headers: Iterable[Header], left_out: Counter[str], damaged: bool) -> Found:
    frames: list[Frame] = []
    for header in headers:
        if _is_directory(header):
            continue
        try:
            frames += frames_of(header)
        except NoVolumeError as reason:
            left_out[str(reason)] += 1
        except CorruptFileError as reason:
            left_out[str(reason)] += 1
            damaged = True
    groups = sorted((g for group in _groups(frames) for g in _split(group)), key=_sort_key)
    series = tuple(Series(number=n, frames=tuple(g)) for n, g in enumerate(groups, 1))
    return Found(series=series, left_out=left_out, damaged=damaged)


def _headers(sources: Sources) -> tuple[list[Header], Counter[str], bool]:
    headers, left_out, damaged = [], Counter(sources.left_out), False
    for source in sources.files:
        try:
            headers.append(read_header(source))
        except NotDicomError as reason:
            left_out[str(reason)] += 1
        except CorruptFileError as reason:
            left_out[str(reason)] += 1
            damaged = True
    return headers, left_out, damaged


def _is_directory(header: Header) -> bool:
    return (
        str(header.dataset.get("SOPClassUID") or "") == DIRECTORY_SOP_CLASS
        or "DirectoryRecordSequence" in header.dataset
    )


def _in_directory(header: Header, path: Path) -> Sources:
    """The files that a DICOMDIR lists, none of them outside its folder."""
    folder = path.parent
    files: list[Source] = []
    left_out: Counter[str] = Counter()
    try:
        with quiet():
            references = [
                record.ReferencedFileID
                for record in header.dataset.DirectoryRecordSequence
                if record.get("ReferencedFileID")
            ]
    except Exception as error:  # pydicom raises nearly anything on damaged records
        raise CorruptFileError(
            f"{path.name} is damaged: its records can't be read. Give the folder instead."
        ) from error
    for reference in references:
        parts = [reference] if isinstance(reference, str) else [str(p) for p in reference]
        file = folder.joinpath(*parts)
        if any(p in ("", ".", "..") or PureWindowsPath(p).name != p for p in parts):
            left_out["reference that leads out of the folder"] += 1
        elif _has_link(folder, parts):
            left_out["link, not followed"] += 1
        elif not file.is_file():
            left_out["listed in the DICOMDIR, but missing"] += 1
        else:
            files.append(file_source(file))
    return Sources(files=files, left_out=left_out)


def _has_link(folder: Path, parts: Sequence[str]) -> bool:
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            return True
    return False


def _groups(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Frames that could make one volume: the same series, shape, orientation, spacing."""
    buckets: dict[tuple[object, ...], list[list[Frame]]] = {}
    for frame in frames:
        instance = frame.instance
        alone = instance if instance.radiograph or instance.unplaced else None
        key = (
            *(_text(frame, k) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")),
            _text(frame, "FrameOfReferenceUID"),
            instance.modality,
            (instance.rows, instance.columns),
            alone,
        )
        groups = buckets.setdefault(key, [])
        mates = next((group for group in groups if _belong_together(frame, group[0])), None)
        if mates is None:
            groups.append([frame])
        else:
            mates.append(frame)
    return [group for groups in buckets.values() for group in groups]


def _belong_together(one: Frame, other: Frame) -> bool:
    if float(np.abs(one.direction - other.direction).max()) > _SAME_DIRECTION:
        return False
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return bool(np.allclose(one.spacing, other.spacing, rtol=_SAME_SPACING))


def _split(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes that share a series and positions, such as echoes or time points."""
    parts = [frames]
    for mark in MARKS:
        if not any(same_positions(part) for part in parts):
            break
        parts = [p for part in parts for p in (_by(part, mark) if same_positions(part) else [part])]
    for mark in _RECONSTRUCTIONS:
        parts = [p for part in parts for p in _interleaved(part, mark)]
    return [whole for part in parts for whole in _by_origin(part)]


def _interleaved(frames: list[Frame], mark: str) -> list[list[Frame]]:
    """Reconstructions whose slices lie between each other's; parts side by side stay whole."""
    parts = _by(frames, mark)
    if len(parts) == 1 or min(map(len, parts)) == 1:
        return [frames]
    spans = []
    for part in parts:
        along = [float(frame.position @ frames[0].normal) for frame in part]
        spans.append((min(along), max(along)))
    spans.sort()
    apart = all(one[1] < other[0] for one, other in pairwise(spans))
    return [frames] if apart else parts


def _by(frames: list[Frame], mark: str) -> list[list[Frame]]:
    parts: dict[str, list[Frame]] = {}
    for frame in frames:
        parts.setdefault(frame.marks[mark], []).append(frame)
    return list(parts.values())


def _by_origin(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes side by side; a tilted stack, whose every slice is shifted, stays whole."""
    normal = frames[0].normal
    parts: dict[tuple[float, ...], list[Frame]] = {}
    for frame in frames:
        origin = frame.position - (frame.position @ normal) * normal
        parts.setdefault(tuple(np.round(origin, _ORIGIN_DIGITS) + 0.0), []).append(frame)
    whole = all(len(part) > 1 for part in parts.values()) and 2 * len(parts) <= len(frames)
    return list(parts.values()) if whole else [frames]


def _sort_key(frames: list[Frame]) -> tuple[object, ...]:
    """The order of the table: independent of file names and order."""
    first = frames[0]
    number = _text(first, "SeriesNumber")
    position = min(tuple(frame.position) for frame in frames)
    return (
        float(number) if number.lstrip("-").isdigit() else np.inf,
        _text(first, "SeriesInstanceUID"),
        *(first.marks[mark] for mark in MARKS),
        -len(frames),
        tuple(first.direction),
        position,
    )


def _text(frame: Frame, keyword: str) -> str:
    return str(frame.instance.dataset.get(keyword) or "").strip()
