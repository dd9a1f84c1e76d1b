"""The way down of the One Hundred Layers Tiramisu, for images and volumes."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_training.models.blocks import (
    batch_norm,
    check_counts,
    check_grid,
    check_share,
    convolution,
    max_pooling,
)
from vcam_training.models.head import check_head, logits


@dataclass(frozen=True, kw_only=True)
class FcDenseNet:
    """The encoder of FC-DenseNet, with a classifier on its bottleneck.

    S. Jégou et al., The one hundred layers tiramisu: fully convolutional DenseNets for
    semantic segmentation, CVPR Workshops 2017: by default FC-DenseNet103, whose
    bottleneck ends with 896 channels. A layer is BN, ReLU, a convolution 3 wide and
    dropout, and every layer of a block reads all before it; a transition down is BN,
    ReLU, a convolution 1 wide, dropout and max-pooling 2. The sizes that pooling meets
    are rounded up, so that cells cover the whole grid.

    Attributes:
        filters: channels of the first convolution.
        growth: channels that each layer adds.
        blocks: layers of the block in front of each transition; cells are
            2 ** blocks voxels wide at the end.
        bottleneck: layers of the last block.
        dropout: share of values that training drops behind each convolution.
        pooling: "max", "smooth_max" or "average", over all cells.
        head: "signed", "evidence" or "contrast", see `models.head`.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    filters: int = 48
    growth: int = 16
    blocks: tuple[int, ...] = (4, 5, 7, 10, 12)
    bottleneck: int = 15
    dropout: float = 0.2
    pooling: str = "average"
    head: str = "signed"
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        check_share("dropout", self.dropout)
        check_counts(
            filters=self.filters,
            growth=self.growth,
            blocks=self.blocks,
            bottleneck=self.bottleneck,
        )

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
        x = _convolution(intensity(x), self.filters, 3, "conv")
        for number, count in enumerate(self.blocks, start=1):
            x = self._block(x, count, f"down{number}")
            x = self._convolution(x, x.shape[-1], 1, f"transition{number}")
            x = max_pooling(x, 2, f"transition{number}_pool", padding="same")
        x = self._block(x, self.bottleneck, "bottleneck")
        outcome = logits(x, self.pooling, self.head, outputs)
        return keras.Model(volume, outcome, name=f"fc_dense_net_{len(grid)}d")

    def _block(self, x: keras.KerasTensor, count: int, name: str) -> keras.KerasTensor:
        for number in range(1, count + 1):
            layer = f"{name}_layer{number}"
            new = self._convolution(x, self.growth, 3, layer)
            x = layers.Concatenate(name=f"{layer}_concat")([x, new])
        return x

    def _convolution(
        self, x: keras.KerasTensor, filters: int, width: int, name: str
    ) -> keras.KerasTensor:
        """BN, ReLU, a convolution and dropout."""
        x = layers.ReLU(name=f"{name}_relu")(batch_norm(x, f"{name}_norm"))
        x = _convolution(x, filters, width, f"{name}_conv")
        return layers.Dropout(self.dropout, name=f"{name}_dropout")(x) if self.dropout else x


def _convolution(x: keras.KerasTensor, filters: int, width: int, name: str) -> keras.KerasTensor:
    return convolution(x, filters, width, name, kernel_initializer="he_uniform")
