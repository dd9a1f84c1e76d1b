"""Noise, with or without one disc in it: where a map belongs is known to the pixel.

Source of the task: size × size pixels of noise, uniform in [low, 1). A positive image
has one disc of radius R · U(0.6, 1), wholly inside the image, each of whose pixels is
set to 1 with a given probability. Its mask is the disc, also where the noise was left.
A negative image has neither.

- "sparse": 1024² pixels, noise in [0.5, 1), R = 50, 7 of 10 pixels of the disc set.
- "easy": 256² pixels, noise in [0, 1), R = 40, all pixels of the disc set.

The same seed gives the same bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError

LABELS = ("no disc", "disc")
RADIUS_SHARE = (0.6, 1.0)
"""A disc's radius, uniform in [low, high), as a share of the largest."""
DISC_VALUE = 1.0
"""Of the pixels that are set; noise never reaches it."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How large, noisy and dense the images are.

    Attributes:
        size: N, pixels along both sides.
        radius: R, pixels, the largest radius.
        noise: (low, high) of the noise, uniform, half open; no unit.
        fill: probability of each pixel of a disc to be set.

    Raises:
        ConfigError: values out of range, or a disc that does not fit into the image.
    """

    size: int = 1024
    radius: float = 50.0
    noise: tuple[float, float] = (0.5, 1.0)
    fill: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= (self.size - 1) / 2:
            raise ConfigError(
                f"Expected a radius of at least 1 pixel and a disc that fits into the image, "
                f"received radius={self.radius:g} and size={self.size}. "
                "Set a smaller data.radius or a larger data.size."
            )
        low, high = self.noise
        if not (0 <= low < high <= DISC_VALUE and 0 < self.fill <= 1):
            raise ConfigError(
                f"Expected noise 0 ≤ low < high ≤ {DISC_VALUE:g} and 0 < fill ≤ 1, received "
                f"noise={self.noise} and fill={self.fill:g}. Set data.noise and data.fill."
            )


VARIANTS = {
    "sparse": Look(),
    "easy": Look(size=256, radius=40.0, noise=(0.0, 1.0), fill=1.0),
}
"""Looks by the name that a config uses."""


@dataclass(frozen=True, kw_only=True)
class Discs:
    """Images with discs of known place.

    Attributes:
        images: float32 [n, N, N], rows and columns, no unit.
        labels: int32 [n], index into LABELS.
        masks: bool [n, N, N], the discs.
        centres: float64 [n, 2], row and column; NaN without a disc.
        radii: float64 [n], pixels; NaN without a disc.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: NDArray[np.bool_]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]


def generate(count: int, look: Look, *, seed: int = 0, first_label: int = 0) -> Discs:
    """Makes `count` images whose labels alternate before they are shuffled.

    Args:
        count: how many.
        look: of the images.
        seed: the same seed gives the same bytes.
        first_label: 0 or 1, the class that has one more image if `count` is odd.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(count, dtype=np.int32) + first_label) % len(LABELS)
    labels = rng.permutation(labels)
    images = np.empty((count, look.size, look.size), np.float32)
    masks = np.zeros(images.shape, bool)
    centres, radii = np.full((count, 2), np.nan), np.full(count, np.nan)
    for at, label in enumerate(labels):
        images[at] = _noise(rng, look)
        if label:
            radii[at] = look.radius * rng.uniform(*RADIUS_SHARE)
            centres[at] = rng.uniform(radii[at], look.size - 1 - radii[at], 2)
            masks[at] = _disc(look.size, centres[at], radii[at])
            is_set = masks[at] & (rng.random(masks[at].shape, np.float32) < look.fill)
            images[at][is_set] = DISC_VALUE
    return Discs(images=images, labels=labels, masks=masks, centres=centres, radii=radii)


def _noise(rng: np.random.Generator, look: Look) -> NDArray[np.float32]:
    low, high = np.float32(look.noise[0]), np.float32(look.noise[1])
    noise = low + (high - low) * rng.random((look.size, look.size), np.float32)
    # Just below the upper end the sum can round up to it; the interval is half open.
    return np.minimum(noise, np.nextafter(high, np.float32(0)))


def _disc(size: int, centre: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Bool [N, N]: pixels whose centre lies in the disc."""
    row, column = np.ogrid[:size, :size]
    inside: NDArray[np.bool_] = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 <= radius**2
    return inside
