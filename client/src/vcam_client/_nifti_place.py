"""Where a NIfTI header puts its voxels; what writers leave wrong is repaired as nibabel does."""

from dataclasses import dataclass
from typing import Any

import nibabel  # noqa: F401  (see `_mgh`)
import numpy as np
from nibabel.nifti1 import xform_codes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from vcam_client.errors import CorruptFileError, InputError

_SPACE_UNIT = 0b111
"""The bits of xyzt_units that name the unit of length."""
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres of NIFTI_UNITS_METER, _MM and _MICRON; millimetres where none is stated."""
_SINGULAR = 1e-9
"""|determinant| of the unit directions of an sform below which its axes are degenerate."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NiftiPlace:
    """The place of the voxels of a NIfTI file.

    Attributes:
        affine: float64 [4, 4], voxel index to RAS+ mm of the voxel centre.
        header: the header with its repaired fields; what nibabel, FSL and others read from
            it is `affine`.
        warnings: what was assumed, in sentences.
    """

    affine: NDArray[np.float64]
    header: Any
    warnings: tuple[str, ...]


def place_of(header: Any, name: str, *, strict: bool) -> NiftiPlace:
    """Reads the place of voxels from a header of nibabel, which stays as it is.

    Args:
        header: NIfTI-1 or NIfTI-2.
        name: the file.
        strict: refuse a place that rests on an assumption.

    Raises:
        CorruptFileError: no quaternion.
        InputError: a voxel size of 0 along several voxels, or, with `strict`, a warning.
    """
    header = header.copy()
    warnings = [*_known_codes(header), *_regular_sform(header)]
    if header["sform_code"] == 0:
        warnings += _sizes(header, name)
        if header["qform_code"] == 0:
            warnings.append(
                "No sform and no qform (both codes are 0): the file doesn't say left from right. "
                "Columns are taken to run to the left, as by nibabel and FSL; nifti1.h would have "
                "them run to the right."
            )
    else:
        _unused_sizes(header)
    if warnings and strict:
        raise InputError(
            f"With --strict, the place of {name} is not assumed. {' '.join(warnings)} "
            "Leave --strict out, or repair the header."
        )
    try:
        affine = np.array(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError) as error:
        raise CorruptFileError(
            f"The orientation in {name} can't be read: {error}. Repair its qform."
        ) from error
    with np.errstate(over="ignore"):  # a volume refuses what is not finite
        affine[:3] *= _MM_PER_UNIT.get(int(header["xyzt_units"]) & _SPACE_UNIT, 1.0)
    return NiftiPlace(affine=affine, header=header, warnings=tuple(warnings))


def _known_codes(header: Any) -> list[str]:
    """Sets codes that NIfTI doesn't know to 0: such a matrix is not used."""
    warnings = []
    for field in ("sform_code", "qform_code"):
        code = int(header[field])
        if code in xform_codes.value_set():
            continue
        header[field] = 0
        if code > 0:
            warnings.append(
                f"The {field} is {code}, not one of 0 to 5: that matrix is left out, as by "
                "nibabel; nifti1.h and FSL would use it."
            )
    return warnings


def _regular_sform(header: Any) -> list[str]:
    """Leaves out an sform that is singular, or completes that of a single slice."""
    if header["sform_code"] == 0:
        return []
    columns = np.asarray(header.get_sform(), np.float64)[:3, :3]
    if not np.isfinite(columns).all() or _spans(columns):
        return []  # a volume refuses what is not finite
    if header["qform_code"] == 0 and _slices(header) == 1:
        normal = np.cross(columns[:, 0], columns[:, 1])
        thickness = abs(float(header["pixdim"][3])) or 1.0
        length = float(np.linalg.norm(normal))
        if length > 0:
            columns[:, 2] = normal / length * thickness
        if _spans(columns):
            for row, field in zip(columns, ("srow_x", "srow_y", "srow_z"), strict=True):
                header[field][2] = row[2]
            return ["The sform gives its slice no normal: it is taken at right angles."]
    header["sform_code"] = 0
    used = "the qform is" if header["qform_code"] != 0 else "the voxel sizes alone are"
    return [f"The sform is singular: {used} used in its place."]


def _spans(columns: NDArray[np.float64]) -> bool:
    with np.errstate(all="ignore"):  # what overflows is refused by a volume
        lengths = np.linalg.norm(columns, axis=0)
        return bool(lengths.all() and abs(np.linalg.det(columns / lengths)) > _SINGULAR)


def _slices(header: Any) -> int:
    return int(header["dim"][3]) if header["dim"][0] >= 3 else 1


def _sizes(header: Any, name: str) -> list[str]:
    """Makes pixdim what a qform, or the place without one, needs.

    qfac becomes 1 where it is neither 1 nor -1 (nifti1.h: "If pixdim[0]=0.0 […] we take
    qfac=1"), sizes become positive, and the thickness of a single slice 1 where it is 0.
    """
    warnings = []
    pixdim = header["pixdim"]
    if pixdim[0] not in (-1, 1):
        if pixdim[0] < 0 and header["qform_code"] != 0:
            warnings.append(
                f"pixdim[0], the handedness, is {float(pixdim[0]):g}: it is taken as 1, as by "
                "nibabel; nifti1.h and FSL would take -1, which turns the slices over."
            )
        pixdim[0] = 1
    for axis in range(1, 4):
        size, voxels = float(pixdim[axis]), int(header["dim"][axis])
        if size == 0:
            if header["dim"][0] >= axis and voxels > 1:
                raise InputError(
                    f"Expected voxel sizes above 0, {name} states pixdim[{axis}] = 0 along "
                    f"{voxels} voxels and no sform. Repair its pixdim."
                )
            pixdim[axis] = 1
        elif size < 0:
            pixdim[axis] = -size
            warnings.append(
                f"pixdim[{axis}], a voxel size, is {size:g}: it is taken as {-size:g}, as by "
                "nibabel and FSL; nifti1_io would take 1."
            )
    return warnings


def _unused_sizes(header: Any) -> None:
    """The same where the sform is used: nothing depends on them, so there is nothing to say."""
    pixdim = header["pixdim"]
    if pixdim[0] not in (-1, 1):
        pixdim[0] = 1
    pixdim[1:4] = np.where(pixdim[1:4] == 0, 1, np.abs(pixdim[1:4]))
