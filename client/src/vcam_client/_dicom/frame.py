"""The frames of an instance: where each lies, and how its values are to be taken. LPS+ mm."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.elements import damaged, number, numbers, shown
from vcam_client._dicom.header import Header
from vcam_client._dicom.instance import Groups, Instance, NoVolumeError, instance_of
from vcam_client._dicom.marks import marks_of
from vcam_client._quiet import quiet
from vcam_client.errors import CorruptFileError, VcamError

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Where the distance of pixels is stated, the one at the patient first."""
_LARGEST_MM = 1e6
"""Beyond any scanner: farther, larger and thicker is damage."""
_LEAST_SPACING_MM = 1e-5
_LARGEST_RESCALE = 1e28
"""Times any 32-bit value, it is still a float32."""
_LPS_OF_LETTER = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
"""Directions that PatientOrientation names (PS3.3 C.7.6.1.1.1), LPS+."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One image and its place; LPS+ millimetres.

    Attributes:
        instance, index: where its pixels are.
        position: centre of the first pixel.
        direction: cosines of the row, then of the column.
        spacing: between rows, between columns; None where it is not stated.
        thickness: 0 where it is not stated.
        slope: of the rescale; None where no rescale is stated, 1 where only an intercept is.
        intercept: of the rescale; None where it is not stated.
        rescale_type: "HU", "US", … or "".
        table_type: the same of a modality table.
        decimal_commas: keywords of functional groups whose numbers have them.
        marks: values of what may tell volumes apart.
    """

    instance: Instance
    index: int
    position: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing: tuple[float, float] | None
    thickness: float
    slope: float | None
    intercept: float | None
    rescale_type: str
    table_type: str
    decimal_commas: tuple[str, ...]
    marks: dict[str, str] = field(repr=False)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector; a volume's third axis follows it."""
        return np.cross(self.direction[:3], self.direction[3:])

    @property
    def units(self) -> str:
        """ "HU" only where the file says how to get Hounsfield units; else ""."""
        stated = self.intercept is not None or self.rescale_type == "HU"
        is_hu = self.instance.modality == "CT" and stated and self.rescale_type in ("", "HU")
        return "HU" if is_hu else ""


def frames_of(header: Header) -> list[Frame]:
    """The frames of an instance.

    Raises:
        NoVolumeError: it holds no part of a volume.
        CorruptFileError: its header contradicts itself.
        InputError: more voxels than the limit.
    """
    try:
        with quiet():
            instance = instance_of(header)
            return [_frame(instance, n) for n in range(instance.frames)]
    except (VcamError, NoVolumeError):
        raise
    except Exception as error:
        # an element is missing, empty, or of another kind than the standard says; pydicom
        # raises nearly anything on damaged elements of sequences
        raise CorruptFileError(
            "damaged header (an element is missing, or of another kind than DICOM says)"
        ) from error


def _frame(instance: Instance, n: int) -> Frame:
    header = instance.header
    look = Groups(header, n)
    if instance.radiograph:
        codes = header.value("PatientOrientation")
        position, direction = (0.0, 0.0, 0.0), _projection_axes(codes)
    elif instance.unplaced:
        position, direction = (0.0, 0.0, float(n)), (1, 0, 0, 0, 1, 0)
    else:
        position, direction = _place(header, look, n)
    thickness = look("PixelMeasuresSequence", "SliceThickness") or header.value("SliceThickness")
    return Frame(
        instance=instance,
        index=n,
        position=_point(position),
        direction=_unit_directions(direction),
        spacing=_spacing(header, look),
        thickness=_thickness(thickness),
        **_rescale(header, look),
        table_type=_table_type(header),
        marks=marks_of(instance.dataset, look),
        decimal_commas=tuple(look.decimal_commas),
    )


