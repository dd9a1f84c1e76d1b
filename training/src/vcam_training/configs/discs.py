"""Is there a disc in this noise? A 2-D network whose map must cover the disc.

Launch:    vcam-train run discs
           vcam-train run discs --set data.variant=easy --out build/runs/discs_easy
Tiny mode: vcam-train run discs --tiny   (16 images of 64² pixels, seconds; learns nothing)
"""

from dataclasses import replace

from vcam_client.spec import ExplainDefault
from vcam_training.config import Config
from vcam_training.data.sources import DiscsSource
from vcam_training.models import ResidualNet


def config() -> Config:
    """The experiment."""
    return Config(
        name="discs",
        description="Finds a disc in noise.",
        intended_use="Tests and teaching; made-up data.",
        data=DiscsSource(),
        model=ResidualNet(filters=(16, 32)),
        explain_default=ExplainDefault.POSITIVE_CLASS,
        augmentation="square",
        epochs=12,
        batch_size=5,
        learning_rate=1e-2,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=DiscsSource(size=64, radius=20.0, train=8, validation=4, test=4),
        model=ResidualNet(filters=(2, 3)),
        epochs=2,
        batch_size=4,
    )
