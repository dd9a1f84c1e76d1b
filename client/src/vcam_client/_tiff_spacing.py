"""The spacing that a TIFF file states, where it leaves no doubt."""

from typing import Any
from xml.etree import ElementTree

_MM = {
    "nm": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,  # micro sign
    "μm": 1e-3,  # Greek mu
    "\\u00b5m": 1e-3,  # as ImageJ escapes it
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "m": 1000.0,
}
"""Millimetres of the units that ImageJ and OME write."""
_OME_DEFAULT_UNIT = "µm"
"""Of PhysicalSizeX, …, where the attribute …Unit is left out (OME schema 2016-06)."""

_X_RESOLUTION, _Y_RESOLUTION = 282, 283


def stated_spacing(file: Any, *, single: bool) -> tuple[float, float, float] | None:
    """Millimetres between columns, rows and slices; None where they are not all stated.

    Args:
        file: tifffile.TiffFile.
        single: whether it is one picture, which has no distance between slices.
    """
    sizes = _ome(file) if file.is_ome else _imagej(file) if file.is_imagej else None
    if sizes is None:
        return None
    x, y, z = (size if size is not None and 0 < size < float("inf") else None for size in sizes)
    z = x if single and z is None else z
    return None if x is None or y is None or z is None else (x, y, z)


def _ome(file: Any) -> list[float | None] | None:
    root = ElementTree.fromstring(file.ome_metadata)
    pixels = next((item for item in root.iter() if item.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    sizes: list[float | None] = []
    for axis in "XYZ":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = pixels.get(f"PhysicalSize{axis}Unit", _OME_DEFAULT_UNIT)
        sizes.append(float(size) * _MM[unit] if size and unit in _MM else None)
    return sizes


def _imagej(file: Any) -> list[float | None] | None:
    """ImageJ states pixels per unit, and the distance between slices in that unit."""
    stated = file.imagej_metadata or {}
    mm = _MM.get(str(stated.get("unit", "")).lower())
    if mm is None:
        return None
    tags = file.pages.first.tags
    sizes: list[float | None] = []
    for code in (_X_RESOLUTION, _Y_RESOLUTION):
        pixels, units = tags.valueof(code, (0, 1))
        sizes.append(mm * units / pixels if pixels else None)
    slices = stated.get("spacing")
    sizes.append(mm * float(slices) if isinstance(slices, int | float) else None)
    return sizes
