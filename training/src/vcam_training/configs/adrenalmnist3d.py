"""Normal adrenal gland or one with a mass, by its shape: a 3-D network, from scratch.

Launch:    vcam-train run adrenalmnist3d --data adrenalmnist3d_64.npz
Expected:  validation AUC 0.87 (0.77 to 0.95), accuracy 90 %, in 6 minutes; see
           docs/experiments/medmnist.md.
Tiny mode: vcam-train run adrenalmnist3d --tiny   (made-up cubes of 16³, seconds; learns nothing)

Glands with a mass are thicker: the mean distance of their voxels to the surface alone has an
area under the ROC curve of 0.84. Two convolutions on cells of 8 voxels, behind those of 2
and 4, see enough around to tell thick from bent, and leave the map fine. Glands lie alike,
which helps: of all mirror images only that along the first axis, about which they are
nearly symmetric, is worth anything as augmentation.

The last epoch's network is kept. Its learning rate has fallen to 0, and the best of twelve
epochs on 98 volumes would be the luckiest.
"""

from dataclasses import replace

from vcam_client.spec import ExplainDefault
from vcam_training.config import Config
from vcam_training.data.sources import MedMnistSource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.history import LAST
from vcam_training.learning.losses import Loss
from vcam_training.learning.optimizer import Optimizer
from vcam_training.models import PlainCnn


def config() -> Config:
    """The experiment."""
    return Config(
        name="adrenalmnist3d",
        description="Tells adrenal glands with a mass from normal ones by their shape.",
        intended_use="Research and teaching: a benchmark of shapes, not of scans.",
        data=MedMnistSource(file="adrenalmnist3d_64*.npz"),
        model=PlainCnn(
            shrink=2,
            filters=(16, 32, 64, 64, 64),
            pools=2,
            pooling="average",
            batch_norm=True,
        ),
        explain_default=ExplainDefault.POSITIVE_CLASS,
        augmentation=Augmentation(mirror=(0,), shift=2),
        loss=Loss(label_smoothing=0.1),
        optimizer=Optimizer(name="adamw", weight_decay=0.01),
        epochs=12,
        batch_size=16,
        learning_rate=3e-3,
        monitor=LAST,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=MedMnistSource(made=(16, 16, 16)),
        model=replace(config().model, filters=(2, 3)),
        epochs=2,
        batch_size=8,
    )
