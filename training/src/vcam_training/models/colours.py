"""From RGB values as torchvision normalises them to those that another network was trained on."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from vcam_training.intensity import IMAGENET_MEAN, IMAGENET_STD

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


def recolour_for(preprocess: Callable[[NDArray[np.float32]], Any], name: str) -> Recolour | None:
    """The layer from what `intensity.ImageNet` gives to what a network was trained on.

    Args:
        preprocess: from RGB values 0 … 255, [B, H, W, 3], to what the network was trained
            on: a `preprocess_input` of `keras.applications`. All of them are affine, so black
            and the three colours tell what they do.
        name: of the layer.

    Returns:
        The layer; None where both are the same.
    """
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    colours = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    wanted = np.asarray(preprocess(255 * colours[None, None].astype(np.float32)), np.float64)
    black, primaries = wanted[0, 0, 0], wanted[0, 0, 1:] - wanted[0, 0, 0]
    matrix, offset = std[:, None] * primaries, mean @ primaries + black
    given = (colours - mean) / std
    if np.abs(given @ matrix + offset - given).max() < _SAME:
        return None
    return Recolour(matrix.tolist(), offset.tolist(), dtype="float32", name=name)
