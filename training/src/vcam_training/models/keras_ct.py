"""The network of the Keras example "3D image classification from CT scans".

Source: Hasib Zunair, keras.io/examples/vision/3D_image_classification. Written here
with a logit instead of a sigmoid at the end, and for images as well.
"""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_training.models.blocks import (
    check_counts,
    check_grid,
    check_share,
    convolution,
    max_pooling,
)
from vcam_training.models.head import dense_logits, global_pooling

MINIMUM_SIZE = 46
"""Voxels along each axis that four valid convolutions 3 wide and poolings by 2 need."""


@dataclass(frozen=True, kw_only=True)
class KerasCt:
    """Four valid convolutions 3 wide, each with ReLU, max-pooling 2 and batch norm.

    1,352,897 parameters with one output, on volumes.

    Attributes:
        filters: channels of each convolution.
        dense: units of the hidden dense layer.
        dropout: share of its units that training drops.
        target_layer: layer whose cells the map shows. The last convolution's cells
            are 8 voxels wide and leave a wide rim out; those of "conv3" are 4.
    """

    filters: tuple[int, int, int, int] = (64, 64, 128, 256)
    dense: int = 512
    dropout: float = 0.3
    target_layer: str = "conv3"

    def __post_init__(self) -> None:
        check_counts(filters=self.filters, dense=self.dense)
        check_share("dropout", self.dropout)

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, untrained.

        Args:
            grid: voxels along each tensor axis, two or three of them.
            intensity: layer from physical values to what the network sees.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: an axis of the grid is shorter than MINIMUM_SIZE.
        """
        check_grid(grid, MINIMUM_SIZE, "Set a larger data.shape, or model=plain.")
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        for number, filters in enumerate(self.filters, start=1):
            x = convolution(x, filters, 3, f"conv{number}", padding="valid", activation="relu")
            x = max_pooling(x, 2, f"pool{number}")
            x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = global_pooling(x, "average")
        x = layers.Dense(self.dense, activation="relu", name="dense")(x)
        x = layers.Dropout(self.dropout, name="dropout")(x)
        return keras.Model(volume, dense_logits(x, "signed", outputs), name="keras_ct")
