"""The networks that a config can name.

A network is a frozen dataclass of its parameters with `build(grid, intensity, outputs)`:
physical float32 volumes [B, *grid, 1] in, logits [B, outputs] out, the intensity
layer inside. `intensity` is the layer from physical values to what the network sees,
with one or more channels; see `intensity.intensity_layer`.
"""

from vcam_training.models.keras_ct import KerasCt
from vcam_training.models.residual_net import ResidualNet
from vcam_training.models.small_cnn_3d import SmallCnn3d

NETWORKS = {"small": SmallCnn3d, "keras_ct": KerasCt, "residual": ResidualNet}
"""Networks by the name that a config and `--set model=NAME` use."""

__all__ = ["NETWORKS", "KerasCt", "ResidualNet", "SmallCnn3d"]
