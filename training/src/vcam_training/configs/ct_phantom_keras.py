"""The network of the Keras example on the demo's chests.

Launch:    vcam-train run ct_phantom_keras
Expected:  98.3 % of 240 held-out phantoms (95 % interval 95.8 to 99.4), area under the ROC curve
           0.997; the strongest cell within one of the lesion in 81 % of 120, by chance in
           3 %; mean Dice of the heatmap 0.15. 50 minutes on two busy cores.
Tiny mode: vcam-train run ct_phantom_keras --tiny   (coarse phantoms, a narrow network of the
           same kind, seconds; learns nothing)

1,352,897 parameters, those of `ct_pneumonia`, read through the same code. The phantoms, their
division and their difficulty are the demo's; mirrored and shifted as there. The map is
read on "conv3", whose cells are 4 voxels wide.

About two minutes an epoch on two idle cores. The first six epochs bring little (validation
area 0.49, 0.65, 0.64, 0.69, 0.75, 0.76), the tenth has 0.99. A rate of 5e-4 or 1e-3 is slower
than that; with 2e-3 and gradients of any length a narrower network of the kind forgot in
one epoch what it had learned, so they are clipped.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.configs import ct_phantom
from vcam_training.data.sources import CtPhantomSource
from vcam_training.learning.optimizer import Optimizer
from vcam_training.models import KerasCt


def config() -> Config:
    """The experiment."""
    return replace(
        ct_phantom.config(),
        name="ct_phantom_keras",
        model=KerasCt(),
        optimizer=Optimizer(clip_norm=1.0),
        epochs=18,
        batch_size=4,
        learning_rate=2e-3,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=CtPhantomSource(shape=(46, 46, 46), spacing_mm=7.0, train=8, validation=2, test=4),
        model=KerasCt(filters=(2, 2, 2, 2), dense=4),
        epochs=2,
    )
