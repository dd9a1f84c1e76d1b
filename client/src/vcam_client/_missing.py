"""Voxels without a value: NaN and infinity in a file, hidden ones of a masked array.

Such voxels are padding where nothing else is said: a value that no real voxel has is put in
their place, and kept out of resampling and statistics (`Volume.padding`).
"""

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import InputError
from vcam_client.volume import Volume

PADDING = "padding"
Nan = float | Literal["padding"]
"""What takes the place of voxels that are not finite: a value, or padding."""

_WIDER = {"b1": "i1", "u1": "i2", "i1": "i2", "u2": "i4", "i2": "i4", "u4": "i8", "i4": "i8"}
_WIDER |= {"f2": "f4", "f4": "f8"}
_STEP = 2.0**-8
"""Share of a float by which padding is below it: a whole step of the coarsest, float16."""


def check_nan(nan: object) -> Nan | None:
    """The option `nan` as it is used.

    Raises:
        InputError: neither a finite number nor "padding".
    """
    if nan is None or nan == PADDING:
        return nan  # type: ignore[return-value]
    real = isinstance(nan, int | float | np.integer | np.floating) and not isinstance(nan, bool)
    if not real or not math.isfinite(nan):  # type: ignore[arg-type]
        raise InputError(
            f'Expected a finite number or "padding" for voxels that are not finite, received '
            f"{nan!r}."
        )
    return float(nan)  # type: ignore[arg-type]


def without_nan(volume: Volume, nan: Nan | None) -> Volume:
    """The volume with another value in place of NaN and infinity; itself where it has none.

    Args:
        volume: any.
        nan: a value in the volume's units, "padding", or None to leave the volume as it is.

    Raises:
        InputError: no voxel is finite, or the value doesn't fit the volume's type.
    """
    if nan is None or volume.data.dtype.kind != "f":
        return volume
    missing = ~np.isfinite(volume.data)
    if not missing.any():
        return volume
    if nan == PADDING:
        data, fill = padded(volume.data, missing, volume.padding, volume.name)
        return replace(volume, data=data, padding=volume.padding or (fill, fill))
    with np.errstate(over="ignore"):
        value = volume.data.dtype.type(nan)
    if not np.isfinite(value):
        raise InputError(
            f"Expected a value that {volume.data.dtype} can hold for voxels that are not finite, "
            f"received {nan:g}."
        )
    return replace(volume, data=np.where(missing, value, volume.data))


def unmasked(
    array: NDArray[Any], name: str, nan: Nan | None = None
) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """A plain array, and the padding that stands for the hidden values of a masked one.

    Args:
        array: masked or not.
        name: the scan, for messages.
        nan: what voxels become later that are not finite; padding is another value.

    Raises:
        InputError: all of it is hidden.
    """
    data, hidden = np.ma.getdata(array, subok=False), np.ma.getmask(array)
    if not np.any(hidden):
        return data, None
    taken = () if nan is None or nan == PADDING else (float(nan),)
    data, fill = padded(data, np.ma.getmaskarray(array), None, name, taken)
    return data, (fill, fill)


def padded(
    data: NDArray[Any],
    missing: NDArray[np.bool_],
    padding: tuple[float, float] | None,
    name: str,
    taken: tuple[float, ...] = (),
) -> tuple[NDArray[Any], float]:
    """A copy with padding where values are missing, and that value.

    Args:
        data: real numbers.
        missing: of the same shape.
        padding: what is padding already, or None to choose a value that no voxel has; the
            copy has a wider type where every value of this one is in use.
        name: the scan.
        taken: further values that are no padding, where voxels are floats.

    Raises:
        InputError: nothing is left, or no value is free.
    """
    real = data[~missing]
    if data.dtype.kind == "f":
        real = real[np.isfinite(real)]
    if not real.size:
        raise InputError(f"{name} holds no value: every voxel is hidden or not finite.")
    if data.dtype.kind == "f" and not np.isfinite(data[~missing]).all():
        with np.errstate(over="ignore"):
            values = np.array(taken, data.dtype)
        real = np.concatenate([real, values[np.isfinite(values)]])
    dtype = data.dtype
    fill = padding[0] if padding is not None else None
    while fill is None:
        fill = _free(real, dtype)
        if fill is None:
            wider = _WIDER.get(dtype.str[1:])
            if wider is None:
                raise InputError(
                    f"Expected a value of {dtype} that is free to mean padding, {name} uses both "
                    "its lowest and its highest. Scale its values down."
                )
            dtype = np.dtype(wider)
    out = data.astype(dtype)
    out[missing] = fill
    return out, fill if dtype.kind in "iu" else float(fill)


def _free(real: NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """A value of `dtype` below all others, else above them; None if neither is free."""
    if dtype.kind == "b":
        return None
    low, high = real.min(), real.max()
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if int(low) > info.min:
            return int(low) - 1
        return int(high) + 1 if int(high) < info.max else None
    with np.errstate(over="ignore"):
        below = dtype.type(float(low) - max(1.0, abs(float(low)) * _STEP))
        above = dtype.type(float(high) + max(1.0, abs(float(high)) * _STEP))
    if np.isfinite(below) and below < low:
        return below
    return above if np.isfinite(above) and above > high else None
