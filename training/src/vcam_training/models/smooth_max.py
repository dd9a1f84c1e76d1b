"""Smooth maximum over all cells."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="vcam")
class SmoothMaxPooling(keras.layers.Layer):
    """Log-mean-exp over all cells: between the mean and the maximum.

    P. O. Pinheiro, R. Collobert, From image-level to pixel-level labeling with
    convolutional networks, CVPR 2015, equation 2, with r = 1.

    Call:
        features: float32 [B, *cells, C].

    Returns:
        float32 [B, C].
    """

    def call(self, features: Any) -> Any:
        """Pools all axes between batch and channels."""
        cells = list(range(1, len(features.shape) - 1))
        count = float(np.prod([features.shape[axis] for axis in cells]))
        return keras.ops.logsumexp(features, axis=cells) - np.log(count)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(B, C)."""
        return input_shape[0], input_shape[-1]
