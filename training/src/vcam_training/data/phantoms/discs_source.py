"""Disc images as a config names them: their parameters, and how they are loaded."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, sha256_of
from vcam_training.data.phantoms import discs

_LEAST_OF_SPLIT = 2
"""Images: one without and one with a disc."""
_LEAST_IMAGES = 3 * _LEAST_OF_SPLIT


@dataclass(frozen=True, kw_only=True)
class DiscsSource:
    """Noise with or without a disc, made in memory; see `data.discs`.

    Attributes:
        variant: "sparse" or "easy", how the images look.
        size, radius, noise, fill: of the images, see `discs.Look`; None for the
            variant's own.
        images: in all; 70 % are trained on, the rest is split between validation and
            test, which have at least 2 each. Half of each split has a disc; where a
            number is odd, the classes take turns to have one more.
        fresh: images more to test on, so that held-out figures are exact where there are
            few images to learn from.
        seed: of the images. Each split has a stream of its own, and so have the fresh
            ones: they leave the others as they are.
    """

    variant: str = "sparse"
    size: int | None = None
    radius: float | None = None
    noise: tuple[float, float] | None = None
    fill: float | None = None
    images: int = 100
    fresh: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.variant not in discs.VARIANTS:
            raise ConfigError(
                f"Expected a variant out of {tuple(discs.VARIANTS)}, received {self.variant!r}. "
                "Set data.variant."
            )
        if self.images < _LEAST_IMAGES or self.fresh < 0:
            raise ConfigError(
                f"Expected at least {_LEAST_IMAGES} images, so that each split has both kinds, and "
                f"fresh ones of 0 or more, received images={self.images} and fresh={self.fresh}. "
                "Set data.images and data.fresh."
            )
        self.look  # noqa: B018  checks the values

    @property
    def look(self) -> discs.Look:
        """The variant's look, with what is set here."""
        names = [field.name for field in fields(discs.Look)]
        own = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(discs.VARIANTS[self.variant], **own)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Images of training, validation and test, without fresh ones."""
        train = min(round(0.7 * self.images), self.images - 2 * _LEAST_OF_SPLIT)
        test = (self.images - train) // 2
        return train, self.images - train - test, test

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
        counts = (*self.counts, self.fresh)
        report(f"Making {sum(counts)} images of {self.look.size}² pixels")
        streams = np.random.SeedSequence(self.seed).generate_state(len(counts))
        train, validation, test, fresh = (
            discs.generate(
                count, self.look, seed=int(stream), first_label=sum(counts[:at]) % len(self.labels)
            )
            for at, (count, stream) in enumerate(zip(counts, streams, strict=True))
        )
        splits = [_split(train), _split(validation), _split(test, fresh)]
        return DataSet(
            name=f"discs, {self.variant}",
            contract=self.contract,
            train=splits[0],
            validation=splits[1],
            test=splits[2],
            sha256=sha256_of(*splits),
        )


def _split(*parts: discs.Discs) -> Split:
    return Split(
        volumes=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        masks=np.concatenate([part.masks for part in parts]),
    )
