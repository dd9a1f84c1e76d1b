"""What networks are made of: each takes its 2-D or 3-D layer from what it is given.

`x` is a feature map [B, *cells, C] with two or three spatial axes.
"""

from typing import Any

import keras
from keras import layers

from vcam_client.errors import ConfigError

MOMENTUM = 0.9
"""Of the running statistics: a run has some hundred steps, not many thousands."""

_CONVOLUTIONS = {2: layers.Conv2D, 3: layers.Conv3D}
_MAXIMA = {2: layers.MaxPooling2D, 3: layers.MaxPooling3D}
_MEANS = {2: layers.AveragePooling2D, 3: layers.AveragePooling3D}
_ZEROS = {2: layers.ZeroPadding2D, 3: layers.ZeroPadding3D}


def spatial_axes(x: keras.KerasTensor) -> int:
    """2 for images, 3 for volumes."""
    return len(x.shape) - 2


def convolution(
    x: keras.KerasTensor, filters: int, width: int, name: str, **options: Any
) -> keras.KerasTensor:
    """A convolution as wide along each axis, with same padding unless `options` say otherwise."""
    kind = _CONVOLUTIONS[spatial_axes(x)]
    return kind(filters, width, name=name, **{"padding": "same", **options})(x)


def max_pooling(x: keras.KerasTensor, width: int, name: str, **options: Any) -> keras.KerasTensor:
    """The maximum of `width` cells along each axis; windows don't overlap."""
    kind = _MAXIMA[spatial_axes(x)]
    return kind(width, dtype=_pooled_in(x), name=name, **options)(x)


def average_pooling(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """The mean of `width` cells along each axis; windows don't overlap."""
    return _MEANS[spatial_axes(x)](width, dtype=_pooled_in(x), name=name)(x)


def zero_padding(x: keras.KerasTensor, cells: int, name: str) -> keras.KerasTensor:
    """That many zeros at both ends of each axis."""
    return _ZEROS[spatial_axes(x)](cells, name=name)(x)


def batch_norm(x: keras.KerasTensor, name: str, **options: Any) -> keras.KerasTensor:
    """Batch normalisation whose running statistics follow within some tens of steps."""
    return layers.BatchNormalization(momentum=MOMENTUM, name=name, **options)(x)


def _pooled_in(x: keras.KerasTensor) -> str | None:
    """The policy of a pooling; None for the current one.

    TensorFlow has no pooling of volumes in float16 on CPUs.
    """
    half = keras.config.dtype_policy().compute_dtype == "float16"
    return "float32" if half and spatial_axes(x) == 3 else None


def check_grid(grid: tuple[int, ...], smallest: int, advice: str) -> None:
    """Whether a network can be built on a grid.

    Args:
        grid: voxels along each tensor axis.
        smallest: voxels that the network needs along each of them.
        advice: what to set instead.

    Raises:
        ConfigError: the grid has neither two nor three axes, or is too small.
    """
    if len(grid) not in (2, 3):
        raise ConfigError(
            f"Expected a grid with 2 or 3 axes, received {grid}. Choose other data with data=NAME."
        )
    if min(grid) < smallest:
        raise ConfigError(
            f"Expected at least {smallest} voxels along each axis, received a grid of "
            f"{'×'.join(map(str, grid))}. {advice}"
        )


def check_share(name: str, share: float) -> None:
    """Whether a setting is a share that can be dropped.

    Raises:
        ConfigError: it is not.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"Expected 0 ≤ {name} < 1, received {share}. Set model.{name}.")


def check_counts(**counts: int | tuple[int, ...]) -> None:
    """Whether settings are whole numbers of at least 1, or tuples of some of these.

    Raises:
        ConfigError: names the setting that is not.
    """
    for name, value in counts.items():
        each = value if isinstance(value, tuple) else (value,)
        if not each or not all(isinstance(n, int) and n >= 1 for n in each):
            wanted = "whole numbers" if isinstance(value, tuple) else "a whole number"
            raise ConfigError(
                f"Expected {wanted} ≥ 1, received {name}={value!r}. Set model.{name}."
            )
