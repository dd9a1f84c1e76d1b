"""How much of a slice of soil is not of a phase? VGG-16 estimates 1 − its fraction.

Launch:    vcam-train run soil_porosity --set data.targets=1 --out build/runs/soil_1
           vcam-train run soil_porosity --set data.targets=2 --set start_from=build/runs/soil_1 \
             --out build/runs/soil_2_from_1
           vcam-train run soil_porosity --set data.series=scans/core --set data.crop=100,612,100,612
Expected:  test MSE of targets 1 to 5, in parts of that of predicting the training mean: 0.013,
           0.032, 0.009, 0.039, 0.007 (192 slices, seed 0). The best epoch of target 2 alone is
           the 19th of 24; started from target 3, the first is better than it. Two to two and
           a half minutes each on two cores that were shared with much else.
Tiny mode: vcam-train run soil_porosity --tiny   (60 slices of 12² pixels, seconds; learns nothing)

13 convolutions in blocks of 2, 2, 3, 3 and 3, as in VGG-16, with an eighth of its first
channels and a sixteenth of its last ones, and 128 hidden units instead of 4096: 0.1 million
parameters. `--set model=vgg --set learning_rate=1e-4` is the whole one, for a GPU. Maps are
read in the third block, whose cells are 4 pixels: those of the fifth are 16.

A made-up porous medium stands in for a series; docs/experiments/soil-porosity.md says more.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.data.sources import SoilPorositySource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.models import Vgg


def config() -> Config:
    """The experiment."""
    return Config(
        name="soil_porosity",
        description="Estimates 1 − the fraction of a phase in slices of a porous medium.",
        intended_use="Research on soil and rock CT; as it comes, trained on a made-up medium.",
        data=SoilPorositySource(),
        model=Vgg(
            blocks=((8, 8), (16, 16), (32, 32, 32), (32, 32, 32), (32, 32, 32)),
            dense=(128, 128),
            target_layer="block3_conv3",
        ),
        scaling="bands",
        augmentation=Augmentation(symmetries=True),
        epochs=24,
        batch_size=8,
        learning_rate=2e-3,
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
