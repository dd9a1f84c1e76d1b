"""Keras layers that own intensity inside the graph.

Each maps float32 physical values [B, *grid, 1] to what the network sees, so
that a served model takes Hounsfield units or raw values and nobody repeats
its preprocessing. `*grid` is (D, H, W) or (H, W).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from vcam_client.errors import ConfigError
from vcam_client.spec import Grid, Intensity

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB values scaled to [0, 1] (torchvision's reference values)."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB values scaled to [0, 1]."""

_register = keras.saving.register_keras_serializable(package="vcam")


def _check_window(low: float, high: float) -> tuple[float, float]:
    if not low < high:
        raise ConfigError(
            f"Expected a window with low < high, received low={low}, high={high}. "
            "Give the lower bound first, in the units of the input."
        )
    return float(low), float(high)


@_register
class Window(keras.layers.Layer):
    """Clips to [low, high] and scales that to [0, 1].

    Args:
        low, high: bounds in the units of the input, HU for CT.
    """

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = _check_window(low, high)

    def call(self, inputs: Any) -> Any:
        """float32 [B, *grid, 1], physical values -> [B, *grid, 1] in [0, 1]."""
        return (ops.clip(inputs, self.low, self.high) - self.low) / (self.high - self.low)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "low": self.low, "high": self.high}


@_register
class ZScore(keras.layers.Layer):
    """Subtracts each sample's mean and divides by its standard deviation.

    Both are taken over the voxels that are not the padding value, so that the
    amount of padding doesn't shift a scan's intensities. Padding becomes 0, the
    mean; a constant sample becomes 0 everywhere.

    Args:
        padding_value: value outside the scan, as in the model spec's grid.
    """

    def __init__(self, padding_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding_value = float(padding_value)

    def call(self, inputs: Any) -> Any:
        """float32 [B, *grid, 1], physical values -> [B, *grid, 1] of mean 0, deviation 1."""
        axes = tuple(range(1, len(inputs.shape)))
        seen = inputs != ops.cast(self.padding_value, inputs.dtype)
        weight = ops.cast(seen, inputs.dtype)
        count = ops.maximum(ops.sum(weight, axis=axes, keepdims=True), 1.0)
        # Measured from the sample's own maximum, a constant sample is exactly 0
        # and large offsets don't cost float32 digits.
        lowest = ops.full_like(inputs, -3.0e38)
        maximum = ops.max(ops.where(seen, inputs, lowest), axis=axes, keepdims=True)
        shifted = ops.where(seen, inputs - maximum, ops.zeros_like(inputs))
        mean = ops.sum(shifted, axis=axes, keepdims=True) / count
        centred = (shifted - mean) * weight
        variance = ops.sum(ops.square(centred), axis=axes, keepdims=True) / count
        deviation = ops.sqrt(variance)
        return centred / ops.where(deviation > 0, deviation, ops.ones_like(deviation))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "padding_value": self.padding_value}


@_register
class ImageNet(keras.layers.Layer):
    """Scales [low, high] to [0, 1] and normalises as RGB networks of ImageNet expect.

    Args:
        low, high: bounds in the units of the input; values beyond are clipped.
    """

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = _check_window(low, high)

    def call(self, inputs: Any) -> Any:
        """float32 [B, *grid, 1], physical values -> [B, *grid, 3]."""
        scaled = (ops.clip(inputs, self.low, self.high) - self.low) / (self.high - self.low)
        rgb = ops.repeat(scaled, 3, axis=-1)
        mean = ops.convert_to_tensor(IMAGENET_MEAN, dtype=rgb.dtype)
        return (rgb - mean) / ops.convert_to_tensor(IMAGENET_STD, dtype=rgb.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the input with three channels."""
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "low": self.low, "high": self.high}


@_register
class Bands(keras.layers.Layer):
    """One channel for each intensity band: 1 inside the band, 0 outside.

    Band b holds edges[b] <= value < edges[b + 1]; the last one includes its upper
    edge. A value is in one band at most; values beyond the edges are in none.

    Args:
        edges: at least two ascending edges, in the units of the input. They are
            constants of the data set: a slice can't know them from itself.
    """

    def __init__(self, edges: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.edges = tuple(float(edge) for edge in edges)
        if len(self.edges) < 2 or any(a >= b for a, b in itertools.pairwise(self.edges)):
            raise ConfigError(
                f"Expected at least two ascending band edges, received {self.edges}. "
                "Give them in the units of the input, lowest first."
            )

    def call(self, inputs: Any) -> Any:
        """float32 [B, *grid, 1], physical values -> [B, *grid, len(edges) - 1] of 0 and 1."""
        low = ops.convert_to_tensor(self.edges[:-1], dtype=inputs.dtype)
        high = ops.convert_to_tensor(self.edges[1:], dtype=inputs.dtype)
        last = ops.convert_to_tensor([False] * (len(self.edges) - 2) + [True], dtype="bool")
        inside = (inputs >= low) & ((inputs < high) | (last & (inputs == high)))
        return ops.cast(inside, inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the input with one channel for each band."""
        return (*input_shape[:-1], len(self.edges) - 1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "edges": self.edges}


SCALINGS = {
    "window": "clipped to {window}, scaled to [0, 1]",
    "z_score": "each scan's mean subtracted, divided by its standard deviation, without padding",
    "imagenet": "clipped to {window}, scaled to [0, 1], normalised as ImageNet's RGB",
    "bands": "one channel for each intensity band",
}
"""What the graph can do with intensities, and what the model spec says of it."""


def intensity_layer(scaling: str, intensity: Intensity, grid: Grid) -> keras.layers.Layer:
    """The layer that does it, always in float32.

    Args:
        scaling: out of SCALINGS.
        intensity: of the data, with a window, or band edges for "bands".
        grid: of the data.

    Raises:
        ConfigError: the data have neither window nor edges, as the scaling needs.
    """
    options = {"name": scaling, "dtype": "float32"}
    if scaling == "z_score":
        return ZScore(grid.padding_value, **options)
    if scaling == "bands":
        if not intensity.band_edges:
            raise ConfigError(
                "Expected data with intensity bands for scaling=bands, received some without. "
                "Set scaling=window."
            )
        return Bands(intensity.band_edges, **options)
    if intensity.window is None:
        raise ConfigError(
            f"Expected data with a window for scaling={scaling}, received some without. "
            "Set scaling=z_score."
        )
    kind = ImageNet if scaling == "imagenet" else Window
    return kind(*intensity.window, **options)


def transform_text(scaling: str, intensity: Intensity) -> str:
    """What the graph does with intensities, in words."""
    window = ""
    if intensity.window is not None:
        low, high = intensity.window
        window = f"[{low:g}, {high:g}]{' ' * bool(intensity.units)}{intensity.units}"
    return SCALINGS[scaling].format(window=window)
