"""The networks of Oxford's Visual Geometry Group, for images and volumes."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.blocks import (
    batch_norm,
    check_counts,
    check_grid,
    check_share,
    convolution,
    max_pooling,
)
from vcam_training.models.head import POOLINGS, check_head, dense_logits, global_pooling

FLATTEN = "flatten"
"""The pooling that keeps every cell apart."""


@dataclass(frozen=True, kw_only=True)
class Vgg:
    """Blocks of convolutions 3 wide (same padding, ReLU), each ended by max-pooling 2.

    K. Simonyan, A. Zisserman, Very deep convolutional networks for large-scale image
    recognition, ICLR 2015 (arXiv, 2014): by default configuration D, VGG-16. Weights are
    drawn as by K. He et al., Delving deep into rectifiers, ICCV 2015, which let as
    many layers learn without a start from shallower ones.

    Layers are called as in `keras.applications.VGG16` and VGG19, block1_conv1 …
    block5_conv3, fc1, fc2, so that their weights can be taken over (`start_from`) by a
    network that sees three channels.

    Attributes:
        blocks: channels of each convolution, block by block.
        pooling: "flatten", or "max", "smooth_max" or "average" over all cells.
        dense: units of the hidden dense layers; () for none.
        dropout: share of their units that training drops; 0.5 in the paper.
        batch_norm: batch normalisation between each convolution and its ReLU, which
            then are layers of their own: block1_norm1, block1_relu1.
        target_layer: layer whose cells the map shows: "last", or any convolution.
    """

    blocks: tuple[tuple[int, ...], ...] = (
        (64, 64),
        (128, 128),
        (256, 256, 256),
        (512, 512, 512),
        (512, 512, 512),
    )
    pooling: str = FLATTEN
    dense: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.0
    batch_norm: bool = False
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, "signed", (FLATTEN, *POOLINGS))
        check_share("dropout", self.dropout)
        if not self.blocks:
            raise ConfigError("Expected at least one block, received blocks=(). Set model.blocks.")
        for filters in self.blocks:
            check_counts(blocks=filters)
        if self.dense:
            check_counts(dense=self.dense)

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, untrained.

        Args:
            grid: voxels along each tensor axis, two or three of them.
            intensity: layer from physical values to what the network sees.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: the grid is too small for so much pooling.
        """
        check_grid(grid, 2 ** len(self.blocks), "Set fewer model.blocks or a larger data.shape.")
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        for number, block in enumerate(self.blocks, start=1):
            for place, filters in enumerate(block, start=1):
                x = self._convolution(x, filters, f"block{number}", place)
            x = max_pooling(x, 2, f"block{number}_pool")
        flat = self.pooling == FLATTEN
        x = layers.Flatten(name="flatten")(x) if flat else global_pooling(x, self.pooling)
        for number, units in enumerate(self.dense, start=1):
            x = layers.Dense(
                units, activation="relu", kernel_initializer="he_normal", name=f"fc{number}"
            )(x)
            if self.dropout:
                x = layers.Dropout(self.dropout, name=f"dropout{number}")(x)
        outcome = dense_logits(x, "signed", outputs)
        return keras.Model(volume, outcome, name=f"vgg_{len(grid)}d")

    def _convolution(
        self, x: keras.KerasTensor, filters: int, block: str, place: int
    ) -> keras.KerasTensor:
        name, drawn = f"{block}_conv{place}", "he_normal"
        if not self.batch_norm:
            return convolution(x, filters, 3, name, activation="relu", kernel_initializer=drawn)
        x = convolution(x, filters, 3, name, use_bias=False, kernel_initializer=drawn)
        x = batch_norm(x, f"{block}_norm{place}")
        return layers.ReLU(name=f"{block}_relu{place}")(x)
