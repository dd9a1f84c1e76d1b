"""A small 3-D network with fine cells: convolutions, a global pooling, one dense layer."""

from dataclasses import dataclass

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.constraints import Mirrored, MirroredHeNormal
from vcam_training.models.head import check_head, logits

_HALVINGS = {"max": layers.MaxPooling3D, "average": layers.AveragePooling3D}
_MOMENTUM = 0.9
"""Of the running statistics: a run has some hundred steps, not many thousands."""


@dataclass(frozen=True, kw_only=True)
class SmallCnn3d:
    """Convolutions 3³ (same padding, ReLU), the first ones each followed by pooling 2.

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
        if self.halving not in _HALVINGS:
            raise ConfigError(
                f"Expected a halving out of {tuple(_HALVINGS)}, received {self.halving!r}. "
                "Set model.halving."
            )
        if not self.filters or min(self.filters) < 1 or not 0 <= self.pools <= len(self.filters):
            raise ConfigError(
                f"Expected at least one filter count and 0 to {len(self.filters)} pools, received "
                f"filters={self.filters}, pools={self.pools}. Set model.filters and model.pools."
            )
        if self.shrink < 1:
            raise ConfigError(f"Expected shrink ≥ 1, received {self.shrink}. Set model.shrink.")

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, untrained.

        Args:
            grid: voxels along each tensor axis.
            intensity: layer from physical values to what the network sees.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: the grid is too small for so much pooling.
        """
        cell = self.shrink * 2**self.pools
        if min(grid) < cell:
            raise ConfigError(
                f"Expected at least {cell} voxels along each axis for cells of {cell} voxels, "
                f"received a grid of {grid}. Set fewer model.pools or a smaller model.shrink."
            )
        volume = x = keras.Input((*grid, 1), name="volume")
        x = intensity(x)
        if self.shrink > 1:
            x = layers.AveragePooling3D(self.shrink, name="shrink")(x)
        for number, filters in enumerate(self.filters, start=1):
            x = layers.Conv3D(
                filters,
                3,
                padding="same",
                use_bias=self.use_bias,
                kernel_initializer=MirroredHeNormal() if self.mirrored else "he_normal",
                kernel_constraint=Mirrored() if self.mirrored else None,
                name=f"conv{number}",
            )(x)
            if self.batch_norm:
                x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"norm{number}")(x)
            x = layers.ReLU(name=f"relu{number}")(x)
            if number <= self.pools:
                x = _HALVINGS[self.halving](2, name=f"pool{number}")(x)
        outcome = logits(x, self.pooling, self.head, outputs)
        return keras.Model(volume, outcome, name="small_cnn_3d")
