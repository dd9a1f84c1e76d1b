"""Finds the volumes among the instances of a file, a folder or an archive.

A series is known by what it is: identifiers, shape, orientation and spacing of
its frames. An empty or shared SeriesInstanceUID does not mix volumes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from vcam_client._dicom.apart import continued, differences, text
from vcam_client._dicom.copies import without_copies
from vcam_client._dicom.frame import Frame, frames_of
from vcam_client._dicom.grouping import groups_of
from vcam_client._dicom.header import Header, NotDicomError, read_header
from vcam_client._dicom.instance import DIRECTORY_SOP_CLASS, Instance, NoVolumeError
from vcam_client._dicom.marks import MARKS, order_of
from vcam_client._dicom.sources import Source, Sources, file_source, find_sources
from vcam_client._quiet import quiet
from vcam_client.errors import CorruptFileError

SERIES_NUMBER = re.compile("-?[0-9]{1,11}")
"""VR IS; what a damaged header has instead is neither a number nor shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """The frames of one volume, in no order.

    Attributes:
        number: its row in the table, from 1.
        frames: at least one.
        differs: what distinguishes it from other volumes of the same SeriesInstanceUID,
            or from similar ones where it has none or is a slice; in phrases.
        warnings: what had to be assumed to put its frames together, in sentences.
        copies: instances that are left out as copies of its own.
    """

    number: int
    frames: tuple[Frame, ...]
    differs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    copies: tuple[Instance, ...] = ()

    @property
    def uid(self) -> str:
        """The SeriesInstanceUID; "" where there is none."""
        return text(self.frames[0], "SeriesInstanceUID")

    @property
    def files(self) -> tuple[Path, ...]:
        """Where its frames and their copies are on disk, sorted; empty for an archive's members."""
        instances = [*(frame.instance for frame in self.frames), *self.copies]
        paths = {instance.header.source.path for instance in instances}
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
    return Found(series=_volumes(frames), left_out=left_out, damaged=damaged)


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


def _volumes(frames: list[Frame]) -> tuple[Series, ...]:
    """Numbers the volumes, and says what is known of each from the others."""
    single, dropped = without_copies(frames)
    groups = sorted(groups_of(single), key=_sort_key)
    copies = [
        [copy for instance in {f.instance for f in group} for copy in dropped.get(instance, ())]
        for group in groups
    ]
    differs, more = differences(groups), continued(groups)
    return tuple(
        Series(
            number=n + 1,
            frames=tuple(group),
            differs=differs[n],
            warnings=_warnings(
                group,
                len(copies[n]),
                [m + 1 for m in more.get(n, ()) if _may_be_one_patient(group, groups[m])],
            ),
            copies=tuple(copies[n]),
        )
        for n, group in enumerate(groups)
    )


def _may_be_one_patient(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Whether volumes share a series UID or a PatientID, so that they may belong together."""
    return bool(text(one[0], "SeriesInstanceUID")) or _patient(one) == _patient(other)


def _patient(frames: Sequence[Frame]) -> str:
    """The PatientID, of the slices that have it; never to be shown."""
    return max(text(frame, "PatientID") for frame in frames)


def _warnings(frames: Sequence[Frame], copies: int, rows: Sequence[int]) -> tuple[str, ...]:
    found = []
    if copies:
        found.append(
            f"{copies} {'file is a copy' if copies == 1 else 'files are copies'} of another "
            "(the same SOPInstanceUID, elements and pixels): each instance is taken once."
        )
    references = len({text(frame, "FrameOfReferenceUID") for frame in frames})
    if references > 1:
        found.append(
            f"The slices state {references} frames of reference (FrameOfReferenceUID). They are "
            "taken as one volume: they share series, orientation and pixel spacing, and are on "
            "one straight line."
        )
    kernels = {frame.marks["ConvolutionKernel"] for frame in frames}
    if len(kernels) > 1:
        found.append(
            f"The slices were reconstructed with {len(kernels)} kernels (ConvolutionKernel), one "
            "after the other along the patient."
        )
    if rows:
        one = len(rows) == 1
        found.append(
            f"{'Row' if one else 'Rows'} {', '.join(map(str, rows))} of vcam-client inspect "
            f"{'continues' if one else 'continue'} this volume: same series, orientation and line, "
            "equal spacing. Only a part of what may belong together is read."
        )
    return tuple(found)


def _sort_key(frames: Sequence[Frame]) -> tuple[object, ...]:
    """The order of the table: independent of file names and order."""
    first = frames[0]
    number = text(first, "SeriesNumber")
    position = min(tuple(frame.position) for frame in frames)
    return (
        float(number) if SERIES_NUMBER.fullmatch(number) else np.inf,
        text(first, "SeriesInstanceUID"),
        *(min(order_of(frame.marks[mark]) for frame in frames) for mark in MARKS),
        tuple(sorted(order_of(v) for k, v in first.marks.items() if k not in MARKS)),
        -len(frames),
        tuple(first.direction),
        position,
        _patient(frames),
    )
