"""One series becomes a volume."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.frame import Frame
from vcam_client._dicom.pixels import read_voxels
from vcam_client._dicom.regular import regular
from vcam_client._dicom.rescale import refuse_mixed_values
from vcam_client._dicom.series import SERIES_NUMBER, Found, Series, find_series
from vcam_client._dicom.stack import Stack, stack, unplaced_stack
from vcam_client._limits import check_voxels
from vcam_client._options import ReadOptions
from vcam_client.errors import (
    CorruptFileError,
    InconsistentSeriesError,
    InputError,
    UnsupportedFormatError,
)
from vcam_client.volume import Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST_ROWS = 30
_ADVICE = (
    "Give a scan: a NIfTI, DICOM, NRRD, MetaImage or MGH file, a folder, zip or DICOMDIR with a "
    "DICOM series, a TIFF stack or the folder of its slices, an array (.npy) or a picture."
)
_ADVICE_DAMAGED = "Copy or export the scan again, or repair its header."
_ADVICE_NIFTI = "Name one of the NIfTI files: each is a scan of its own."
_SUFFIXES = (".dcm", ".dicom", ".ima", ".img", ".zip")
_MOST_REASONS = 5


def read_dicom(path: Path, options: ReadOptions) -> Volume:
    """Reads one series of a file, a folder (searched recursively), a zip archive or a DICOMDIR.

    Raises:
        UnsupportedFormatError: nothing that is a volume or a radiograph.
        CorruptFileError: damaged headers or pixels.
        InconsistentSeriesError: several series and none chosen, missing or duplicate
            slices; with `strict`, tilted or unevenly spaced ones.
        InputError: no such series, no spacing, or more voxels than the limit.
    """
    found = find_series(path)
    volume = read_series(choose(found, path, options), path, options)
    if found.damaged:
        left_out = (
            f"Files of {path.name} were left out, damaged ones among them: {_reasons(found)}."
        )
        volume = replace(volume, warnings=(*volume.warnings, left_out))
    return volume


def choose(found: Found, path: Path, options: ReadOptions) -> Series:
    """The series that is wanted: the only one, or the one that `options` names."""
    if not found.series:
        raise _nothing(found, path)
    if options.volume_index is not None:
        raise InputError(
            f"{path.name} is DICOM; its volumes are series. Choose one with --series, and leave "
            "out --volume-index."
        )
    wanted = options.series
    if wanted is None:
        if len(found.series) == 1:
            return found.series[0]
        raise InconsistentSeriesError(
            f"Expected one series in {path.name}, found {_many(found.series)}:\n"
            f"{table(found.series)}\nChoose one with --series NUMBER."
        )
    matching = [s for s in found.series if wanted == str(s.number)]
    matching = matching or [s for s in found.series if s.uid and s.uid == wanted]
    if len(matching) == 1:
        return matching[0]
    what = "several volumes of that series" if matching else "no such series"
    raise InputError(
        f"Expected --series to name one series of {path.name}, found {what}:\n"
        f"{table(matching or found.series)}\nGive the number of its row."
    )


def _many(series: Sequence[Series]) -> str:
    one_uid = len({item.uid for item in series}) == 1
    planes = {_plane(item.frames[0]) for item in series}
    mixed = f" of mixed orientations ({', '.join(sorted(planes))}) under one UID"
    return f"{len(series)}{mixed if one_uid and len(planes) > 1 else ''}"


def table(series: Iterable[Series]) -> str:
    """A row for each series: number, modality, size, spacing and orientation."""
    rows = []
    for item in series:
        columns, lines, slices = item.shape
        spacing = item.frames[0].spacing
        pixel = f"{spacing[1]:.3g}×{spacing[0]:.3g} mm" if spacing else "spacing unknown"
        number = str(item.frames[0].instance.dataset.get("SeriesNumber") or "")
        number = number if SERIES_NUMBER.fullmatch(number) else "–"
        rows.append(
            f"  {item.number:>3}  {item.modality:<2}  {slices:>4} × {columns}×{lines}  {pixel}  "
            f"{_plane(item.frames[0])}  (series number {number})"
            f"{'  ' if item.differs else ''}{', '.join(item.differs)}"
        )
    more = len(rows) - _MOST_ROWS
    return "\n".join([*rows[:_MOST_ROWS], *([f"  … and {more} more"] if more > 0 else [])])


def read_series(series: Series, path: Path, options: ReadOptions) -> Volume:
    """Decodes one series; see `read_dicom`."""
    columns, rows, slices = series.shape
    check_voxels((columns, rows, slices), path.name)
    first = series.frames[0]
    ordered = ordered_stack(series, path, options)
    warnings = [*ordered.warnings, *_remarks(series.frames)]
    if not ordered.regular and options.strict:
        raise InconsistentSeriesError(
            f"{path.name} is {_irregularity(ordered)}; with --strict it is not resampled. "
            "Leave --strict out, or resample it to a regular grid yourself."
        )
    voxels = read_voxels(ordered.frames)
    origin, step = ordered.frames[0].position, ordered.step
    if not ordered.regular:
        grid = regular(ordered, voxels, series.modality, path.name)
        voxels, origin, step = grid.voxels, grid.origin, grid.step
        warnings.append(
            f"The series is {_irregularity(ordered)}; it was resampled to a regular grid of "
            f"{'×'.join(map(str, voxels.data.shape[::-1]))} voxels, "
            f"{float(np.linalg.norm(step)):.3g} mm from slice to slice. The heatmap lies on that."
        )
    return Volume(
        data=voxels.data.transpose(2, 1, 0),
        affine=lps_to_ras_affine(first, ordered.spacing, step, origin),
        units=units_of(first),
        modality=series.modality,
        name=_name(path, options),
        padding=voxels.padding,
        warnings=tuple(warnings),
        spacing_known=ordered.spacing_known,
        anatomical=not first.instance.unplaced,
        is_projection=first.instance.radiograph,
    )


def ordered_stack(series: Series, path: Path, options: ReadOptions) -> Stack:
    """The frames of a series in order, whose values mean the same.

    Raises:
        UnsupportedFormatError: it does not say where its pixels lie.
        InconsistentSeriesError: positions twice, missing slices, or some that say otherwise
            than the rest what their values mean.
        InputError: a spacing is given, and the file states another.
    """
    ordered = _ordered(series, path, options)
    refuse_mixed_values(series.frames, path.name)
    return ordered


def _ordered(series: Series, path: Path, options: ReadOptions) -> Stack:
    first = series.frames[0]
    instance, given = first.instance, options.spacing
    if instance.unplaced:
        if options.strict:
            raise UnsupportedFormatError(
                f"{path.name} states no position or orientation of its slices; with --strict they "
                "are not taken as they are stored. Leave --strict out, or repair the header."
            )
        unplaced = unplaced_stack(series.frames, given)
        return replace(unplaced, warnings=(*series.warnings, *unplaced.warnings))
    spacing, known = first.spacing, first.spacing is not None or given is not None
    if spacing is not None and given is not None:
        raise InputError(
            f"{path.name} states its own spacing, {spacing[1]:g}×{spacing[0]:g} mm within a slice. "
            "Leave out --spacing."
        )
    if spacing is None and given is not None:
        spacing = given[1], given[0]
    if spacing is None and not instance.radiograph:
        raise UnsupportedFormatError(
            f"{path.name} does not say how far apart its pixels are. If you know it, give it with "
            "--spacing."
        )
    ordered = stack(series.frames, spacing or (1.0, 1.0), path.name)
    return replace(ordered, spacing_known=known, warnings=(*series.warnings, *ordered.warnings))


def _remarks(frames: Sequence[Frame]) -> list[str]:
    """What the headers say in another way than DICOM does."""
    headers = dict.fromkeys(frame.instance.header for frame in frames)
    remarks = []
    if stored_as := frames[0].instance.stored_as:
        remarks.append(
            f"The scan is stored as {stored_as}. Its modality, position, orientation and spacing "
            f"are those of {frames[0].instance.modality} slices, and it is read as such."
        )
    commas = {k for header in headers for k in header.settled.decimal_commas}
    commas |= {k for frame in frames for k in frame.decimal_commas}
    if commas:
        remarks.append(f"Decimal commas were read as points, in {', '.join(sorted(commas))}.")
    shifted = sum(header.shift != 0 for header in headers)
    if shifted:
        which = f"{shifted} of {len(headers)} files" if len(headers) > 1 else "The file"
        remarks.append(
            f"{which} had a byte too many or too few at the start, as if cut out badly. What "
            "follows is DICOM and was read."
        )
    return remarks


def lps_to_ras_affine(
    frame: Frame,
    spacing: tuple[float, float],
    step: NDArray[np.float64],
    origin: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Voxel (column, row, slice) to RAS+ mm, from directions, step and origin in LPS+."""
    affine = np.eye(4)
    # a column index moves along the row direction, by the spacing between columns
    affine[:3, 0] = frame.direction[:3] * spacing[1]
    affine[:3, 1] = frame.direction[3:] * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    ras: NDArray[np.float64] = _LPS_TO_RAS @ affine
    return ras


