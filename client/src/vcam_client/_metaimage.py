"""MetaImage: .mha, and .mhd with a data file beside it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._coded import span_within
from vcam_client._laboratory import NO_DIRECTIONS, mm_per_unit, no_spacing, picture
from vcam_client._limits import MAX_PICTURE_PIXELS, check_voxels
from vcam_client._metaimage_header import MetaImageHeader, read_metaimage_header
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import CorruptFileError, InputError
from vcam_client.volume import Volume

SUFFIXES = (".mha", ".mhd")

_SPATIAL = 3
_DIRECTIONS = ("transformmatrix", "rotation", "orientation")
_ORIGIN = ("offset", "position", "origin")
_SPACING = ("elementspacing", "elementsize")
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def read_metaimage(path: Path, options: ReadOptions) -> Volume:
    """Reads a volume; its place is the one that ITK takes, in RAS+ mm.

    Each row of TransformMatrix is the direction of an axis in LPS; CenterOfRotation and
    AnatomicalOrientation are left aside, as by ITK. Axes after the third, and channels,
    count volumes. Two axes are a picture.

    Returns:
        A volume, data [I, J, K] in native byte order.

    Raises:
        UnsupportedFormatError: not an image of numbers in one file.
        CorruptFileError: a damaged header, or too few or too many bytes.
        InputError: no spacing, several volumes and no index, or an option that doesn't fit.
    """
    header = read_metaimage_header(path)
    try:
        spacing, directions, origin = (header.numbers(*n) for n in (_SPACING, _DIRECTIONS, _ORIGIN))
        slope = header.numbers("elementtointensityfunctionslope") or (1.0,)
        offset = header.numbers("elementtointensityfunctionoffset") or (0.0,)
    except ValueError as error:
        raise _contradicts(path) from error
    count = len(header.sizes)
    lengths = [(spacing, count), (directions, count * count), (origin, count)]
    if any(v is not None and len(v) != n for v, n in lengths):
        raise _contradicts(path)
    if slope[0] == 0 or not np.isfinite((slope[0], offset[0])).all():
        raise CorruptFileError(
            f"{path.name} states that its values are to be multiplied by {slope[0]:g}, and that "
            f"{offset[0]:g} is to be added. Repair its ElementToIntensityFunctionSlope and Offset."
        )
    if spacing is not None and not all(v for v in spacing[:_SPATIAL]):
        raise InputError(
            f"Expected spacings other than 0 in {path.name}. Repair its ElementSpacing."
        )
    if spacing is not None and options.spacing is not None:
        raise InputError(
            f"{path.name} is a MetaImage file that states its own spacing. Leave out --spacing, or "
            "repair its ElementSpacing."
        )
    warnings = []
    unit = header.fields.get("distanceunits", "mm")
    scale = mm_per_unit(unit, path, "DistanceUnits")
    if scale != 1:
        warnings.append(f"Distances are taken in {unit}, as the file says; ITK takes them as mm.")
    if (slope[0], offset[0]) != (1, 0):
        warnings.append(
            f"Values are multiplied by {slope[0]:g} and {offset[0]:g} is added, as the file says; "
            "ITK leaves them as they are stored."
        )
    if directions is None and count >= _SPATIAL:
        warnings.append(NO_DIRECTIONS)
    if warnings and options.strict:
        raise InputError(
            f"With --strict, nothing of {path.name} is assumed. {' '.join(warnings)} Leave "
            "--strict out, or repair its header."
        )
    data = _scaled(_data(header, options, path), slope[0], offset[0])
    known = options.spacing if spacing is None else tuple(v * scale for v in spacing[:_SPATIAL])
    if count < _SPATIAL:
        if known is not None:
            known = abs(known[0]), abs(known[1]), abs(known[0])
        return picture(data.T, known, path.stem)
    if known is None:
        raise no_spacing(path.name, "a MetaImage file without ElementSpacing")
    columns = np.array(directions or np.eye(count)).reshape(count, count)[:_SPATIAL, :_SPATIAL].T
    affine = np.eye(4)
    with np.errstate(all="ignore"):  # a volume refuses what is not finite
        affine[:3, :3] = _LPS_TO_RAS[:, None] * columns * np.array(known)
        affine[:3, 3] = _LPS_TO_RAS * np.array(origin or (0.0,) * count)[:_SPATIAL] * scale
    return Volume(
        data=data,
        affine=affine,
        name=path.stem,
        warnings=tuple(warnings),
        anatomical=directions is not None,
    )


def _data(header: MetaImageHeader, options: ReadOptions, path: Path) -> NDArray[Any]:
    """The chosen volume, or picture; channels run fastest in the file."""
    kept = header.sizes[:_SPATIAL]
    flat = len(kept) < _SPATIAL
    check_voxels(kept, path.name, most=MAX_PICTURE_PIXELS if flat else None)
    check_voxels((header.channels, *kept), path.name)
    pieces = math.prod(header.sizes[_SPATIAL:])
    what = f"of {'×'.join(map(str, kept))} voxels"
    chosen = chosen_volume(options.volume_index, pieces * header.channels, what, path.name)
    piece, channel = divmod(chosen, header.channels)
    size = math.prod(kept) * header.channels * header.dtype.itemsize
    at = header.at
    if header.at_end:
        at = header.data_file.stat().st_size - pieces * size
        if at < header.at:
            raise CorruptFileError(
                f"{header.data_file.name} breaks off: {path.name} states {pieces * size} bytes of "
                "voxels. Copy or download both files again."
            )
    voxels = span_within(
        header.data_file, header.coding, at, piece * size, size, pieces * size
    ).view(header.dtype)
    data: NDArray[Any] = voxels.reshape((header.channels, *kept), order="F")[channel]
    if header.channels > 1:  # nothing of the others is held
        data = data.copy(order="F")
    return data.astype(header.dtype.newbyteorder("="), copy=False)


def _scaled(stored: NDArray[Any], slope: float, offset: float) -> NDArray[Any]:
    if (slope, offset) == (1, 0):
        return stored
    kind = np.float64 if stored.dtype.itemsize > 2 and stored.dtype != np.float32 else np.float32
    values: NDArray[Any] = stored.astype(kind)
    with np.errstate(all="ignore"):  # a model refuses what is not finite
        np.multiply(values, slope, out=values)
        np.add(values, offset, out=values)
    return values


def _contradicts(path: Path) -> CorruptFileError:
    return CorruptFileError(
        f"The MetaImage header of {path.name} contradicts itself: its spacing, directions and "
        "origin are not those of its axes. Save the scan again."
    )
