"""Sphere or octahedron? A 3-D network that learns shape, in a quarter of a minute.

Launch:    vcam-train run solids
           vcam-train run solids --set data.volume_matched=true --out build/runs/solids_matched
Expected:  ≥ 99.67 % of 300 held-out solids after its 4 epochs, volume-matched ≥ 99 %. Measured
           with seeds 0 to 2 (data.seed and seed): 100 % each, volume-matched 100 % each. The
           weighted centre of the true class's map lies within one cell of the solid's in all
           of 3 × 300; volume-matched in 100, 99.7 and 100 %. Half a minute on two cores.
Tiny mode: vcam-train run solids --tiny   (24 solids of 15³ voxels, seconds; learns nothing)

Air inside the window is 0 and the convolutions have no biases, so the map is zero
where the volume is. Mirrored kernels let no evidence drift beside the solid, and a head
without bias or anything common to both classes makes the true class's map positive on
the whole: it lies on the solid, and still depends on the weights. Both solids look the
same after any of a cube's 48 symmetries, which is what the augmentation draws from.

Solids are drawn voxel by voxel, and the network learns edges that sharp: interpolated by
half a voxel, octahedra are taken for spheres (`vcam-train trust` says so). Training with
such shifts mends that, and moves the weighted centre of 2 to 5 % of the maps beyond one
cell for some seeds.
"""

from dataclasses import replace

from vcam_training.config import Config
from vcam_training.data.sources import SolidsSource
from vcam_training.learning.augmentation import Augmentation
from vcam_training.models import PlainCnn


def config() -> Config:
    """The experiment."""
    return Config(
        name="solids",
        description="Tells spheres from octahedra by their shape.",
        intended_use="Tests and teaching; made-up data.",
        data=SolidsSource(),
        model=PlainCnn(
            filters=(16, 32, 64),
            pools=2,
            pooling="average",
            head="contrast",
            halving="average",
            mirrored=True,
        ),
        augmentation=Augmentation(symmetries=True),
        epochs=4,
        batch_size=5,
        learning_rate=3e-3,
    )


def tiny() -> Config:
    """Seconds, for tests of the machinery."""
    return replace(
        config(),
        data=SolidsSource(size=15, train=16, validation=4, test=8),
        model=PlainCnn(filters=(2, 3), pools=1),
        epochs=2,
        batch_size=4,
    )
