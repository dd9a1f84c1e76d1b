"""Chest phantoms as a config names them: their parameters, and how they are loaded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, Resampling
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks
from vcam_training.data.phantoms import ct_phantom
from vcam_training.data.progress import progress
from vcam_training.data.rows import Rows
from vcam_training.data.scans.grid_cache import GRIDS, Grids, ScanFile, read_grids


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
            place, counts, seed=self.seed, progress=progress(report, f"Writing phantoms to {place}")
        )
        entries = ct_phantom.read_index(index)
        grids = read_grids(
            [_scan(place, entry) for entry in entries],
            self.grid,
            self.intensity.dtype,
            place / GRIDS,
            report,
            advice=f"Move '{place}' away; the next run writes it again.",
        )
        return DataSet(
            name="ct-phantom",
            contract=self.contract,
            sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
            **{name: _split(name, entries, grids) for name in ct_phantom.SPLITS},
        )


def _scan(place: Path, entry: ct_phantom.Entry) -> ScanFile:
    return ScanFile(path=place / entry.path, mask=place / entry.mask if entry.mask else None)


def _split(name: str, entries: list[ct_phantom.Entry], grids: Grids) -> Split:
    index = np.array([n for n, entry in enumerate(entries) if entry.split == name], np.intp)
    if not len(index):
        raise ConfigError(f"Expected {name} volumes, found none. Set data.{name} to 2 or more.")
    shape = (len(index), *grids.volumes.shape[1:])
    return Split(
        volumes=Rows(grids.volumes, index),
        labels=np.array([entries[n].label for n in index], np.int32),
        masks=no_masks(shape) if grids.masks is None else Rows(grids.masks, index),
        names=tuple(entries[n].path.removesuffix(".nii.gz") for n in index),
    )
