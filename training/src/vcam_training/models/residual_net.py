"""A residual network for images and volumes, without a layer that leads nowhere."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_training.models.blocks import (
    average_pooling,
    batch_norm,
    check_counts,
    check_grid,
    check_share,
    convolution,
)
from vcam_training.models.head import check_head, logits


@dataclass(frozen=True, kw_only=True)
class ResidualNet:
    """Residual blocks of two convolutions 3 wide, in stages, each half as fine as the last.

    K. He et al., Deep residual learning for image recognition, CVPR 2016. Resolution is
    halved by average-pooling in front of a stage, and a projection 1 wide follows
    where channels change, so that every voxel has a share in every sum. No
    convolution has a bias, since a normalisation follows each.

    Attributes:
        shrink: average-pooling before the first convolution, voxels.
        filters: channels of each stage; cells are shrink · 2 ** (stages - 1) wide.
        blocks: residual blocks of each stage.
        pooling: "max", "smooth_max" or "average", over all cells.
        head: "signed", "evidence" or "contrast", see `models.head`.
        dropout: share of the pooled features that training drops.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    shrink: int = 4
    filters: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1
    pooling: str = "smooth_max"
    head: str = "evidence"
    dropout: float = 0.0
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        check_counts(filters=self.filters, blocks=self.blocks, shrink=self.shrink)
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
            ConfigError: the grid is too small for so much pooling.
        """
        smallest = self.shrink * 2 ** (len(self.filters) - 1)
        check_grid(grid, smallest, "Set fewer model.filters or a smaller model.shrink.")
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        if self.shrink > 1:
            x = average_pooling(x, self.shrink, "shrink")
        x = _normalised(x, self.filters[0], 3, "stem")
        x = layers.ReLU(name="stem_relu")(x)
        for stage, filters in enumerate(self.filters, start=1):
            if stage > 1:
                x = average_pooling(x, 2, f"halve{stage}")
            for block in range(1, self.blocks + 1):
                x = _block(x, filters, f"stage{stage}_block{block}")
        outcome = logits(x, self.pooling, self.head, outputs, self.dropout)
        return keras.Model(volume, outcome, name=f"residual_net_{len(grid)}d")


def _block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = _normalised(x, filters, 1, f"{name}_projection")
    x = _normalised(x, filters, 3, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = _normalised(x, filters, 3, f"{name}_conv2")
    x = layers.Add(name=f"{name}_sum")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _normalised(x: keras.KerasTensor, filters: int, width: int, name: str) -> keras.KerasTensor:
    """A convolution and its batch normalisation."""
    x = convolution(x, filters, width, name, use_bias=False, kernel_initializer="he_normal")
    return batch_norm(x, f"{name}_norm")
