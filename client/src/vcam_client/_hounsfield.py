"""Whether the values of a scan can be Hounsfield units, judged by a sample of them.

CT numbers put air at -1000 and water at 0 HU. Scanners store them in 12 bits, -1024 to
3071, or up to 16 where metal is of interest. Shares and limits were chosen on CTs of the
head, chest and abdomen, whole and cropped, which are far from all of them: there, 8 % of
what is not air is denser than 700 HU at most, and 0.02 % of all voxels than 3071 HU.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import Intensity
from vcam_client.volume import Volume

UNITS = "HU"

_SAMPLES = 32
"""Voxels along each axis, at least, that values are judged by."""

_SAMPLED = "the values sampled"
"""What sentences speak of; those between may be beyond their range."""

_AIR = (-1200.0, -500.0)
"""Air with noise, and lungs, in HU."""
_FAT = (-500.0, -60.0)
"""Fat in HU, and what is partly air; noise about 24 HU, where air 1024 too high is, does not
reach it."""
_DENSE = 700.0
"""HU above which there is only bone and metal."""
_TWELVE_BITS = 3071.0
"""HU that 12 bits hold with an intercept of -1024; above it there is only metal."""
_SIXTEEN_BITS = (-32768.0, 32767.0)
"""HU that 16 bits hold."""

_NO_AIR = 0.001
"""Share of values below which there is no air."""
_NO_FAT = 0.003
"""Share of values below which there is no fat."""
_MOST_DENSE = 0.4
"""Share of dense values, of what is not air, that is too large: tissue, 1024 too high."""
_ONE_TISSUE = 150.0
"""HU that 98 % of the values of a crop of a single tissue span at most, noise included."""
_TAILS = 2.5
"""How many times the span of their middle half these span there, at least; of a normal
distribution it is 3.4 times."""
_PILE = 0.05
"""Share of values equal to the lowest from which a background was cut off there."""
_MUCH_METAL = 0.05
"""Share of values above 12 bits that metal does not reach."""
_MUCH_BELOW = 0.05
_FILL_SPREAD = 300.0
"""HU about their median in which a lossy transfer syntax leaves a scanner's fill values."""
_NOT_FILL = 0.2
"""Share of the values below air that are that far from their median where they are not fill."""
_SPAN = 0.03
"""Share of the model's window below which values span too little: noise alone spans more."""
_NO_WINDOW = 1000.0
"""HU from air to water: in place of the window of a model without one."""


def sample_of(volume: Volume) -> NDArray[Any]:
    """Real values at regular distances, at least `_SAMPLES` along each axis where there are."""
    steps = tuple(slice(None, None, max(1, n // _SAMPLES)) for n in volume.shape)
    values: NDArray[Any] = volume.data[steps]
    if volume.padding is not None:
        low, high = volume.padding
        return values[(values < low) | (values > high)]
    return values


def not_hounsfield(volume: Volume, intensity: Intensity | None = None) -> str:
    """Why the values can't be Hounsfield units, as part of a sentence; "" where they can.

    Args:
        volume: the scan. What its file says of its units does not count.
        intensity: of the model; None for a scan by itself that states HU.
    """
    if intensity is not None and intensity.units != UNITS:
        return ""
    values = sample_of(volume).ravel().astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size or values.min() == values.max():
        return ""  # nothing to judge by; that a scan shows nothing is said of its map
    window = None if intensity is None else intensity.window
    reason = _beyond(values) or _span(values, window)
    if not reason and (window is None or window[0] <= _AIR[1]):
        reason = _shifted(values, "" if window is None else ", where the window begins")
    return reason


def _beyond(values: NDArray[np.float64]) -> str:
    """Values that CT can't hold."""
    low, high = float(values.min()), float(values.max())
    if low < _SIXTEEN_BITS[0] or high > _SIXTEEN_BITS[1]:
        return f"{_SAMPLED} run from {low:g} to {high:g}, more than the 16 bits of CT hold"
    metal = _share(values > _TWELVE_BITS)
    if metal > _MUCH_METAL:
        return f"{metal:.0%} of {_SAMPLED} are above {_TWELVE_BITS:g} HU, as only metal is"
    below = values[values < _AIR[0]]
    if below.size > _MUCH_BELOW * values.size:
        apart = _share(np.abs(below - np.median(below)) > _FILL_SPREAD)
        if apart > _NOT_FILL:
            below_air = _share(values < _AIR[0])
            return f"{below_air:.0%} of {_SAMPLED} are below {_AIR[0]:g} HU, as nothing is"
    return ""


def _span(values: NDArray[np.float64], window: tuple[float, float] | None) -> str:
    """Values that are nearly one."""
    low, high = float(values.min()), float(values.max())
    width = _NO_WINDOW if window is None else window[1] - window[0]
    if high - low >= _SPAN * width:
        return ""
    part = "" if window is None else f", {(high - low) / width:.1%} of the model's window"
    return f"{_SAMPLED} span {high - low:.3g} HU ({low:g} to {high:g}){part}"


def _shifted(values: NDArray[np.float64], where: str) -> str:
    """Values without air, or of tissue as dense as bone."""
    solid = values[values > _AIR[1]]
    dense = _share(solid > _DENSE) if solid.size else 0.0
    if _within(values, _AIR) >= _NO_AIR:
        if dense <= _MOST_DENSE:
            return ""
        return (
            f"{dense:.0%} of {_SAMPLED} that are not air are above {_DENSE:g} HU, as only bone is"
        )
    cropped = _within(values, _FAT) >= _NO_FAT or _is_one_tissue(values)
    if cropped and dense <= _MOST_DENSE:
        return ""
    span = f"{values.min():g} to {values.max():g}"
    return f"none of {_SAMPLED} is near air (-1000 HU){where}: they run from {span}"


def _is_one_tissue(values: NDArray[np.float64]) -> bool:
    """Whether they are one value with its noise, not a whole scan squeezed into few numbers."""
    least, low, high, most = np.percentile(values, (1, 25, 75, 99))
    piled_up = _share(values == values.min()) > _PILE
    return bool(most - least <= _ONE_TISSUE and most - least >= _TAILS * (high - low)) and (
        not piled_up
    )


def _within(values: NDArray[np.float64], limits: tuple[float, float]) -> float:
    return _share((values > limits[0]) & (values < limits[1]))


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(chosen)) / chosen.size
