"""placeholder"""

from dataclasses import replace

from vcam_training.augmentation import Augmentation
from vcam_training.config import Config
from vcam_training.data.sources import SoilPorositySource
from vcam_training.models import Vgg


def config() -> Config:
    """The experiment."""
    return Config(
        name="soil_porosity",
        description="Estimates 1 − the fraction of a phase in slices of a porous medium.",
        intended_use="Research on soil and rock CT. Trained on made-up media.",
        data=SoilPorositySource(),
        model=Vgg(
            blocks=((8, 8), (16, 16), (32, 32, 32), (32, 32, 32), (32, 32, 32)),
            dense=(128, 128),
        ),
        scaling="bands",
        augmentation=Augmentation(symmetries=True),
        epochs=30,
        batch_size=8,
        learning_rate=1e-3,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=SoilPorositySource(
            size=12, made_slices=60, made_size=12, blocks=6, validation=1, test=1, gap=2
        ),
        model=Vgg(blocks=((2,), (3, 3)), dense=(4,)),
        epochs=2,
        batch_size=8,
    )
