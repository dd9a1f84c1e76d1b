"""A plain network with fine cells: convolutions, a global pooling, one dense layer."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.blocks import (
    average_pooling,
    batch_norm,
    check_counts,
    check_grid,
    convolution,
    max_pooling,
)
from vcam_training.models.constraints import Mirrored, MirroredHeNormal
from vcam_training.models.head import check_head, logits

_HALVINGS = {"max": max_pooling, "average": average_pooling}


@dataclass(frozen=True, kw_only=True)
class PlainCnn:
    """Convolutions 3 wide (same padding, ReLU), the first ones each followed by pooling 2.

    Without biases and normalisation every map vanishes where the input is at the
    window's lower end: air lights nothing up. Global max-pooling asks "is it
    anywhere?", which finds one lesion in a chest where averaging dilutes it; its smooth
    form learns that in a third of the epochs, since all cells get a gradient.

    Attributes:
        shrink: average-pooling before the first convolution, voxels.
        filters: channels of each convolution.
        pools: how many convolutions are followed by pooling; cells are
            shrink · 2 ** pools voxels wide.
        pooling: "max", "smooth_max" or "average", over all cells.
        head: "signed", "evidence" or "contrast", see `models.head`.
        halving: "max" or "average": which pooling follows these convolutions.
        mirrored: convolutions that are the same when mirrored along each axis, for
            objects that are; see `constraints.Mirrored`.
        use_bias: biases in the convolutions.
        batch_norm: batch normalisation between each convolution and its ReLU. What
            global max-pooling learns in a chest depends on it.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    shrink: int = 1
    filters: tuple[int, ...] = (8, 16, 32, 64)
    pools: int = 2
    pooling: str = "max"
    head: str = "signed"
    halving: str = "max"
    mirrored: bool = False
    use_bias: bool = False
    batch_norm: bool = False
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        check_counts(filters=self.filters, shrink=self.shrink)
        if self.halving not in _HALVINGS:
            raise ConfigError(
                f"Expected a halving out of {tuple(_HALVINGS)}, received {self.halving!r}. "
                "Set model.halving."
            )
        if not 0 <= self.pools <= len(self.filters):
            raise ConfigError(
                f"Expected 0 to {len(self.filters)} pools for filters={self.filters}, received "
                f"pools={self.pools}. Set model.filters and model.pools."
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
        smallest = self.shrink * 2**self.pools
        check_grid(grid, smallest, "Set fewer model.pools or a smaller model.shrink.")
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        if self.shrink > 1:
            x = average_pooling(x, self.shrink, "shrink")
        for number, filters in enumerate(self.filters, start=1):
            x = convolution(
                x,
                filters,
                3,
                f"conv{number}",
                use_bias=self.use_bias,
                kernel_initializer=MirroredHeNormal() if self.mirrored else "he_normal",
                kernel_constraint=Mirrored() if self.mirrored else None,
            )
            if self.batch_norm:
                x = batch_norm(x, f"norm{number}")
            x = layers.ReLU(name=f"relu{number}")(x)
            if number <= self.pools:
                x = _HALVINGS[self.halving](x, 2, f"pool{number}")
        outcome = logits(x, self.pooling, self.head, outputs)
        return keras.Model(volume, outcome, name=f"plain_cnn_{len(grid)}d")
