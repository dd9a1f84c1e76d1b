"""NRRD: .nrrd, and .nhdr with a data file beside it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._coded import span_within
from vcam_client._laboratory import assumed_directions, mm_per_unit, no_spacing, picture, stack
from vcam_client._limits import MAX_PICTURE_PIXELS, check_voxels
from vcam_client._nrrd_header import NrrdHeader, read_nrrd_header
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
_TO_RAS |= {"".join(word[0] for word in name.split("-")): v for name, v in _TO_RAS.items()}
_TO_RAS |= {f"{name}t": signs for name, signs in _TO_RAS.items() if "-" not in name}
"""Signs that turn the anatomical spaces of NRRD into RAS."""
_AS_LPS = (-1, -1, 1)
_IN_SPACE = ("domain", "space", "???", "none")
"""Kinds of axes along which voxels are; those of unknown kind among them."""
_SPATIAL = 3


def read_nrrd(path: Path, options: ReadOptions) -> Volume:
    """Reads a volume.

    With `space directions` its place is theirs, the first three axes in space; other axes
    count volumes. Without, it is a stack (or a picture) as of a laboratory, with `spacings`
    or `options.spacing`; a stack gets a warning.

    Returns:
        A volume, data [I, J, K] in native byte order, affine in RAS+ mm.

    Raises:
        UnsupportedFormatError: colours, complex numbers, text, or fewer than two axes in space.
        CorruptFileError: a damaged header, or too few or too many bytes.
        InputError: no spacing, several volumes and no index, or an option that doesn't fit.
    """
    with np.errstate(all="ignore"):  # a volume refuses what is not finite
        return _read(path, options)


def stem(path: Path) -> str:
    """The file name without its suffix."""
    return path.stem


def _read(path: Path, options: ReadOptions) -> Volume:
    header = read_nrrd_header(path)
    try:
        directions, axes = _axes(header, path)
    except (ValueError, TypeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise _contradicts(path) from error
    _refuse_colours(header, axes, path)
    data = _data(header, axes, options, path)
    name = stem(path)
    if directions is not None:
        if options.spacing is not None:
            raise _states_spacing(path)
        return _placed(header, directions[list(axes)], data, name, options, path)
    stated = _spacings(header, axes, path)
    if stated is not None and options.spacing is not None:
        raise _states_spacing(path)
    spacing = stated or options.spacing
    if data.ndim < _SPATIAL:
        return picture(data.T, spacing, name)
    if spacing is None:
        raise no_spacing(path.name, "an NRRD file without spacings")
    return stack(data.transpose(2, 1, 0), spacing, name, assumed_directions(path, options))


def _axes(header: NrrdHeader, path: Path) -> tuple[NDArray[np.float64] | None, tuple[int, ...]]:
    """Steps along all axes in mm of the stated space, or None, and which axes are in space."""
    count = len(header.sizes)
    directions = header.directions()
    kinds = [str(kind).lower() for kind in header.fields.get("kinds", ())]
    if directions is not None:
        if len(directions) != count:
            raise _contradicts(path)
        if directions.shape[1] > _SPATIAL:  # in space and time
            directions = directions[:, :_SPATIAL]
        found = [n for n, row in enumerate(directions) if np.isfinite(row).all() and row.any()]
        if not any(np.isfinite(row).all() for row in directions):
            directions = None  # an axis each of which says "none"
    if directions is None:
        found = [n for n, kind in enumerate(kinds) if kind in _IN_SPACE] if kinds else []
        if not kinds:
            spacings = np.asarray(header.fields.get("spacings", ()), np.float64)
            found = np.flatnonzero(np.isfinite(spacings)).tolist()
            # NaN is an axis that is not in space, or a spacing that is not known
            found = found if len(found) >= _SPATIAL else list(range(count))
    if (kinds and len(kinds) != count) or any(n >= count for n in found):
        raise _contradicts(path)
    if len(found) < _SPATIAL - 1:
        raise UnsupportedFormatError(
            f"Expected two or three axes in space, {path.name} states {len(found)}. Save it as a "
            "volume, or as an image."
        )
    return directions, tuple(found[:_SPATIAL])


def _refuse_colours(header: NrrdHeader, axes: tuple[int, ...], path: Path) -> None:
    for axis, kind in enumerate(header.fields.get("kinds", ())):
        if axis in axes or header.sizes[axis] == 1:
            continue
        lower = str(kind).lower()
        if "color" in lower or lower == "complex":
            held = "complex numbers" if lower == "complex" else "colours"
            raise UnsupportedFormatError(
                f"Expected scalar voxels, {path.name} holds {held}. Export the grey values or the "
                "magnitude as a scalar volume."
            )


def _data(
    header: NrrdHeader, axes: tuple[int, ...], options: ReadOptions, path: Path
) -> NDArray[Any]:
    """The chosen volume, its axes as in the file; others are read only where they lie between."""
    sizes = header.sizes
    kept = tuple(sizes[n] for n in axes)
    # axes behind the last in space divide the file into pieces, of which one is read
    inner = axes[-1] + 1
    piece, between = sizes[:inner], [n for n in range(inner) if n not in axes]
    flat = len(kept) < _SPATIAL
    check_voxels(kept, path.name, most=MAX_PICTURE_PIXELS if flat else None)
    check_voxels(piece, path.name)
    volumes = math.prod(sizes) // math.prod(kept)
    what = f"of {'×'.join(map(str, kept))} voxels"
    index = chosen_volume(options.volume_index, volumes, what, path.name)
    pick: list[int | slice] = [slice(None)] * inner
    for n in between:
        index, pick[n] = divmod(index, sizes[n])
    size, whole = math.prod(piece) * header.dtype.itemsize, math.prod(sizes) * header.dtype.itemsize
    voxels = _bytes(header, index * size, size, whole)
    data = voxels.view(header.dtype).reshape(piece, order="F")
    picked: NDArray[Any] = data[tuple(pick)]
    if picked.size < data.size:  # nothing of the others is held
        picked = picked.copy(order="F")
    return picked.astype(header.dtype.newbyteorder("="), copy=False)


def _bytes(header: NrrdHeader, start: int, size: int, whole: int) -> NDArray[np.uint8]:
    at, skipped = header.at, max(0, header.skipped)
    if header.skipped == -1:
        at = header.data_file.stat().st_size - whole
        if at < header.at:
            raise CorruptFileError(
                f"{header.data_file.name} breaks off: its header states {whole} bytes of voxels. "
                "Copy or download the file again."
            )
    coding = header.coding
    return span_within(header.data_file, coding, at, skipped + start, size, skipped + whole)


def _placed(
    header: NrrdHeader,
    steps: NDArray[np.float64],
    data: NDArray[Any],
    name: str,
    options: ReadOptions,
    path: Path,
) -> Volume:
    """A volume whose axes have directions [axes, space] in the stated space."""
    if steps.shape[1] < _SPATIAL:  # a plane, not in a patient
        if len(steps) != _SPATIAL - 1:
            raise _contradicts(path)
        scale = _units(header, "space units", range(steps.shape[1]), path)
        spacing = np.linalg.norm(steps * scale, axis=1)
        return picture(data.T, (*map(float, spacing), float(spacing[0])), name)
    space = str(header.fields.get("space", "")).lower().removesuffix("-time")
    origin = np.asarray(header.fields.get("space origin", np.zeros(_SPATIAL)), np.float64)
    if origin.ndim != 1 or len(origin) < _SPATIAL:
        raise _contradicts(path)
    warnings = []
    if space not in _TO_RAS:
        warnings.append(
            "The file states directions, but not in which anatomical space: they are taken as "
            "left-posterior-superior, as by SimpleITK and 3D Slicer."
        )
    if len(steps) < _SPATIAL:
        normal = np.cross(steps[0], steps[1])
        steps = np.vstack([steps, normal / np.linalg.norm(normal)])
        data = data[:, :, None]
        warnings.append("The file states no thickness of its slice: it is taken as 1 mm.")
    if warnings and options.strict:
        raise InputError(
            f"With --strict, the place of {path.name} is not assumed. {' '.join(warnings)} "
            "Leave --strict out, or state the space in the header."
        )
    affine = np.eye(4)
    units = _units(header, "space units", range(_SPATIAL), path)
    scale = np.array(_TO_RAS.get(space, _AS_LPS)) * units
    affine[:3, :3] = scale[:, None] * steps.T
    affine[:3, 3] = scale * origin[:_SPATIAL]
    return Volume(
        data=data,
        affine=affine,
        name=name,
        warnings=tuple(warnings),
        anatomical=space in _TO_RAS,
    )


def _spacings(
    header: NrrdHeader, axes: tuple[int, ...], path: Path
) -> tuple[float, float, float] | None:
    """mm along the axes in space, without directions; None where one isn't stated."""
    stated = np.asarray(header.fields.get("spacings", ()), np.float64)
    if len(stated) <= max(axes) or not np.isfinite(stated[list(axes)]).all():
        return None
    units = _units(header, "units", axes, path)
    values = [float(v) for v in stated[list(axes)] * units]
    if not all(v > 0 for v in values):
        raise InputError(
            f"Expected spacings above 0 in {path.name}, received {values} mm. Repair its header."
        )
    x, y, z = (*values, values[0])[:_SPATIAL]
    return x, y, z


def _units(header: NrrdHeader, field: str, which: Sequence[int], path: Path) -> NDArray[np.float64]:
    """Millimetres of one unit along some of what `field` lists."""
    stated = header.fields.get(field, ())
    each = [str(stated[n]) if n < len(stated) else "" for n in which]
    return np.array([mm_per_unit(unit, path, field) for unit in each])


def _states_spacing(path: Path) -> InputError:
    return InputError(
        f"{path.name} is an NRRD file that states its own spacing. Leave out --spacing, or repair "
        "its header."
    )


def _contradicts(path: Path) -> CorruptFileError:
    return CorruptFileError(
        f"The NRRD header of {path.name} contradicts itself: its sizes, kinds, directions and "
        "origin are of different numbers of axes. Save the scan again."
    )
