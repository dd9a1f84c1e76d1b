"""Fourteen findings in chest radiographs: the encoder of FC-DenseNet-103 as a classifier.

Launch:    vcam-train run chest_xray_fc         (made-up radiographs of 64² pixels)
Expected:  see docs/experiments/chest-xray.md
Tiny mode: vcam-train run chest_xray_fc --tiny  (seconds; learns nothing)

Blocks of 4, 5, 7, 10 and 12 layers, growth 16, a bottleneck of 15, and a dense layer from
its 896 channels to 14 findings. At 64² pixels the last block has but 2×2 cells, so maps
are read at the end of the fourth, on 4×4. Dropout is off: a few thousand steps are too
few for it; with real data set model.dropout=0.2, as in the paper, and more pixels.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.configs import chest_xray
from vcam_training.models import FcDenseNet


def config() -> Config:
    """The experiment."""
    other = chest_xray.config()
    return replace(
        other,
        name="chest_xray_fc",
        data=replace(other.data, size=64),
        model=FcDenseNet(dropout=0.0, target_layer="down4_layer10_concat"),
        epochs=8,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        chest_xray.tiny(),
        name=config().name,
        model=FcDenseNet(filters=3, growth=2, blocks=(1, 2), bottleneck=2),
    )
