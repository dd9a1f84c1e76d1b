"""How training volumes are varied, in physical units, before the network's intensity layer."""

import math
from dataclasses import dataclass

from vcam_client.errors import ConfigError
from vcam_client.spec import Grid

EACH_AXIS = -1
"""As `rotate_axis`: about each axis."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each training volume; without settings, none.

    What comes in from outside is the grid's padding value. Masks move along. Voxels of
    the padding value keep it when values are changed, as there is nothing to be seen in
    them.

    Attributes:
        symmetries: one of the ways to lay a grid with equal sides onto itself: 8 of a
            square, 48 of a cube.
        mirror: tensor axes, each flipped half of the time.
        shift: voxels, up to which a volume is moved along each axis, whole voxels only
            unless it is rotated or scaled as well.
        rotate: degrees, up to which it is turned; about `rotate_axis`, or about each
            axis in turn where that is −1. In millimetres, if the grid has a spacing.
        angles: degrees to choose from instead, each as likely, and its negative.
        rotate_axis: tensor axis that stays, of a volume; images have but one way to turn.
        scale: share, up to which it is magnified or shrunk.
        gain: share, up to which values are multiplied about the grid's padding value.
        offset: in the units of the values, up to which they are raised or lowered.
        noise: in the same units, the standard deviation of normal noise.

    Raises:
        ConfigError: an amount that is none, or both of two that exclude each other.
    """

    symmetries: bool = False
    mirror: tuple[int, ...] = ()
    shift: int = 0
    rotate: float = 0.0
    angles: tuple[float, ...] = ()
    rotate_axis: int = 0
    scale: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        amounts = (self.shift, self.rotate, self.scale, self.gain, self.offset, self.noise)
        if not all(0 <= amount < math.inf for amount in amounts) or self.shift % 1:
            raise ConfigError(
                "Expected finite amounts of augmentation of 0 or more, and whole voxels of shift, "
                f"received {self}. Set augmentation.NAME."
            )
        if max(self.scale, self.gain) >= 1:
            raise ConfigError(
                f"Expected augmentation.scale and augmentation.gain below 1, which is 100 %, "
                f"received {self.scale} and {self.gain}."
            )
        if self.rotate and self.angles:
            raise ConfigError(
                "Expected either augmentation.rotate or augmentation.angles, received both."
            )
        degrees = (self.rotate, *self.angles)
        if not all(0 <= angle <= 180 for angle in degrees):
            raise ConfigError(
                "Expected 0 to 180 degrees in augmentation.rotate and augmentation.angles, "
                f"received {degrees}. Each is turned either way; give it without its sign."
            )
        for name, values in (("angles", self.angles), ("mirror", self.mirror)):
            if len(set(values)) != len(values):
                raise ConfigError(f"Expected augmentation.{name} named once, received {values}.")

    @property
    def is_none(self) -> bool:
        """Whether volumes stay as they are."""
        return self == Augmentation(rotate_axis=self.rotate_axis)

    @property
    def turns(self) -> bool:
        """Whether volumes are rotated."""
        return self.rotate > 0 or any(self.angles)

    def rotate_axes(self, grid: Grid) -> tuple[int, ...]:
        """The axes to turn about, one after the other; 0 for an image, in its plane."""
        if not self.turns:
            return ()
        if grid.ndim == 3 and self.rotate_axis == EACH_AXIS:
            return (0, 1, 2)
        return (0,) if grid.ndim == 2 else (self.rotate_axis,)

    def check(self, grid: Grid) -> None:
        """Whether it can be done on a grid.

        Raises:
            ConfigError: says which setting can't.
        """
        shape = grid.shape
        if self.symmetries and (len(set(shape)) != 1 or len(set(grid.spacing_mm)) > 1):
            raise ConfigError(
                "Expected a grid of equal sides for augmentation.symmetries, received one of "
                f"{shape} voxels of {grid.spacing_mm or 'equal'} mm. Set "
                "augmentation.symmetries=false."
            )
        if any(not 0 <= axis < len(shape) for axis in self.mirror):
            raise ConfigError(
                f"Expected axes from 0 to {len(shape) - 1} for a grid of {shape}, received "
                f"augmentation.mirror={self.mirror}."
            )
        known = (EACH_AXIS, 0, 1, 2) if grid.ndim == 3 else (EACH_AXIS, 0)
        if self.rotate_axis not in known:
            raise ConfigError(
                f"Expected augmentation.rotate_axis out of {known} for a grid of {shape}, received "
                f"{self.rotate_axis}. An image turns in its plane, whichever is set."
            )
        if self.shift >= min(shape):
            raise ConfigError(
                f"Expected augmentation.shift to be less than each side of a grid of {shape}, "
                f"received {self.shift}: nothing would be left to see."
            )
