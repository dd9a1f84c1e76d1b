"""The networks that a config can name.

A network is a frozen dataclass of its parameters with `build(grid, intensity, outputs)`:
physical float32 volumes [B, *grid, 1] in, logits [B, outputs] out, the intensity
layer inside. `intensity` is the layer from physical values to what the network sees,
with one or more channels; see `intensity.intensity_layer`.
"""

from vcam_training.models.dense_net import DenseNet
from vcam_training.models.fc_dense_net import FcDenseNet
from vcam_training.models.keras_application import KerasApplication
from vcam_training.models.keras_ct import KerasCt
from vcam_training.models.plain_cnn import PlainCnn
from vcam_training.models.residual_net import ResidualNet
from vcam_training.models.vgg import Vgg

NETWORKS = {
    "plain": PlainCnn,
    "residual": ResidualNet,
    "dense_net": DenseNet,
    "vgg": Vgg,
    "fc_dense_net": FcDenseNet,
    "application": KerasApplication,
    "keras_ct": KerasCt,
}
"""Networks by the name that a config and `--set model=NAME` use."""

__all__ = [
    "NETWORKS",
    "DenseNet",
    "FcDenseNet",
    "KerasApplication",
    "KerasCt",
    "PlainCnn",
    "ResidualNet",
    "Vgg",
]
