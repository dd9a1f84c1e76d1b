"""A cube of slices: a series as the client reads it, cut out of it what is of interest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.grid import to_model_grid
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Grid, Resampling
from vcam_client.volume import Volume
from vcam_training.data.soil.porous_media import PorousMedium, generate


@dataclass(frozen=True, kw_only=True, eq=False)
class SoilCube:
    """Slices of one volume.

    Attributes:
        volume: what was cut out, with its place.

    Raises:
        ConfigError: voxels that are NaN, infinite, or were never measured.
    """

    volume: Volume

    def __post_init__(self) -> None:
        values, padding = self.volume.data, self.volume.padding
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ConfigError(
                f"Expected finite voxels in {self.volume.name}, found NaN or infinite ones. Set "
                "slices and crop that leave them out."
            )
        if padding is not None and ((values >= padding[0]) & (values <= padding[1])).any():
            raise ConfigError(
                f"Expected measured voxels alone in {self.volume.name}, found padding: values of "
                f"{padding[0]:g} to {padding[1]:g} around the field of view. Set a crop inside it."
            )

    @property
    def values(self) -> NDArray[np.float32]:
        """float32 [slices, rows, columns], in the volume's units."""
        return self.volume.data.transpose(2, 1, 0).astype(np.float32)

    def on_grid(self, grid: Grid) -> NDArray[np.float32]:
        """float32 [slices, *grid.shape]: what a network of that 2-D grid is given."""
        return np.ascontiguousarray(to_model_grid(self.volume, grid))


def slice_grid(size: int) -> Grid:
    """Of a network of slices: each is stretched over size × size pixels, axes as stored."""
    return Grid(shape=(size, size), axes=(), fit=Fit.STRETCH, resampling=Resampling.AREA)


def read_cube(
    path: Path | str,
    *,
    slices: Sequence[int] = (),
    crop: Sequence[int] = (),
    spacing_mm: float | Sequence[float] | None = None,
    series: str | None = None,
) -> SoilCube:
    """Reads a series; DICOM slices are ordered by position and rescaled.

    Args:
        path: of what `vcam_client.read_volume` reads: a folder of DICOM, a TIFF stack, …
        slices, crop: see `cut`.
        spacing_mm: where the file states none, see `read_volume`; it changes no voxel.
        series: which of several DICOM series.

    Raises:
        InputError: it can't be read.
        ConfigError: there are no such slices, rows or columns; or see `SoilCube`.
    """
    volume = read_volume(path, series=series, spacing=spacing_mm)
    return SoilCube(volume=cut(volume, slices, crop))


def made_up_cube(
    medium: PorousMedium, seed: int, *, slices: Sequence[int] = (), crop: Sequence[int] = ()
) -> SoilCube:
    """A synthetic porous medium; see `data.porous_media`.

    Raises:
        ConfigError: there are no such slices, rows or columns.
    """
    volume = Volume(
        data=generate(medium, seed=seed).grey.transpose(2, 1, 0),
        affine=np.diag([-1.0, -1.0, 1.0, 1.0]),  # as of a TIFF stack
        name="porous medium",
        spacing_known=False,
        anatomical=False,
    )
    return SoilCube(volume=cut(volume, slices, crop))


def cut(volume: Volume, slices: Sequence[int], crop: Sequence[int]) -> Volume:
    """A part of a volume, in its place.

    Args:
        volume: stays as it is; its slowest stored axis counts slices.
        slices: first slice and the one behind the last, from 0; empty for all.
        crop: first row and the one behind the last, the same of columns; empty for all.

    Raises:
        ConfigError: there are no such slices, rows or columns.
    """
    columns, rows, count = volume.shape
    for name, given, wanted in (("slices", slices, 2), ("crop", crop, 4)):
        if len(given) not in (0, wanted):
            raise ConfigError(
                f"Expected {wanted} numbers for {name}, received {tuple(given)}. Give the first "
                "and the one behind the last."
            )
    ranges = (
        ("columns", columns, crop[2:] or (0, columns)),
        ("rows", rows, crop[:2] or (0, rows)),
        ("slices", count, slices or (0, count)),
    )
    for name, size, (first, end) in ranges:
        if not 0 <= first < end <= size:
            raise ConfigError(
                f"Expected a part of the {size} {name} of {volume.name}, received {first} to "
                f"{end}. Count from 0; the second number is the one behind the last."
            )
    part = tuple(slice(first, end) for _, _, (first, end) in ranges)
    affine = volume.affine.copy()
    affine[:3, 3] = volume.world(tuple(float(first) for _, _, (first, _) in ranges))
    return replace(volume, data=volume.data[part], affine=affine, nifti_header=None)
