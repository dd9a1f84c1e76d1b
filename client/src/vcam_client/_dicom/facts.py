"""What is worth knowing of a series before it is trusted: storage, geometry, quirks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from vcam_client._dicom.frame import Frame
from vcam_client._dicom.series import Series
from vcam_client._dicom.stack import Stack
from vcam_client._dicom.volume import lps_to_ras_affine, ordered_stack, units_of
from vcam_client._options import ReadOptions
from vcam_client._orientation import axis_codes
from vcam_client.errors import InputError

_DIFFERS = 0.01
"""Relative difference from which a stated distance contradicts the positions."""
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("50", "51", "53", "55", "81", "91", "203"))
"""Transfer syntaxes that are, or may be, lossy."""


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """One series, as far as its headers tell.

    Attributes:
        number: what `--series` takes.
        modality: such as "CT".
        files, shape: files, and columns × rows × slices.
        spacing_mm: along columns, rows, slices; None where it is not known.
        orientation: directions of the three axes, such as "LPS"; "" where unknown.
        units: "HU" or "".
        stored: type of the stored values.
        transfer_syntax: by name.
        quirks: what is unusual, in words.
        differs: what distinguishes it from other volumes of the same SeriesInstanceUID, or from
            similar ones where it has none or is a slice.
        refusal: why it can't be read; "" where it can.
        series_number: of the scanner.
        description, uid: may identify a patient, shown only when asked for.
    """

    number: int
    modality: str
    files: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    orientation: str
    units: str
    stored: str
    transfer_syntax: str
    quirks: tuple[str, ...]
    differs: tuple[str, ...]
    refusal: str
    series_number: str
    description: str
    uid: str


def facts_of(series: Series, path: Path, options: ReadOptions) -> SeriesFacts:
    """Facts of one series; a series that makes no volume has a refusal."""
    first = series.frames[0]
    stack, refusal = None, ""
    try:
        stack = ordered_stack(series, path, options)
    except InputError as error:
        refusal = str(error)
    instances = list(dict.fromkeys(frame.instance for frame in series.frames))
    syntaxes = {str(i.header.transfer_syntax) for i in instances}
    return SeriesFacts(
        number=series.number,
        modality=series.modality,
        files=len(instances),
        shape=series.shape,
        spacing_mm=_spacing(stack),
        orientation=_orientation(stack, first),
        units=units_of(first),
        stored=_stored(first),
        transfer_syntax=", ".join(sorted(UID(s).name for s in syntaxes)),
        quirks=(*_quirks(series, stack, syntaxes), *series.warnings),
        differs=series.differs,
        refusal=refusal,
        series_number=str(first.instance.dataset.get("SeriesNumber") or ""),
        description=str(first.instance.dataset.get("SeriesDescription") or ""),
        uid=series.uid,
    )


def _spacing(stack: Stack | None) -> tuple[float, float, float] | None:
    if stack is None or not stack.spacing_known:
        return None
    through = float(np.linalg.norm(stack.step))
    return stack.spacing[1], stack.spacing[0], through


def _orientation(stack: Stack | None, first: Frame) -> str:
    if stack is None or first.instance.unplaced:
        return ""
    return "".join(axis_codes(lps_to_ras_affine(first, stack.spacing, stack.step, first.position)))


def _stored(frame: Frame) -> str:
    instance = frame.instance
    kind = f"{'int' if instance.signed else 'uint'}{instance.bits_allocated}"
    used = instance.bits_stored
    return kind if used == instance.bits_allocated else f"{kind}, {used} bits used"


def _quirks(series: Series, stack: Stack | None, syntaxes: set[str]) -> list[str]:
    first, found = series.frames[0], list[str]()
    instances = list(dict.fromkeys(frame.instance for frame in series.frames))
    if not all(i.header.stated for i in instances):
        found.append("no file meta header: the transfer syntax is taken from the bytes")
    if not series.uid:
        found.append("the SeriesInstanceUID is empty")
    if not first.instance.dataset.get("SOPClassUID"):
        found.append("no SOP class: the modality decides")
    if len(syntaxes) > 1:
        found.append("several transfer syntaxes")
    lossy = any(i.dataset.get("LossyImageCompression") == "01" for i in instances)
    if lossy or syntaxes & _LOSSY:
        found.append("lossy compression")
    if first.instance.monochrome1:
        found.append("MONOCHROME1: inverted, so that high values are bright")
    if first.instance.padding is not None:
        low, high = first.instance.padding
        value = str(low) if low == high else f"{low} to {high}"
        found.append(f"padding, stored as {value}, is kept out of resampling and statistics")
    if len({(f.slope, f.intercept) for f in series.frames}) > 1:
        found.append("each slice has a rescale of its own")
    if series.modality == "CT" and not units_of(first):
        kind = f"rescale type {first.rescale_type}" if first.rescale_type else "no whole rescale"
        found.append(f"{kind}: values are not known to be Hounsfield units")
    if first.instance.radiograph and not first.instance.dataset.get("PatientOrientation"):
        found.append("no PatientOrientation: taken as a frontal view")
    return found + (_geometry_quirks(stack) if stack is not None else [])


def _geometry_quirks(stack: Stack) -> list[str]:
    found, first = list[str](), stack.frames[0]
    if first.instance.unplaced:
        return ["no position or orientation: slices in their stored order"]
    if len(stack.frames) == 1:
        return found
    gap = float(np.median(np.diff(stack.along)))
    if stack.tilted:
        found.append(f"gantry tilt of {stack.tilt_deg:.1f}°")
    if stack.crooked:
        found.append("slices are shifted sideways, not on one straight line")
    elif not stack.even:
        gaps = np.diff(stack.along)
        found.append(f"uneven spacing, {gaps.min():.3g} to {gaps.max():.3g} mm")
    stated = first.instance.dataset.get("SpacingBetweenSlices")
    if stated and abs(float(stated) - gap) > _DIFFERS * gap:
        found.append(f"states {float(stated):g} mm between slices, positions say {gap:.4g} mm")
    if first.thickness and abs(first.thickness - gap) > _DIFFERS * gap:
        relation = "overlapping" if first.thickness > gap else "with gaps"
        found.append(f"slices {first.thickness:g} mm thick every {gap:.4g} mm ({relation})")
    numbers = [f.instance.dataset.get("InstanceNumber") for f in stack.frames]
    if all(isinstance(n, int | float) for n in numbers) and len(set(numbers)) > 1:
        steps = np.diff([float(n) for n in numbers])
        if (steps < 0).all():
            found.append("InstanceNumber runs against the normal")
        elif not (steps > 0).all():
            found.append("InstanceNumbers do not follow the positions")
    return found
