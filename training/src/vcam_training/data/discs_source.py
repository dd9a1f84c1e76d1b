"""Disc images as a config names them: their parameters, and how they are loaded."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, SliceAggregation
from vcam_training.data import discs
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, sha256_of


@dataclass(frozen=True, kw_only=True)
class DiscsSource:
    """Noise with or without a disc, made in memory; see `data.discs`.

    Attributes:
        variant: "sparse" or "easy", how the images look.
        size, radius, noise, fill: of the images, see `discs.Look`; None for the
            variant's own.
        train, validation, test: images, half of them with a disc; where a number is
            odd, the classes take turns to have one more.
        seed: of the images. Each split has a stream of its own: a larger `test`
            leaves the other splits as they are.
    """

    variant: str = "sparse"
    size: int | None = None
    radius: float | None = None
    noise: tuple[float, float] | None = None
    fill: float | None = None
    train: int = 70
    validation: int = 15
    test: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.variant not in discs.VARIANTS:
            raise ConfigError(
                f"Expected a variant out of {tuple(discs.VARIANTS)}, received {self.variant!r}. "
                "Set data.variant."
            )
        if min(self.train, self.validation, self.test) < 2:
            raise ConfigError(
                "Expected at least 2 images in each split, received "
                f"train={self.train}, validation={self.validation}, test={self.test}. "
                "Set data.train, data.validation and data.test."
            )
        self.look  # noqa: B018  checks the values

    @property
    def look(self) -> discs.Look:
        """The variant's look, with what is set here."""
        names = [field.name for field in fields(discs.Look)]
        own = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(discs.VARIANTS[self.variant], **own)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return discs.LABELS

    @property
    def grid(self) -> Grid:
        """The image itself: no anatomy, no resampling."""
        return Grid(shape=(self.look.size,) * 2, axes=(), fit=Fit.STRETCH)

    @property
    def slice_aggregation(self) -> SliceAggregation:
        """One image is one sample."""
        return SliceAggregation.NONE

    @property
    def intensity(self) -> Intensity:
        """Values without a unit, from the darkest noise to the disc."""
        low, high = self.look.noise[0], discs.DISC_VALUE
        return Intensity(
            dtype="float32",
            window=(low, high),
            transform=f"clipped to [{low:g}, {high:g}], scaled to [0, 1]",
        )

    @property
    def contract(self) -> DataContract:
        """What the values mean."""
        return DataContract(
            labels=self.labels,
            grid=self.grid,
            intensity=self.intensity,
            slice_aggregation=self.slice_aggregation,
        )

    def load(self, folder: Path, report: Report) -> DataSet:
        """Makes the data set; nothing is written to `folder`."""
        counts = (self.train, self.validation, self.test)
        report(f"Making {sum(counts)} images of {self.look.size}² pixels")
        streams = np.random.SeedSequence(self.seed).generate_state(len(counts))
        splits = [
            _split(count, self.look, int(stream), sum(counts[:at]) % 2)
            for at, (count, stream) in enumerate(zip(counts, streams, strict=True))
        ]
        train, validation, test = splits
        return DataSet(
            name=f"discs, {self.variant}",
            contract=self.contract,
            train=train,
            validation=validation,
            test=test,
            sha256=sha256_of(*splits),
        )


def _split(count: int, look: discs.Look, seed: int, first_label: int) -> Split:
    made = discs.generate(count, look, seed=seed, first_label=first_label)
    return Split(volumes=made.images, labels=made.labels, masks=made.masks)
