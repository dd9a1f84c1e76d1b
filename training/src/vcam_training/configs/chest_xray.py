"""Fourteen findings in chest radiographs: DenseNet-121, as for ChestX-ray14.

Launch:    vcam-train run chest_xray            (made-up radiographs of 128² pixels)
           vcam-train run chest_xray --data FOLDER --out build/runs/chest_xray14 \
               --set data.table=nih_labels.csv --set data.images=images_224 --set data.size=224 \
               --set model.weights=imagenet --set optimizer.name=sgd --set learning_rate=0.01 \
               --set augmentation.mirror=1 --set epochs=100
Expected:  see docs/experiments/chest-xray.md
Tiny mode: vcam-train run chest_xray --tiny     (seconds; learns nothing)

Maps are read where cells are 16 pixels wide: at 128² pixels the last ones, of 32, are wider
than most of what is looked for.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.data.sources import ChestXraySource
from vcam_training.learning.losses import Loss
from vcam_training.learning.schedule import Schedule
from vcam_training.models import DenseNet, KerasApplication


def config() -> Config:
    """The experiment."""
    return Config(
        name="chest_xray",
        description="Fourteen findings in frontal chest radiographs.",
        intended_use="Research and teaching; trained on made-up radiographs unless told otherwise.",
        data=ChestXraySource(size=128),
        model=KerasApplication(name="DenseNet121", target_layer="conv4_block24_concat"),
        scaling="imagenet",
        loss=Loss(weights="batch_ratio"),
        schedule=Schedule(kind="plateau", factor=0.1, patience=1),
        epochs=6,
        batch_size=16,
        learning_rate=1e-3,
        monitor="auc",
        patience=3,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=ChestXraySource(size=32, made_size=64, train=24, validation=12, test=12),
        model=DenseNet(growth=2, blocks=(1, 2)),
        epochs=1,
        batch_size=8,
    )
