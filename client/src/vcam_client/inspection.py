"""What a path holds, before anything is asked of a server: series, geometry, units, quirks."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vcam_client._hounsfield import UNITS, not_hounsfield
from vcam_client._missing import Nan, without_nan
from vcam_client._options import ReadOptions
from vcam_client._paths import given_path, unreadable, why_unreadable, with_name
from vcam_client.errors import InputError, VcamError
from vcam_client.reading import holds_dicom, kind_of, read_options, read_volume
from vcam_client.volume import Volume

_NOT_DICOM = "not DICOM"
"""How the reasons begin why files of other formats are left out of DICOM series."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found at a path.

    Attributes:
        name: of the file or folder.
        series: DICOM series, by number; empty for other formats.
        left_out: how many files were left out, by reason.
        chosen: number of the series that is read, None where none or several could be.
        volume: the volume that is read, None where there is none.
        error: why there is none; None otherwise.
        ambiguous: whether there is none because several series are there and none is chosen.
        scans: of a folder, the scans below it that are no DICOM series, by their paths
            relative to it; empty where it is one scan itself.
    """

    name: str
    series: tuple[Any, ...]
    left_out: Mapping[str, int]
    chosen: int | None
    volume: Volume | None
    error: VcamError | None
    ambiguous: bool = False
    scans: tuple[str, ...] = ()

    def require_volume(self) -> Volume:
        """The volume that is read.

        Raises:
            VcamError: why there is none.
        """
        if self.volume is None:
            assert self.error is not None
            raise self.error
        return self.volume

    def to_dict(self, *, identifiers: bool = False) -> dict[str, Any]:
        """For JSON.

        Args:
            identifiers: with the series UID and description, which may identify a patient.
        """
        private = ("description", "uid")
        series = [dict(vars(facts)) for facts in self.series]
        for facts in series:
            for key in private:
                if not identifiers:
                    del facts[key]
        return {
            "name": self.name,
            "series": series,
            "scans": list(self.scans),
            "left_out": dict(self.left_out),
            "chosen": self.chosen,
            "volume": None if self.volume is None else describe(self.volume),
            "refusal": None if self.error is None else str(self.error),
        }


def inspect_scan(
    path: Path | str,
    *,
    series: str | int | None = None,
    volume_index: int | None = None,
    spacing: float | Sequence[float] | None = None,
    strict: bool = False,
    nan: Nan | None = None,
) -> Inspection:
    """Looks at a scan; why it can't be read is in `error`, not raised.

    Args:
        path, series, volume_index, spacing, strict, nan: as for `read_volume`.

    Raises:
        ScanNotFoundError: nothing is there.
        InputError: an option of the wrong kind, or a path that is empty or that this user may
            not follow.
    """
    given = given_path(path)
    path = with_name(given)
    options = read_options(
        series=series, volume_index=volume_index, spacing=spacing, strict=strict, nan=nan
    )
    problem = why_unreadable(path)
    if problem is not None:
        raise problem
    inspection = _inspected(path, options)
    others = any(reason.startswith(_NOT_DICOM) for reason in inspection.left_out)
    nothing = inspection.volume is None and not inspection.series
    if options.series is None and (nothing or others) and path.is_dir():
        return _with_scans_below(given, options, inspection)
    return inspection


def _inspected(path: Path, options: ReadOptions) -> Inspection:
    """What is there, taken as one scan."""
    try:
        if holds_dicom(path):
            return _dicom(path, options)
    except OSError as error:
        return _single(path, None, unreadable(path, error))
    try:
        volume = read_volume(path, **vars(options))
    except VcamError as error:
        if not os.path.exists(path):
            raise
        return _single(path, None, error)
    return _single(path, volume, None)


def _with_scans_below(given: Path, options: ReadOptions, alone: Inspection) -> Inspection:
    """Adds the scans of a folder that are no DICOM series; one that is alone there is read.

    Args:
        given: the folder, as the user names it.
        options: for reading a single one.
        alone: the answer for the folder taken as one scan, which stands where there are none.
    """
    from vcam_client.batch import find_scans
    from vcam_client.batch._item import ItemKind

    folder = with_name(given).absolute()
    try:
        found = find_scans([folder])
    except InputError:
        return alone
    scans = [scan for scan in found if scan.kind is not ItemKind.DICOM]
    if not scans or _is_slices(folder, scans):
        return alone
    if len(found) == 1:
        return replace(_inspected(scans[0].path, options), left_out=found.left_out)
    keys = tuple(scan.key for scan in scans)
    if alone.series:
        return replace(alone, scans=keys, left_out=found.left_out)
    command = f"vcam-client predict {shlex.quote(str(given))} --out RESULTS"
    error = InputError(
        f"Expected one scan in {alone.name}, found {len(found)}. Name one of them, or score them "
        f"all with `{command}`."
    )
    return replace(alone, scans=keys, left_out=found.left_out, error=error)


def _is_slices(folder: Path, scans: Sequence[Any]) -> bool:
    """Whether a folder is read as the slices of one scan, not as scans."""
    if holds_dicom(folder):
        return False
    return any(s.path == folder for s in scans) or {kind_of(s.path) for s in scans} == {"picture"}


def describe(volume: Volume) -> dict[str, Any]:
    """Geometry, values and warnings of a volume, for JSON; statistics leave padding out."""
    real = _real_range(volume)
    return {
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing) if volume.spacing_known else None,
        "orientation": "".join(volume.orientation),
        "affine_ras_mm": (volume.affine + 0.0).tolist(),
        "units": volume.units or None,
        "modality": volume.modality or None,
        "dtype": str(volume.data.dtype),
        "minimum": real[0],
        "maximum": real[1],
        "padding": list(volume.padding) if volume.padding else None,
        "padding_share": real[2],
        "not_finite": real[3],
        "warnings": [*volume.warnings, *_unit_doubts(volume)],
    }


def _unit_doubts(volume: Volume) -> list[str]:
    """Whether a file that states Hounsfield units holds others."""
    wrong = not_hounsfield(volume) if volume.units == UNITS else ""
    return [f"The file states HU, but its values do not look like it: {wrong}."] if wrong else []


def _dicom(path: Path, options: ReadOptions) -> Inspection:
    from vcam_client import _dicom

    found = _dicom.find_series(path)
    facts = tuple(_dicom.facts_of(series, path, options) for series in found.series)
    chosen, volume, refusal = None, None, None
    try:
        series = _dicom.choose(found, path, options)
        chosen = series.number
        volume = without_nan(_dicom.read_series(series, path, options), options.nan)
    except VcamError as error:
        refusal = error
    return Inspection(
        name=path.name,
        series=facts,
        left_out=found.left_out,
        chosen=chosen,
        volume=volume,
        error=refusal,
        ambiguous=options.series is None and len(facts) > 1,
    )


def _single(path: Path, volume: Volume | None, error: VcamError | None) -> Inspection:
    return Inspection(
        name=path.name, series=(), left_out={}, chosen=None, volume=volume, error=error
    )


def _real_range(volume: Volume) -> tuple[float | None, float | None, float, int]:
    """Least and greatest real value, share of padding, number of values that aren't finite."""
    low, high, padded, broken = np.inf, -np.inf, 0, 0
    slowest = int(np.argmax(volume.data.strides))
    for plane in np.moveaxis(volume.data, slowest, 0):
        real = np.isfinite(plane) if plane.dtype.kind == "f" else np.ones(plane.shape, bool)
        broken += int(plane.size - real.sum())
        if volume.padding is not None:
            inside = (plane >= volume.padding[0]) & (plane <= volume.padding[1])
            padded += int(inside.sum())
            real &= ~inside
        values = plane[real]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    known = low <= high
    return low if known else None, high if known else None, padded / volume.data.size, broken