def _place(header: Header, look: Groups, n: int) -> tuple[Any, Any]:
    """Position and directions of a frame, LPS+."""
    direction = look("PlaneOrientationSequence", "ImageOrientationPatient")
    position = look("PlanePositionSequence", "ImagePositionPatient")
    if direction is None:
        direction = header.value("ImageOrientationPatient")
    if position is not None:
        return position, direction
    first = _point(header.value("ImagePositionPatient"))
    offset = _classic_offset(header, n)
    cosines = _unit_directions(direction)
    return first + offset * np.cross(cosines[:3], cosines[3:]), direction


def _classic_offset(header: Header, n: int) -> float:
    """Distance along the normal of a frame of a classic multi-frame image."""
    offsets = numbers(header.value("GridFrameOffsetVector"), "GridFrameOffsetVector")
    if n < len(offsets):
        return offsets[n] - offsets[0]
    return n * (number(header.value("SpacingBetweenSlices"), "SpacingBetweenSlices") or 0.0)


def _spacing(header: Header, look: Groups) -> tuple[float, float] | None:
    """The first spacing that is stated; two zeros state none."""
    stated = [("PixelSpacing", look("PixelMeasuresSequence", "PixelSpacing"))]
    stated += [(keyword, header.value(keyword)) for keyword in _SPACINGS]
    for keyword, value in stated:
        pair = numbers(value, keyword)
        if len(pair) == 1:
            raise damaged(keyword, "has 1 value, not 2")
        if len(pair) != 2 or pair == [0, 0]:
            continue
        if not all(_LEAST_SPACING_MM < v < _LARGEST_MM for v in pair):
            raise damaged(keyword, f"is {shown(pair)}, not two distances in millimetres")
        return pair[0], pair[1]
    return None


def _thickness(value: Any) -> float:
    thickness = abs(number(value, "SliceThickness") or 0.0)
    if not thickness < _LARGEST_MM:
        raise damaged("SliceThickness", f"is {thickness:g} mm")
    return thickness


def _rescale(header: Header, look: Groups) -> dict[str, Any]:
    group = "PixelValueTransformationSequence"
    slope, intercept = (number(look(group, k), k) for k in ("RescaleSlope", "RescaleIntercept"))
    kind = look(group, "RescaleType")
    if slope is None and intercept is None:
        slope, intercept = (
            number(header.value(k), k) for k in ("RescaleSlope", "RescaleIntercept")
        )
        kind = header.value("RescaleType")
    stated = slope is not None or intercept is not None
    # a slope of 0 would wipe the image out; it is written where none is meant
    a, b = slope or 1.0, intercept or 0.0
    for keyword, value in (("RescaleSlope", a), ("RescaleIntercept", b)):
        if not abs(value) < _LARGEST_RESCALE:
            raise damaged(keyword, f"is {value:g}")
    return {
        "slope": a if stated else None,
        "intercept": intercept,
        "rescale_type": str(kind or "").upper(),
    }


def _table_type(header: Header) -> str:
    table = header.value("ModalityLUTSequence")
    return str(table[0].get("ModalityLUTType") or "").upper() if table else ""


def _point(value: Any) -> NDArray[np.float64]:
    point = np.array(_coordinates(value, "ImagePositionPatient", 3))
    if not (np.abs(point) < _LARGEST_MM).all():
        raise damaged("ImagePositionPatient", f"is {shown(point)}, no place of a scanner")
    return point


def _coordinates(value: Any, keyword: str, count: int) -> list[float]:
    found = numbers(value, keyword, count)
    if not found:
        raise damaged(keyword, "is missing")
    return found


def _unit_directions(value: Any) -> NDArray[np.float64]:
    direction = np.array(_coordinates(value, "ImageOrientationPatient", 6))
    if not np.isfinite(direction).all():
        raise damaged("ImageOrientationPatient", f"is {shown(direction)}")
    row, column = direction[:3], direction[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.5 or abs(row @ column) > 0.1 * lengths[0] * lengths[1]:
        what = f"is {shown(direction)}: rows and columns that are not perpendicular"
        raise damaged("ImageOrientationPatient", what)
    return np.concatenate([row / lengths[0], column / lengths[1]])


def _projection_axes(codes: Any) -> Sequence[int]:
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
