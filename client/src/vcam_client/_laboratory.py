"""What TIFF stacks, arrays and pictures have in common: axes, and a spacing that is told.

Laboratory files state no directions in a patient. A stack's columns (i) run to L, its
rows (j) to P and its slices (k) to S, the first voxel at the origin. A picture is taken
as a frontal radiograph: columns to L, rows to I. Values carry no units.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._options import ReadOptions
from vcam_client.errors import InputError
from vcam_client.volume import Volume

_UNKNOWN_MM = 1.0
"""Spacing in the affine of a picture that states none; never reported."""
_MM_PER_UNIT = {
    "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "": 1.0, "???": 1.0, "?": 1.0, "none": 1.0,
    "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3,
    "micrometer": 1e-3, "micrometers": 1e-3, "nm": 1e-6,
}  # fmt: skip
"""Units of NRRD and MetaImage as writers spell them; those they don't know are millimetres."""


NO_DIRECTIONS = (
    "The file states no directions in a patient: its columns are taken to run to the left, its "
    "rows to posterior and its slices to superior."
)
"""The warning for a volume of a medical format without them."""


def mm_per_unit(unit: str, path: Path, field: str) -> float:
    """Millimetres of a unit of length that a header states.

    Raises:
        InputError: a unit that is not known.
    """
    found = _MM_PER_UNIT.get(unit.strip().lower())
    if found is None:
        raise InputError(
            f"{path.name} states a unit of length that vcam doesn't know. State mm, um, cm or m as "
            f"its {field}."
        )
    return found


def assumed_directions(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """The warnings of a stack in a medical format, which could have stated directions.

    Raises:
        InputError: with `strict`, directions are not assumed.
    """
    if options.strict:
        raise InputError(
            f"With --strict, the directions of {path.name} are not assumed. {NO_DIRECTIONS} "
            "Leave --strict out, or state the directions in its header."
        )
    return (NO_DIRECTIONS,)


def stack(
    data: NDArray[Any], spacing: tuple[float, ...], name: str, warnings: tuple[str, ...] = ()
) -> Volume:
    """A volume of slices.

    Args:
        data: real numbers [slices, rows, columns]; not copied.
        spacing: mm between columns, rows and slices.
        name: stem for the names of result files.
        warnings: what had to be assumed.

    Returns:
        A volume, data [columns, rows, slices], affine diag(-sx, -sy, sz).
    """
    sx, sy, sz = spacing
    return Volume(
        data=data.transpose(2, 1, 0),
        affine=np.diag([-sx, -sy, sz, 1.0]),
        name=name,
        warnings=warnings,
        anatomical=False,
    )


def picture(data: NDArray[Any], spacing: tuple[float, ...] | None, name: str) -> Volume:
    """A volume of one slice that is a picture.

    Args:
        data: real numbers [rows, columns]; not copied.
        spacing: mm between columns, rows and (unused) slices; None where unknown.
        name: stem for the names of result files.

    Returns:
        A volume, data [columns, rows, 1]; its third axis runs to P.
    """
    sx, sy, sz = spacing or (_UNKNOWN_MM,) * 3
    affine = np.array([[-sx, 0, 0, 0], [0, 0, -sz, 0], [0, -sy, 0, 0], [0, 0, 0, 1]], np.float64)
    return Volume(
        data=data.T[:, :, None],
        affine=affine,
        name=name,
        spacing_known=spacing is not None,
        anatomical=False,
        is_picture=True,
    )


def no_spacing(name: str, states: str) -> InputError:
    """The error for a stack whose spacing nobody told.

    Args:
        name: the file.
        states: what it says instead, such as "an ImageJ file without a unit".
    """
    return InputError(
        f"Expected the spacing of {name} in mm, received {states}. State it with --spacing, as "
        "one number or as three: columns, rows, slices."
    )


def upright(data: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view [..., rows, columns] turned as an EXIF or TIFF orientation (1 to 8) says."""
    if orientation in (5, 6, 7, 8):
        data = data.swapaxes(-2, -1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return data[..., rows, columns]
