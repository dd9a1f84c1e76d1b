"""Any MedMNIST file, images or volumes: a small residual network, from scratch.

Launch:    vcam-train run medmnist --data bloodmnist.npz --out build/runs/bloodmnist
Expected:  depends on the data; docs/experiments/medmnist.md says what was measured.
Tiny mode: vcam-train run medmnist --tiny --data FILE.npz   (two epochs; learns nothing)

Exclusive classes or findings, and two or three dimensions, follow from the file. For two
classes of which the second is looked for: --set explain_default=POSITIVE_CLASS. Volumes of
more than 32 voxels along each side want --set model.shrink=2.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.data.sources import MedMnistSource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.optimizer import Optimizer
from vcam_training.models import ResidualNet


def config() -> Config:
    """The experiment."""
    return Config(
        name="medmnist",
        description="Classifies small medical images.",
        intended_use="Research and teaching.",
        data=MedMnistSource(),
        model=ResidualNet(shrink=1, filters=(16, 32, 64), pooling="average", head="signed"),
        augmentation=Augmentation(shift=2),
        optimizer=Optimizer(name="adamw", weight_decay=0.01),
        epochs=20,
        batch_size=32,
        learning_rate=2e-3,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=MedMnistSource(made=(16, 16)),
        model=replace(config().model, filters=(2, 3)),
        epochs=2,
        batch_size=8,
    )
