"""Chest phantoms as a config names them: their parameters, and how they are loaded."""

import hashlib
import math
import shutil
import tempfile
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
from vcam_training.data import ct_phantom
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split

_READERS = 2
_PROGRESS_STEPS = 5


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

    @property
    def contract(self) -> DataContract:
        """What the values mean."""
        return DataContract(
            labels=self.labels,
            grid=self.grid,
            intensity=self.intensity,
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
        splits: dict[str, Split] = {}
        for name in ct_phantom.SPLITS:
            chosen = [entry for entry in entries if entry.split == name]
            done = sum(map(len, splits.values()))
            splits[name] = self._read_split(place, name, chosen, done, len(entries), tell)
        return DataSet(
            name="ct-phantom",
            contract=self.contract,
            sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
            **splits,
        )

    def _read_split(
        self,
        place: Path,
        name: str,
        entries: list[ct_phantom.Entry],
        done: int,
        total: int,
        tell: Callable[[int, int], None],
    ) -> Split:
        """A split, read straight into its arrays."""
        if not entries:
            raise ConfigError(f"Expected {name} volumes, found none. Set data.{name} to 2 or more.")
        volumes = _on_disk((len(entries), *self.shape), self.intensity.dtype, place)
        # Zeros take no memory until something is written, which is the lesions alone.
        masks = np.zeros(volumes.shape, bool)

        def read(number: int) -> None:
            volumes[number], inside = self._read(place, entries[number])
            masks[number][inside] = True

        with ThreadPoolExecutor(_READERS) as pool:
            for number, _ in enumerate(pool.map(read, range(len(entries))), start=1):
                tell(done + number, total)
        labels = np.array([entry.label for entry in entries], np.int32)
        return Split(volumes=volumes, labels=labels, masks=masks)

    def _read(
        self, place: Path, entry: ct_phantom.Entry
    ) -> tuple[NDArray, tuple[NDArray[np.intp], ...]]:
        """A volume on the grid, and the indices of its lesion's voxels."""
        try:
            volume = to_model_grid(read_volume(place / entry.path), self.grid, self.intensity.dtype)
            if entry.mask is None:
                return volume, tuple(np.empty((0,), np.intp) for _ in self.shape)
            share = to_model_grid(read_volume(place / entry.mask), _mask_grid(self.grid))
        except InputError as error:
            raise ConfigError(
                f"Expected the volumes of the index in '{place}', received: {error} "
                f"Delete '{place}'; the next run writes it again."
            ) from error
        return volume, np.nonzero(share >= 0.5)


def _on_disk(shape: tuple[int, ...], dtype: str, folder: Path) -> NDArray:
    """An array in a nameless file, which is gone with it: a fine grid has gigabytes.

    Raises:
        ConfigError: the disk has no room for it.
    """
    size, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(folder).free
    if size > free:
        raise ConfigError(
            f"Expected {size / 1e9:.1f} GB of room in '{folder}' for volumes on the grid, found "
            f"{free / 1e9:.1f} GB. Name another folder with --data, or set fewer volumes."
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.asarray(np.memmap(file, dtype, mode="w+", shape=shape))


def _mask_grid(grid: Grid) -> Grid:
    return replace(grid, padding_value=0.0)


def _steps(report: Report, what: str) -> Callable[[int, int], None]:
    """A progress callback that reports every fifth of the way."""

    def tell(done: int, total: int) -> None:
        if done * _PROGRESS_STEPS // total > (done - 1) * _PROGRESS_STEPS // total:
            report(f"{what}: {done} of {total}")

    return tell


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