def units_of(frame: Frame) -> str:
    """Hounsfield units only where the file says how to get them."""
    return frame.units


def _irregularity(ordered: Stack) -> str:
    parts = []
    if ordered.tilted:
        parts.append(f"stacked {ordered.tilt_deg:.1f}° off its normal (gantry tilt)")
    if ordered.crooked:
        parts.append("shifted sideways from slice to slice")
    elif not ordered.even:
        gaps = np.diff(ordered.along)
        parts.append(f"unevenly spaced ({gaps.min():.3g} to {gaps.max():.3g} mm)")
    return " and ".join(parts)


def _plane(frame: Frame) -> str:
    """The closest anatomical plane."""
    if frame.instance.radiograph:
        return "radiograph"
    if frame.instance.unplaced:
        return "unplaced"
    axis = int(np.argmax(np.abs(frame.normal)))
    return ("sagittal", "coronal", "axial")[axis]


def _name(path: Path, options: ReadOptions) -> str:
    stem = path.stem if path.is_file() and path.suffix.lower() in _SUFFIXES else path.name
    return f"{stem}_series{options.series}" if (options.series or "").isdigit() else stem


def _nothing(found: Found, path: Path) -> InputError:
    reasons = _reasons(found, alone=path.is_file())
    kind = CorruptFileError if found.damaged else UnsupportedFormatError
    advice = _ADVICE_NIFTI if "NIfTI" in reasons else _ADVICE
    if found.damaged:
        is_list = "DirectoryRecordSequence" in reasons
        advice = "Give the folder instead." if is_list else _ADVICE_DAMAGED
    return kind(
        f"Found no CT, MR or radiograph that vcam reads in {path.name}: "
        f"{reasons or 'the folder is empty'}. {advice}"
    )


def _reasons(found: Found, *, alone: bool = False) -> str:
    """Why files were left out, the most frequent reasons; `alone` where there is but one file."""
    counted = found.left_out.most_common()
    shown = [reason if alone and n == 1 else f"{n} × {reason}" for reason, n in counted]
    more = len(shown) - _MOST_REASONS
    return "; ".join([*shown[:_MOST_REASONS], *([f"{more} other reasons"] if more > 0 else [])])
