"""A volume: voxels with their place in the world."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._orientation import axis_codes
from vcam_client.errors import InputError

_SINGULAR = 1e-9
"""|determinant| of the direction columns below which an affine is no geometry."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A 3-D array of physical values with the affine of its voxel centres.

    A radiograph is a volume of one slice. Valid once it exists.

    Attributes:
        data: real numbers [I, J, K], physical values (Hounsfield units for CT).
        affine: float64 [4, 4], voxel index (i, j, k) to RAS+ millimetres of the
            voxel centre.
        units: "HU" where the file says so, else "".
        modality: DICOM modality ("CT", "MR", "DX", …), "" where unknown.
        name: stem for the names of result files; never a patient's name.
        padding: lowest and highest value that mean "nothing was measured here"
            (DICOM's pixel padding); such voxels are in `data`, but kept out of
            resampling and statistics. None where all voxels are real.
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
        InputError: the array is not 3-D, plain and real, or the affine is not regular.
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
        if self.data.ndim != 3 or 0 in self.data.shape or self.data.dtype.kind not in "iufb":
            raise InputError(
                "Expected a 3-D array of real numbers, received "
                f"{self.data.dtype} {self.data.shape}. Choose one volume of scalar voxels."
            )
        affine = np.asarray(self.affine, np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError("Expected a finite 4×4 affine. Repair the geometry of the file.")
        with np.errstate(all="ignore"):  # what overflows is refused below
            lengths = np.linalg.norm(affine[:3, :3], axis=0)
            spread = abs(np.linalg.det(affine[:3, :3] / lengths)) if lengths.all() else 0.0
        if not spread >= _SINGULAR:  # NaN neither
            raise InputError(
                f"Expected voxel axes that span space, received spacing {lengths.tolist()} mm with "
                "degenerate directions. Repair the geometry (pixdim, sform) of the file."
            )
        object.__setattr__(self, "affine", affine)

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
