"""Solids as a config names them: their parameters, and how they are loaded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, sha256_of
from vcam_training.data.phantoms import solids


@dataclass(frozen=True, kw_only=True)
class SolidsSource:
    """Spheres and octahedra, made in memory; see `data.solids`.

    Attributes:
        size: N, voxels along each side.
        train, test: volumes.
        validation: volumes taken out of `train`, to choose the best checkpoint.
        volume_matched: whether the voxel count is the same for both classes.
        seed: of the volumes.
    """

    size: int = 32
    train: int = 700
    validation: int = 70
    test: int = 300
    volume_matched: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.validation < self.train or self.test < 1:
            raise ConfigError(
                "Expected 0 < validation < train and test volumes, received "
                f"train={self.train}, validation={self.validation}, test={self.test}. "
                "Set data.train, data.validation and data.test."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return solids.LABELS

    @property
    def grid(self) -> Grid:
        """The cube itself: no anatomy, no resampling."""
        return Grid(shape=(self.size,) * 3, axes=(), fit=Fit.STRETCH)

    @property
    def intensity(self) -> Intensity:
        """Values without a unit in [0, 1)."""
        return Intensity(dtype="float32", window=(0.0, 1.0), transform="clipped to [0, 1]")

    @property
    def contract(self) -> DataContract:
        """What the values mean."""
        return DataContract(
            labels=self.labels,
            grid=self.grid,
            intensity=self.intensity,
        )

    def load(self, folder: Path, report: Report) -> DataSet:
        """Makes the data set; nothing is written to `folder`."""
        report(f"Making {self.train + self.test} solids of {self.size}³ voxels")
        train_seed, test_seed = np.random.SeedSequence(self.seed).generate_state(2)
        made, held_out = (
            solids.generate(
                count, size=self.size, seed=int(seed), volume_matched=self.volume_matched
            )
            for count, seed in ((self.train, train_seed), (self.test, test_seed))
        )
        fit = self.train - self.validation
        train = _solid_split(made, slice(0, fit))
        validation = _solid_split(made, slice(fit, None))
        test = _solid_split(held_out, slice(None))
        return DataSet(
            name="solids, volume-matched" if self.volume_matched else "solids",
            contract=self.contract,
            train=train,
            validation=validation,
            test=test,
            sha256=sha256_of(train, validation, test),
        )


def _solid_split(made: solids.Solids, part: slice) -> Split:
    return Split(volumes=made.volumes[part], labels=made.labels[part], masks=made.masks[part])
