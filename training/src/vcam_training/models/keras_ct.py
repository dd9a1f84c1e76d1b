"""The network of the Keras example "3D image classification from CT scans".

Source: Hasib Zunair, keras.io/examples/vision/3D_image_classification. Written here
with a logit instead of a sigmoid at the end.
"""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_client.errors import ConfigError

MINIMUM_SIZE = 46
"""Voxels along each axis that four valid 3³ convolutions and poolings by 2 need."""


@dataclass(frozen=True, kw_only=True)
class KerasCt:
    """Four valid convolutions 3³, each with ReLU, max-pooling 2 and batch norm.

    1,352,897 parameters with one output.

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

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, untrained.

        Args:
            grid: voxels along each tensor axis.
            intensity: layer from physical values to what the network sees.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: an axis of the grid is shorter than MINIMUM_SIZE.
        """
        if min(grid) < MINIMUM_SIZE:
            raise ConfigError(
                f"Expected at least {MINIMUM_SIZE} voxels along each axis for model=keras_ct, "
                f"received a grid of {'×'.join(map(str, grid))}. Set a larger data.shape, "
                "or model=small."
            )
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        for number, filters in enumerate(self.filters, start=1):
            x = layers.Conv3D(filters, 3, activation="relu", name=f"conv{number}")(x)
            x = layers.MaxPooling3D(2, name=f"pool{number}")(x)
            x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.GlobalAveragePooling3D(name="global_average")(x)
        x = layers.Dense(self.dense, activation="relu", name="dense")(x)
        x = layers.Dropout(self.dropout, name="dropout")(x)
        return keras.Model(volume, layers.Dense(outputs, name="logits")(x), name="keras_ct")
