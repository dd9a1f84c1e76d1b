"""A volume: voxels with their place in the world."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._orientation import axis_codes
from vcam_client.errors import InputError

_SINGULAR = 1e-9
"""|determinant| of the direction columns below which an affine is no geometry."""
_ROUNDING = 1e-9
"""Largest error of an affine's last row, as matrix products leave it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A 3-D array of physical values with the affine of its voxel centres.

    A radiograph is a volume of one slice. Valid once it exists, and its arrays are read-only:
    `data` is a view of the array that was passed, `affine` a copy.

    Attributes:
        data: real numbers [I, J, K], physical values (Hounsfield units for CT).
        affine: float64 [4, 4], voxel index (i, j, k) to RAS+ millimetres of the
            voxel centre; its last row is 0 0 0 1.
        units: "HU" where the file says so, else "".
        modality: DICOM modality ("CT", "MR", "DX", …), "" where unknown.
        name: stem for the names of result files; never a patient's name.
        padding: lowest and highest value that mean "nothing was measured here"
            (DICOM's pixel padding), in the type of `data`; such voxels are in `data`,
            but kept out of resampling and statistics. None where all voxels are real.
        warnings: what a user should know of how it was read, in sentences.
        spacing_known: False where nothing states the distance between pixels (a picture);
            the affine then has 1 mm for the sake of the axes, and nothing reports
            millimetres.
        anatomical: False where nothing says how the axes lie in a patient (laboratory
            files, pictures, DICOM without positions): directions are then a convention.
        slowest_first: whether `data` is [slices, rows, columns], as arrays have it: its first
            axis is the slowest one, for models without anatomy.
        is_projection: whether it is a radiograph: its one slice has no thickness, so that
            nothing reports a volume.
        is_picture: whether it came from a picture (PNG, JPEG, …), so that its heatmap is
            written as a picture, too.
        nifti_header: the geometry of the NIfTI file it was read from, so that
            results carry it unchanged; None for other sources.

    Raises:
        InputError: the array is not 3-D, plain and real, the affine is not real, 4×4 and
            regular, or padding is not two numbers that voxels of this type can hold.
    """

    data: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64]
    units: str = ""
    modality: str = ""
    name: str = "volume"
    padding: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    spacing_known: bool = True
    anatomical: bool = True
    slowest_first: bool = False
    is_projection: bool = False
    is_picture: bool = False
    nifti_header: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.data, np.ma.MaskedArray):
            raise InputError(
                "Expected a plain array, received a masked one, whose mask would be lost. Give the "
                "array itself as a scan, or fill it and state that value as padding."
            )
        data = self.data
        if not isinstance(data, np.ndarray):
            raise InputError(
                f"Expected a NumPy array of voxels, received {type(data).__name__}. Make it one "
                "with numpy.asarray."
            )
        if data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "iufb":
            raise InputError(
                "Expected a 3-D array of real numbers, received "
                f"{data.dtype} {data.shape}. Choose one volume of scalar voxels."
            )
        object.__setattr__(self, "data", _read_only(data.view(np.ndarray)))
        object.__setattr__(self, "affine", _read_only(_checked_affine(self.affine)))
        if self.padding is not None:
            object.__setattr__(self, "padding", _in_type(self.padding, data.dtype))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along i, j and k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def orientation(self) -> tuple[str, str, str]:
        """The closest anatomical direction of i, j and k, such as ("R", "A", "S")."""
        return axis_codes(self.affine)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def world(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """RAS+ millimetres of a (fractional) voxel index (i, j, k)."""
        x, y, z = self.affine[:3, :3] @ np.asarray(index, np.float64) + self.affine[:3, 3]
        return float(x), float(y), float(z)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _checked_affine(given: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = _real(given)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError("Expected a finite 4×4 affine. Repair the geometry of the file.")
    if np.abs(affine[3] - (0, 0, 0, 1)).max() > _ROUNDING:
        raise InputError(
            f"Expected an affine whose last row is 0 0 0 1, received {affine[3].tolist()}. "
            "Repair the geometry of the file, or transpose the affine if it is in row-vector form."
        )
    affine[3] = 0, 0, 0, 1
    with np.errstate(all="ignore"):  # what overflows is refused below
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        spread = abs(np.linalg.det(affine[:3, :3] / lengths)) if lengths.all() else 0.0
    if not spread >= _SINGULAR:  # NaN neither
        raise InputError(
            f"Expected voxel axes that span space, received spacing {lengths.tolist()} mm with "
            "degenerate directions. Repair the geometry (pixdim, sform) of the file."
        )
    return affine


def _real(given: Any) -> NDArray[np.float64]:
    """A copy of an affine, float64; nothing of it is lost on the way."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise _no_affine("rows of different lengths") from error
    if np.ma.is_masked(given):
        raise _no_affine("masked ones")
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex ones", "U": "texts", "S": "texts"}
        raise _no_affine(kinds.get(array.dtype.kind, "something else"))
    with np.errstate(over="ignore"):  # what overflows is refused as not finite
        return np.array(array, np.float64)


def _no_affine(received: str) -> InputError:
    return InputError(
        f"Expected a 4×4 affine of real numbers, received {received}. Give a NumPy array of "
        "float64, or four lists of four numbers."
    )


def _in_type(padding: Any, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Both ends as voxels of this type hold them: a float32 is compared with a float32."""
    ends = tuple(padding) if isinstance(padding, tuple | list | np.ndarray) else ()
    if len(ends) != 2 or not all(isinstance(end, Real | np.bool_) for end in ends):
        what = f"{len(ends)} values" if len(ends) > 2 else f"{padding!r:.60}"
        raise InputError(
            "Expected the lowest and the highest value of padding as two real numbers, received "
            f"{what}. Give one value twice, or None where all voxels are real."
        )
    low, high = map(_as_float, ends)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            low, high = (float(dtype.type(v)) for v in (low, high))
        fits = math.isfinite(low) and math.isfinite(high)
    else:
        least, most = (0, 1) if dtype.kind == "b" else _ends(dtype)
        fits = all(v.is_integer() and least <= v <= most for v in (low, high))
    if not (fits and low <= high):
        raise InputError(
            "Expected the lowest and the highest value of padding, which voxels of type "
            f"{dtype} can hold, received {low} and {high}. Choose others, or "
            "convert the voxels to a wider type."
        )
    return low, high


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond all floats
        return math.inf if number > 0 else -math.inf


def _ends(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
