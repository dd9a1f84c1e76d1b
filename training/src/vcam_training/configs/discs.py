"""Is there a disc in this noise? A 2-D network whose map must cover the disc.

Launch:    vcam-train run discs
           vcam-train run discs --set data.variant=easy --out build/runs/discs_easy
Expected:  100 % of the held-out images, none of those without a disc with evidence, and a
           mean Dice of the heatmap with the disc above 0.8. Measured with seeds 0 to 4
           (data.seed and seed) on 220 fresh images each, Grad-CAM, threshold from
           validation: 100 % each; Dice 0.89, 0.87, 0.90, 0.93, 0.98; the largest cell
           without a disc never above a third of validation's median. Easy, seeds 0 to 2:
           100 % each, Dice 0.95, 0.72, 0.78. One to two minutes on two cores.
Tiny mode: vcam-train run discs --tiny   (16 images of 64² pixels, seconds; learns nothing)

100 images, 70 of them for training; data.fresh=200 gives more to test on. Pixels of a
disc are brighter than noise by 1.2 standard deviations of it: the network shrinks by 4,
which makes nearly 5 of that. Its cells of 8 pixels can show a disc of radius 30 to 50
to a Dice of 0.98; what spoils maps is a receptive field that reaches far around it. With
a stage more, filters 8, 16 and 32 (seed 0, 8 to 12 epochs at 3e-3), Grad-CAM's Dice was
0.58, with global average-pooling 0.68, with global max-pooling 0.34. HiResCAM and LayerCAM
follow the strongest cells of the smooth maximum: 0.41 where Grad-CAM has 0.96.
"""

from dataclasses import replace

from vcam_client.spec import ExplainDefault
from vcam_training.config import Config
from vcam_training.data.sources import DiscsSource
from vcam_training.learning.augmentation import Augmentation
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
        augmentation=Augmentation(symmetries=True),
        epochs=12,
        batch_size=5,
        learning_rate=1e-2,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=DiscsSource(size=64, radius=20.0, images=16),
        model=ResidualNet(filters=(2, 3)),
        epochs=2,
        batch_size=4,
    )
