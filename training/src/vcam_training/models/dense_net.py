"""Densely connected networks, for images and volumes."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.blocks import (
    average_pooling,
    batch_norm,
    check_counts,
    check_grid,
    check_share,
    convolution,
    max_pooling,
    zero_padding,
)
from vcam_training.models.head import check_head, logits

STEMS = {"imagenet": 4, "cifar": 1}
"""What is in front of the first block, and how many voxels its cells are wide."""

_EPSILON = 1.001e-5
"""Of the batch normalisations, as in `keras.applications`."""


@dataclass(frozen=True, kw_only=True)
class DenseNet:
    """Blocks whose layers each read all maps before them, with a transition between blocks.

    G. Huang et al., Densely connected convolutional networks, CVPR 2017: by default
    DenseNet-121. A layer is BN, ReLU, a convolution 1 wide, BN, ReLU and a convolution 3
    wide with `growth` channels; a transition BN, ReLU, a convolution 1 wide and
    average-pooling 2.

    Layers are called as in `keras.applications.DenseNet121`, so that its weights can be
    taken over (`start_from`) by a network that sees three channels.

    Attributes:
        growth: channels that each layer adds.
        blocks: layers of each block; cells are 4 (stem "imagenet") or 1 voxels wide in
            the first one, and twice as wide in each of the next.
        compression: share of the channels that a transition keeps.
        bottleneck: channels of the convolution 1 wide, times growth; 0 for none.
        stem: "imagenet": a convolution 7 wide and max-pooling 3, each with stride 2;
            "cifar": a convolution 3 wide. Both have 2 · growth channels.
        dropout: share of each layer's new channels that training drops; 0.2 in the
            paper without augmentation.
        pooling: "max", "smooth_max" or "average", over all cells.
        head: "signed", "evidence" or "contrast", see `models.head`.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    growth: int = 32
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    compression: float = 0.5
    bottleneck: int = 4
    stem: str = "imagenet"
    dropout: float = 0.0
    pooling: str = "average"
    head: str = "signed"
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        check_counts(growth=self.growth, blocks=self.blocks)
        check_share("dropout", self.dropout)
        if self.stem not in STEMS:
            raise ConfigError(
                f"Expected a stem out of {tuple(STEMS)}, received {self.stem!r}. Set model.stem."
            )
        if not (0 < self.compression <= 1 and self.bottleneck >= 0):
            raise ConfigError(
                "Expected 0 < compression ≤ 1 and bottleneck ≥ 0, received "
                f"{self.compression:g} and {self.bottleneck}. Set model.compression and "
                "model.bottleneck."
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
        smallest = STEMS[self.stem] * 2 ** (len(self.blocks) - 1)
        check_grid(grid, smallest, "Set fewer model.blocks or model.stem=cifar.")
        volume = x = keras.Input((*grid, 1), name="volume")
        x = self._stem(intensity(x))
        for number, count in enumerate(self.blocks, start=2):
            if number > 2:
                x = self._transition(x, f"pool{number - 1}")
            for layer in range(1, count + 1):
                x = self._layer(x, f"conv{number}_block{layer}")
        x = _activated(x, "bn", "relu")
        outcome = logits(x, self.pooling, self.head, outputs)
        return keras.Model(volume, outcome, name=f"dense_net_{len(grid)}d")

    def _stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        filters = 2 * self.growth
        if self.stem == "cifar":
            return _convolution(x, filters, 3, "conv1_conv")
        x = zero_padding(x, 3, "conv1_pad")
        x = _convolution(x, filters, 7, "conv1_conv", padding="valid", strides=2)
        x = _activated(x, "conv1_bn", "conv1_relu")
        x = zero_padding(x, 1, "pool1_pad")
        return max_pooling(x, 3, "pool1", strides=2)

    def _layer(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        new = _activated(x, f"{name}_0_bn", f"{name}_0_relu")
        if self.bottleneck:
            new = _convolution(new, self.bottleneck * self.growth, 1, f"{name}_1_conv")
            new = _activated(new, f"{name}_1_bn", f"{name}_1_relu")
        new = _convolution(new, self.growth, 3, f"{name}_2_conv")
        if self.dropout:
            new = layers.Dropout(self.dropout, name=f"{name}_dropout")(new)
        return layers.Concatenate(name=f"{name}_concat")([x, new])

    def _transition(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = _activated(x, f"{name}_bn", f"{name}_relu")
        x = _convolution(x, max(1, int(x.shape[-1] * self.compression)), 1, f"{name}_conv")
        return average_pooling(x, 2, f"{name}_pool")


def _convolution(
    x: keras.KerasTensor, filters: int, width: int, name: str, **options: object
) -> keras.KerasTensor:
    return convolution(
        x, filters, width, name, use_bias=False, kernel_initializer="he_normal", **options
    )


def _activated(x: keras.KerasTensor, norm: str, relu: str) -> keras.KerasTensor:
    return layers.ReLU(name=relu)(batch_norm(x, norm, epsilon=_EPSILON))
