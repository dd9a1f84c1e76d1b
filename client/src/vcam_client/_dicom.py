"""DICOM: one series, in one file or a folder, becomes a volume.

LPS+ becomes RAS+ here and nowhere else. Slices are ordered by their position
along the normal, never by InstanceNumber or file name, and their spacing comes
from positions, not from SliceThickness.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from vcam_client._options import ReadOptions
from vcam_client.errors import (
    CorruptFileError,
    InconsistentSeriesError,
    UnsupportedFormatError,
)
from vcam_client.volume import Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_SPACING_TOLERANCE = 0.02
"""Largest deviation of a slice distance from the typical one, as a share of it …"""
_SPACING_TOLERANCE_MM = 0.02
"""… or in millimetres: positions are often rounded to hundredths."""
_SAME_POSITION_MM = 1e-3
_TILT_TOLERANCE_DEG = 0.5
"""Largest angle between the stacking direction and the slice normal."""
_DIRECTION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within one series."""

_VOLUME_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
_RADIOGRAPH_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # DX, for processing
}
_LPS_OF_LETTER = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
"""Directions that PatientOrientation names (PS3.3 C.7.6.1.1.1), LPS+."""
_HEADER_TAGS = [
    "PatientOrientation",
    "SOPClassUID",
    "Modality",
    "ImageType",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SamplesPerPixel",
    "SliceThickness",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Slice:
    """What must be known of an instance before its pixels are read; LPS+ mm."""

    path: Path
    series: str
    modality: str
    shape: tuple[int, int]
    position: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.direction[:3], self.direction[3:])

    def belongs_with(self, other: "_Slice") -> bool:
        # an empty or shared SeriesInstanceUID must not mix volumes
        return (self.series, self.modality, self.shape) == (
            other.series,
            other.modality,
            other.shape,
        ) and bool(np.abs(self.direction - other.direction).max() < _DIRECTION_TOLERANCE)


