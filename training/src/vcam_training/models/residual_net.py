"""A residual network for images and volumes, without a layer that leads nowhere."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.head import check_head, logits

_CONVOLUTION = {2: layers.Conv2D, 3: layers.Conv3D}
_MEAN = {2: layers.AveragePooling2D, 3: layers.AveragePooling3D}
_MOMENTUM = 0.9
"""Of the running statistics: a run has some hundred steps, not many thousands."""


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
        head: "signed" or "evidence", see `models.head`.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    shrink: int = 4
    filters: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1
    pooling: str = "smooth_max"
    head: str = "evidence"
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        if not self.filters or min(*self.filters, self.blocks, self.shrink) < 1:
            raise ConfigError(
                "Expected at least one filter count, blocks ≥ 1 and shrink ≥ 1, received "
                f"filters={self.filters}, blocks={self.blocks} and shrink={self.shrink}. "
                "Set model.filters, model.blocks and model.shrink."
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
        cell = self.shrink * 2 ** (len(self.filters) - 1)
        if min(grid) < cell:
            raise ConfigError(
                f"Expected at least {cell} voxels along each axis for cells of {cell} voxels, "
                f"received a grid of {grid}. Set fewer model.filters or a smaller model.shrink."
            )
        dimensions = len(grid)
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        if self.shrink > 1:
            x = _MEAN[dimensions](self.shrink, name="shrink")(x)
        x = _convolution(x, self.filters[0], 3, "stem")
        x = layers.ReLU(name="stem_relu")(x)
        for stage, filters in enumerate(self.filters, start=1):
            if stage > 1:
                x = _MEAN[dimensions](2, name=f"halve{stage}")(x)
            for block in range(1, self.blocks + 1):
                x = _block(x, filters, f"stage{stage}_block{block}")
        outcome = logits(x, self.pooling, self.head, outputs)
        return keras.Model(volume, outcome, name=f"residual_net_{dimensions}d")


def _block(x: Any, filters: int, name: str) -> Any:
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, f"{name}_projection")
    x = _convolution(x, filters, 3, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = _convolution(x, filters, 3, f"{name}_conv2")
    x = layers.Add(name=f"{name}_sum")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _convolution(x: Any, filters: int, width: int, name: str) -> Any:
    """A convolution and its batch normalisation."""
    x = _CONVOLUTION[len(x.shape) - 2](
        filters,
        width,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
