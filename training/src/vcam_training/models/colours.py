"""From RGB values as torchvision normalises them to those that another network was trained on."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from vcam_training.intensity import IMAGENET_MEAN, IMAGENET_STD

Preprocess = Callable[[NDArray[np.float32]], Any]
"""From RGB values 0 … 255, [B, H, W, 3], to what a network sees: `preprocess_input`."""

_COLOURS = np.concatenate([np.zeros((1, 3)), np.eye(3)])
"""Black, red, green and blue."""

_SAME = 1e-5
"""Two normalisations that differ by less in no value of an image are one."""


@keras.saving.register_keras_serializable(package="vcam")
class Recolour(keras.layers.Layer):
    """Mixes three channels: values · matrix + offset.

    Args:
        matrix: 3 × 3, from each channel of the input to each of the output.
        offset: of each channel of the output.
    """

    def __init__(
        self, matrix: Sequence[Sequence[float]], offset: Sequence[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.matrix = tuple(tuple(float(value) for value in row) for row in matrix)
        self.offset = tuple(float(value) for value in offset)

    def call(self, inputs: Any) -> Any:
        """float32 [B, *grid, 3] -> [B, *grid, 3]."""
        matrix = ops.convert_to_tensor(self.matrix, dtype=inputs.dtype)
        return ops.matmul(inputs, matrix) + ops.convert_to_tensor(self.offset, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "matrix": self.matrix, "offset": self.offset}


def recolour_for(preprocess: Preprocess, name: str) -> Recolour | None:
    """The layer from what `intensity.ImageNet` gives to what a network was trained on.

    Args:
        preprocess: what the network was trained on. All of `keras.applications` are affine,
            so black and the three colours tell what they do.
        name: of the layer.

    Returns:
        The layer; None where both are the same.
    """
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    wanted = _seen(preprocess)
    black, primaries = wanted[0], wanted[1:] - wanted[0]
    matrix, offset = std[:, None] * primaries, mean @ primaries + black
    given = (_COLOURS - mean) / std
    if np.abs(given @ matrix + offset - given).max() < _SAME:
        return None
    return Recolour(matrix.tolist(), offset.tolist(), dtype="float32", name=name)


def takes_pixels(preprocess: Preprocess) -> bool:
    """Whether a network takes values 0 … 255 as they are: it scales them itself."""
    return bool(np.abs(_seen(preprocess) - 255 * _COLOURS).max() < _SAME)


def _seen(preprocess: Preprocess) -> NDArray[np.float64]:
    """[4, 3]: what becomes of black and of the three colours."""
    images = 255 * _COLOURS[:, None, None].astype(np.float32)
    return np.asarray(preprocess(images), np.float64)[:, 0, 0]
