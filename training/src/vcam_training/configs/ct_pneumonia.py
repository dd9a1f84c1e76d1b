"""Is there viral pneumonia in this chest CT? The Keras example, reproduced.

Launch:    vcam-train run ct_pneumonia
           vcam-train run ct_pneumonia --set data.test=0.2 --set data.validation=0.2
           vcam-train run ct_pneumonia --fold 1/5
Expected:  not measured here: the scans (2.1 GB) have to be downloaded. The log that the Keras
           example prints of itself ends after 28 epochs; the epoch with the lowest validation
           loss has an accuracy of 72 % (43 of its 60 validation scans, 95 % interval 59 to
           82 %), the best one 78 %. Those scans chose the epoch as well. Its author reports
           83 % for more than 1000 scans, and differences of 6 to 7 % from run to run.
Tiny mode: vcam-train run ct_pneumonia --tiny   (phantoms in the same layout, a small
           network of the same kind, seconds; learns nothing)

200 chest CTs of MosMedData, 140 for training. The whole of each scan is laid on a grid of
64×128×128 voxels. Where data.test is 0 nothing is set aside: the figures are those of the
validation split, which chose the epoch, and the run says so. docs/experiments/ct-pneumonia.md
tells what differs from the example, and how to check the code without the scans.
"""

from dataclasses import replace

from vcam_client.spec import ExplainDefault
from vcam_training.config import Config
from vcam_training.data.sources import CtPneumoniaSource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.schedule import Schedule
from vcam_training.models import KerasCt


def config() -> Config:
    """The experiment."""
    return Config(
        name="ct_pneumonia",
        description="Finds signs of viral pneumonia in chest CTs.",
        intended_use="Research and teaching, on data like MosMedData; not a medical device.",
        data=CtPneumoniaSource(),
        model=KerasCt(),
        explain_default=ExplainDefault.POSITIVE_CLASS,
        augmentation=Augmentation(angles=(5.0, 10.0, 20.0), rotate_axis=0),
        schedule=Schedule(kind="exponential", factor=0.96, steps=100_000),
        epochs=100,
        batch_size=2,
        learning_rate=1e-4,
        patience=15,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=CtPneumoniaSource(shape=(48, 48, 48), phantoms=5),
        model=KerasCt(filters=(2, 2, 3, 4), dense=4),
        epochs=2,
    )
