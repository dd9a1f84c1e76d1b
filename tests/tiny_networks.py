"""The networks of `vcam_training.models`, each so small that it is built in no time."""

import functools
from dataclasses import dataclass

import keras
import numpy as np

from vcam_training.intensity import ImageNet, Window
from vcam_training.models import (
    DenseNet,
    FcDenseNet,
    KerasApplication,
    KerasCt,
    PlainCnn,
    ResidualNet,
    Vgg,
)
from vcam_training.models.architecture import Architecture

HU = (-1000.0, 400.0)


@dataclass(frozen=True)
class Tiny:
    """A network, a grid that it can be built on, and whether it sees three channels."""

    network: Architecture
    grid: tuple[int, ...]
    colours: bool = False

    def build(self, outputs: int = 2, seed: int = 0) -> keras.Model:
        """The network for Hounsfield units."""
        keras.utils.set_random_seed(seed)
        return self.network.build(self.grid, hu(colours=self.colours), outputs)

    @functools.cached_property
    def model(self) -> keras.Model:
        """The network with two outputs, the same for all tests; not to be trained."""
        return self.build()

    def volumes(self, count: int = 2, seed: int = 0) -> np.ndarray:
        """float32 [count, *grid, 1] of noise."""
        noise = np.random.default_rng(seed).uniform(*HU, (count, *self.grid, 1))
        return noise.astype(np.float32)


def hu(*, colours: bool = False) -> keras.layers.Layer:
    """An intensity layer for Hounsfield units."""
    kind = ImageNet if colours else Window
    return kind(*HU, name="intensity", dtype="float32")


_PLAIN = PlainCnn(filters=(3, 4), pools=1)
_RESIDUAL = ResidualNet(filters=(3, 4), shrink=2)
_DENSE = DenseNet(growth=2, blocks=(1, 1), stem="cifar")
_VGG = Vgg(blocks=((2,), (3, 4)), dense=(12,))
_FC_DENSE = FcDenseNet(filters=3, growth=2, blocks=(1,), bottleneck=2)
_KERAS_CT = KerasCt(filters=(4, 4, 4, 4), dense=16)

WRITTEN_HERE = {
    "plain": Tiny(_PLAIN, (12, 16)),
    "residual": Tiny(_RESIDUAL, (12, 16)),
    "dense_net": Tiny(_DENSE, (12, 16)),
    "vgg": Tiny(_VGG, (12, 16)),
    "fc_dense_net": Tiny(_FC_DENSE, (12, 15)),
    "keras_ct": Tiny(_KERAS_CT, (48, 52)),
    "plain 3-D": Tiny(_PLAIN, (8, 10, 12)),
    "residual 3-D": Tiny(_RESIDUAL, (8, 10, 12)),
    "dense_net 3-D": Tiny(_DENSE, (8, 10, 12)),
    "vgg 3-D": Tiny(_VGG, (8, 10, 12)),
    "fc_dense_net 3-D": Tiny(_FC_DENSE, (8, 10, 11)),
    "keras_ct 3-D": Tiny(_KERAS_CT, (46, 48, 47)),
}
"""In two and three dimensions."""

APPLICATION = Tiny(KerasApplication(name="VGG16"), (32, 40), colours=True)
"""The one of Keras's that is built soonest; it wants BGR values."""

EVERY_NETWORK = {**WRITTEN_HERE, "application": APPLICATION}