def read_dicom(path: Path, options: ReadOptions) -> Volume:
    """Reads a DICOM file, or the one series of a folder (searched recursively).

    Raises:
        UnsupportedFormatError: no readable image, or a kind that is no volume.
        CorruptFileError: pixels that can't be decoded.
        InconsistentSeriesError: several series, missing or duplicate slices,
            mixed orientations, uneven spacing, gantry tilt.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    slices, skipped = _scan(files)
    if not slices:
        found = "; ".join(f"{n} × {reason}" for reason, n in Counter(skipped).items())
        raise UnsupportedFormatError(
            f"Found no CT, MR or radiograph that vcam reads in {path.name}: "
            f"{found or 'the folder is empty'}. Give a DICOM file or a folder with one series."
        )
    groups: list[list[_Slice]] = []
    for item in slices:
        mates = next((group for group in groups if item.belongs_with(group[0])), None)
        if mates is None:
            groups.append([item])
        else:
            mates.append(item)
    if len(groups) > 1:
        table = ", ".join(
            f"{len(g)} × {g[0].modality} {g[0].shape[1]}×{g[0].shape[0]}" for g in groups
        )
        raise InconsistentSeriesError(
            f"Expected one series in {path.name}, found {len(groups)}: {table}. "
            "Put the files of one series into a folder of their own."
        )
    ordered, step = _ordered(groups[0], path)
    return _volume(ordered, step, path)


def _scan(files: Sequence[Path]) -> tuple[list[_Slice], list[str]]:
    """The usable slices of some files, and the reasons why others are left out."""
    slices, skipped = [], []
    for file in files:
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
            slices.append(_slice(dataset, file))
        except (InvalidDicomError, EOFError):
            skipped.append("not DICOM")
        except _NoVolumeError as reason:
            skipped.append(str(reason))
        except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
            # pydicom raises these on damaged headers
            skipped.append(f"damaged header ({type(error).__name__})")
    return slices, skipped


class _NoVolumeError(Exception):
    """Why an instance is left out."""


def _slice(dataset: pydicom.Dataset, path: Path) -> _Slice:
    sop_class = str(dataset.get("SOPClassUID", ""))
    image_type = [str(v).upper() for v in dataset.get("ImageType", None) or []]
    radiograph = sop_class in _RADIOGRAPH_SOP_CLASSES
    # some anonymisers remove the SOP class; the modality and geometry then decide
    cross_section = sop_class in _VOLUME_SOP_CLASSES or (
        not sop_class and dataset.get("Modality") in _VOLUME_SOP_CLASSES.values()
    )
    if int(dataset.get("NumberOfFrames", 1) or 1) != 1:
        raise _NoVolumeError("a file of several frames (not read yet; convert it with dcm2niix)")
    if not cross_section and not radiograph:
        raise _NoVolumeError(UID(sop_class).name or "no SOP class")
    if "LOCALIZER" in image_type:
        raise _NoVolumeError("localizer")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise _NoVolumeError("colour")
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if radiograph:
        position, direction = [0, 0, 0], _projection_axes(dataset.get("PatientOrientation"))
        spacing = spacing or [1, 1]
    else:
        position = dataset.get("ImagePositionPatient")
        direction = dataset.get("ImageOrientationPatient")
        if position is None or direction is None or spacing is None:
            raise _NoVolumeError("no position, orientation or pixel spacing")
    row, column = (float(v) for v in spacing)
    return _Slice(
        path=path,
        series=str(dataset.get("SeriesInstanceUID", "")),
        modality=str(dataset.get("Modality", "")),
        shape=(int(dataset.Rows), int(dataset.Columns)),
        position=np.array([float(v) for v in position]),
        direction=np.array([float(v) for v in direction]),
        spacing=(row, column),
        thickness=float(dataset.get("SliceThickness", 0) or 0),
    )


def _projection_axes(codes: Any) -> list[int]:
    """Directions of rows and columns of a radiograph, from PatientOrientation.

    Without a usable one, the usual display of a frontal view: columns run to the
    patient's left, rows to the feet.
    """
    letters = [str(code)[:1].upper() for code in codes or []]
    if len(letters) != 2 or not all(letter in _LPS_OF_LETTER for letter in letters):
        letters = ["L", "F"]
    row, column = (_LPS_OF_LETTER[letter] for letter in letters)
    if any(a and b for a, b in zip(row, column, strict=True)):
        row, column = _LPS_OF_LETTER["L"], _LPS_OF_LETTER["F"]
    return [*row, *column]


def _ordered(slices: list[_Slice], path: Path) -> tuple[list[_Slice], NDArray[np.float64]]:
    """Slices along their normal, and the step from one to the next (LPS+ mm).

    With rows running along x and columns along y of the image, the third axis
    follows the normal.
    """
    first = slices[0]
    if not all(np.allclose(s.spacing, first.spacing, rtol=1e-4) for s in slices):
        raise InconsistentSeriesError(
            f"The slices of {path.name} have different pixel spacings. "
            "Put slices of one spacing into a folder of their own."
        )
    normal = first.normal
    along = np.array([float(s.position @ normal) for s in slices])
    order = np.argsort(along, kind="stable")
    ordered = [slices[i] for i in order]
    if len(ordered) == 1:
        return ordered, normal * (first.thickness if first.thickness > 0 else 1.0)
    gaps = np.diff(along[order])
    typical = float(np.median(gaps))
    same = gaps < max(_SPACING_TOLERANCE * typical, _SAME_POSITION_MM)
    if same.any():
        where = sorted({round(float(along[order][i]), 2) for i in np.flatnonzero(same)})
        raise InconsistentSeriesError(
            f"Several slices of {path.name} lie at the same position "
            f"({_listed(where)} mm along the normal). Keep one series, phase or time point."
        )
    tolerance = max(_SPACING_TOLERANCE * typical, _SPACING_TOLERANCE_MM)
    uneven = np.flatnonzero(np.abs(gaps - typical) > tolerance)
    if uneven.size:
        odd = [f"{gaps[i]:.3f} mm after {along[order][i]:.2f} mm" for i in uneven]
        raise InconsistentSeriesError(
            f"The slices of {path.name} are unevenly spaced: typically {typical:.3f} mm apart, but "
            f"{_listed(odd)}. Slices may be missing; complete the series or resample it."
        )
    step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > _TILT_TOLERANCE_DEG:
        raise InconsistentSeriesError(
            f"The slices of {path.name} are stacked {tilt:.1f}° off their normal (gantry tilt). "
            "Resample the series to a regular grid first."
        )
    return ordered, step


def _volume(slices: list[_Slice], step: NDArray[np.float64], path: Path) -> Volume:
    first = slices[0]
    rows, columns = first.shape
    data: NDArray[Any] | None = None
    for k, item in enumerate(slices):
        plane, integer = _plane(item)
        if data is None:
            data = np.empty((len(slices), rows, columns), np.int16 if integer else np.float32)
        elif data.dtype == np.int16 and not integer:
            data = data.astype(np.float32)
        data[k] = plane
    assert data is not None
    affine = np.eye(4)
    # a column index moves along the row direction, by the spacing between columns
    affine[:3, 0] = first.direction[:3] * first.spacing[1]
    affine[:3, 1] = first.direction[3:] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return Volume(
        data=data.transpose(2, 1, 0),
        affine=_LPS_TO_RAS @ affine,
        units="HU" if first.modality == "CT" else "",
        modality=first.modality,
        name=path.name if path.is_dir() else path.stem,
    )


def _plane(item: _Slice) -> tuple[NDArray[Any], bool]:
    """Physical values [rows, columns] of one instance, and whether int16 holds them."""
    try:
        dataset = pydicom.dcmread(item.path)
        stored = dataset.pixel_array
    except (AttributeError, EOFError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # pydicom and its plugins raise these on damaged or unknown pixel data
        raise CorruptFileError(
            f"The pixels of {item.path.name} can't be decoded: {error}. Copy the file again, or "
            "convert it to an uncompressed transfer syntax."
        ) from error
    if stored.shape != item.shape:
        raise CorruptFileError(
            f"{item.path.name} states {item.shape[1]}×{item.shape[0]} pixels and holds "
            f"{stored.shape}. Copy the file again."
        )
    slope = float(dataset.get("RescaleSlope", 1) or 1)
    intercept = float(dataset.get("RescaleIntercept", 0) or 0)
    if slope.is_integer() and intercept.is_integer():
        values = stored.astype(np.int64) * int(slope) + int(intercept)
        limits = np.iinfo(np.int16)
        if values.min() >= limits.min and values.max() <= limits.max:
            values = values.astype(np.int16)
        else:
            values = values.astype(np.float32)
    else:
        values = (stored * slope + intercept).astype(np.float32)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        bits = int(dataset.BitsStored)
        low, high = (
            (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            if dataset.get("PixelRepresentation", 0)
            else (0, 2**bits - 1)
        )
        values = (slope * (low + high) + 2 * intercept - values).astype(values.dtype)
    return values, values.dtype == np.int16


def _listed(items: Sequence[object], most: int = 4) -> str:
    text = ", ".join(map(str, items[:most]))
    return f"{text} and {len(items) - most} more" if len(items) > most else text
