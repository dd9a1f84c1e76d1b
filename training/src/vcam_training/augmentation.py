"""How training volumes are varied, in physical units, before the network's intensity layer."""

from dataclasses import dataclass

from vcam_client.errors import ConfigError
from vcam_client.spec import Grid


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each training volume; without settings, none.

    What comes in from outside is the grid's padding value. Masks move along.

    Attributes:
        symmetries: one of the ways to lay a grid with equal sides onto itself: 8 of a
            square, 48 of a cube.
        mirror: tensor axes, each flipped half of the time.
        shift: voxels, up to which a volume is moved along each axis, whole voxels only
            unless it is rotated or scaled as well.
        rotate: degrees, up to which it is turned; about `rotate_axis`, or about each
            axis in turn where that is −1.
        angles: degrees to choose from instead, each as likely, and its negative.
        rotate_axis: tensor axis that stays, of a volume; images have but one way to turn.
        scale: share, up to which it is magnified or shrunk.
        gain: share, up to which values are multiplied about the grid's padding value.
        offset: in the units of the values, up to which they are raised or lowered.
        noise: in the same units, the standard deviation of normal noise.
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
        if min(amounts) < 0 or max(self.scale, self.gain) >= 1:
            raise ConfigError(
                "Expected amounts of augmentation of 0 or more, and scale and gain below 1, "
                f"received {self}. Set augmentation.NAME."
            )
        if self.rotate and self.angles:
            raise ConfigError(
                "Expected either augmentation.rotate or augmentation.angles, received both."
            )

    @property
    def is_none(self) -> bool:
        """Whether volumes stay as they are."""
        return self == Augmentation(rotate_axis=self.rotate_axis)

    def check(self, grid: Grid) -> None:
        """Whether it can be done on a grid.

        Raises:
            ConfigError: says which setting can't.
        """
        shape = grid.shape
        if self.symmetries and len(set(shape)) != 1:
            raise ConfigError(
                "Expected a grid of equal sides for augmentation.symmetries, received one of "
                f"{shape}. Set augmentation.symmetries=false."
            )
        axes = (*self.mirror, *((self.rotate_axis,) if self.rotate_axis != -1 else ()))
        if any(not 0 <= axis < len(shape) for axis in axes):
            raise ConfigError(
                f"Expected axes from 0 to {len(shape) - 1} for a grid of {shape}, received "
                f"augmentation.mirror={self.mirror} and rotate_axis={self.rotate_axis}."
            )
