"""Pneumonia in chest radiographs of children, 28² pixels: a 2-D network, from scratch.

Launch:    vcam-train run pneumoniamnist --data pneumoniamnist.npz
Expected:  validation AUC 0.998, accuracy 98.5 %, 90 seconds; docs/experiments/medmnist.md.
Tiny mode: vcam-train run pneumoniamnist --tiny   (made-up images of 16², seconds; learns nothing)

Normal images of this set have more contrast than those with pneumonia, and are sharper:
their standard deviation alone has an area under the ROC curve of 0.80. A network that
learns this is excellent on validation and poor on images that were taken otherwise. So
each image is set to the same mean and deviation, pixels are averaged in twos, and noise
is added while it learns.

The last epoch's network is kept: its learning rate has fallen to 0.
"""

from dataclasses import replace

from vcam_client.spec import ExplainDefault
from vcam_training.config import Config
from vcam_training.data.sources import MedMnistSource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.history import LAST
from vcam_training.learning.losses import Loss
from vcam_training.learning.optimizer import Optimizer
from vcam_training.models import ResidualNet


def config() -> Config:
    """The experiment."""
    return Config(
        name="pneumoniamnist",
        description="Finds pneumonia in small radiographs of children's chests.",
        intended_use="Research and teaching; 28² pixels are too few for a diagnosis.",
        data=MedMnistSource(file="pneumoniamnist*.npz"),
        model=ResidualNet(shrink=2, filters=(32, 64), pooling="average", head="signed"),
        explain_default=ExplainDefault.POSITIVE_CLASS,
        scaling="z_score",
        augmentation=Augmentation(mirror=(1,), noise=10.0),
        loss=Loss(label_smoothing=0.1),
        optimizer=Optimizer(name="adamw", weight_decay=0.05),
        epochs=30,
        batch_size=32,
        learning_rate=3e-3,
        monitor=LAST,
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
