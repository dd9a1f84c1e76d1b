"""The data sets that a config can name: their parameters, and how they are loaded."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError, InputError
from vcam_client.grid import to_model_grid
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Grid, Intensity, Resampling
from vcam_training.data import ct_phantom, solids
from vcam_training.data.dataset import DataSet, Split, sha256_of

Report = Callable[[str], None]
_READERS = 2
_PROGRESS_STEPS = 5


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
            labels=self.labels,
            grid=self.grid,
            intensity=self.intensity,
            train=train,
            validation=validation,
            test=test,
            sha256=sha256_of(train, validation, test),
        )


@dataclass(frozen=True, kw_only=True)
class CtPhantomSource:
    """Chest phantoms on disk, resampled onto the grid; see `data.ct_phantom`.

    Attributes:
        shape: voxels of the model's grid along S, P, L.
        spacing_mm: the grid's spacing, mm.
        window: (low, high), HU; above the densest lesion all is one: bone and contrast
            agent say nothing here.
        train, validation, test: volumes; every other one has a lesion.
        seed: of the volumes.
    """

    shape: tuple[int, int, int] = (48, 64, 64)
    spacing_mm: float = 5.0
    window: tuple[float, float] = (-1000.0, 200.0)
    train: int = 1200
    validation: int = 120
    test: int = 240
    seed: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return ct_phantom.LABELS

    @property
    def grid(self) -> Grid:
        """Tensor axes S, P, L; scans are resampled to the spacing about their centre."""
        return Grid(
            shape=self.shape,
            axes=("S", "P", "L"),
            fit=Fit.SPACING,
            spacing_mm=(self.spacing_mm,) * 3,
            resampling=Resampling.AREA,
            padding_value=self.window[0],
        )

    @property
    def intensity(self) -> Intensity:
        """Hounsfield units, clipped to the window."""
        low, high = self.window
        return Intensity(
            units="HU",
            dtype="int16",
            window=self.window,
            modalities=("CT",),
            transform=f"clipped to [{low:g}, {high:g}] HU, scaled to [0, 1]",
        )

    def folder_name(self) -> str:
        """Where the volumes lie below the data folder; other volumes, other name."""
        return f"ct_phantom-{self.train}-{self.validation}-{self.test}-seed{self.seed}"

    def load(self, folder: Path, report: Report) -> DataSet:
        """Writes the volumes unless they are there, and reads them onto the grid.

        Args:
            folder: where data sets lie.
            report: is told what happens.

        Raises:
            ConfigError: the folder holds something else, or a file is missing or damaged.
        """
        counts = ct_phantom.Counts(train=self.train, validation=self.validation, test=self.test)
        place = folder / self.folder_name()
        index = ct_phantom.write(
            place, counts, seed=self.seed, progress=_steps(report, f"Writing phantoms to {place}")
        )
        entries = ct_phantom.read_index(index)
        tell = _steps(report, f"Reading phantoms onto a grid of {_by(self.shape)} voxels")
        with ThreadPoolExecutor(_READERS) as pool:
            loaded = []
            for pair in pool.map(lambda entry: self._read(place, entry), entries):
                loaded.append(pair)
                tell(len(loaded), len(entries))
        splits = {name: _phantom_split(name, entries, loaded) for name in ct_phantom.SPLITS}
        return DataSet(
            name="ct-phantom",
            labels=self.labels,
            grid=self.grid,
            intensity=self.intensity,
            sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
            **splits,
        )

    def _read(self, place: Path, entry: ct_phantom.Entry) -> tuple[NDArray, NDArray[np.bool_]]:
        try:
            volume = to_model_grid(read_volume(place / entry.path), self.grid, self.intensity.dtype)
            if entry.mask is None:
                return volume, np.zeros(volume.shape, bool)
            share = to_model_grid(read_volume(place / entry.mask), _mask_grid(self.grid))
        except InputError as error:
            raise ConfigError(
                f"Expected the volumes of the index in '{place}', received: {error} "
                f"Delete '{place}'; the next run writes it again."
            ) from error
        return volume, share >= 0.5


SOURCES = {"solids": SolidsSource, "ct_phantom": CtPhantomSource}
"""Data sets by the name that a config uses."""


def _mask_grid(grid: Grid) -> Grid:
    return replace(grid, padding_value=0.0)


def _solid_split(made: solids.Solids, part: slice) -> Split:
    return Split(volumes=made.volumes[part], labels=made.labels[part], masks=made.masks[part])


def _phantom_split(
    name: str,
    entries: list[ct_phantom.Entry],
    loaded: list[tuple[NDArray, NDArray[np.bool_]]],
) -> Split:
    chosen = [(entry, *pair) for entry, pair in zip(entries, loaded, strict=True)]
    chosen = [item for item in chosen if item[0].split == name]
    if not chosen:
        raise ConfigError(f"Expected {name} volumes, found none. Set data.{name} to 2 or more.")
    return Split(
        volumes=np.stack([volume for _, volume, _ in chosen]),
        labels=np.array([entry.label for entry, _, _ in chosen], np.int32),
        masks=np.stack([mask for _, _, mask in chosen]),
    )


def _steps(report: Report, what: str) -> Callable[[int, int], None]:
    """A progress callback that reports every fifth of the way."""

    def tell(done: int, total: int) -> None:
        if done * _PROGRESS_STEPS // total > (done - 1) * _PROGRESS_STEPS // total:
            report(f"{what}: {done} of {total}")

    return tell


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
