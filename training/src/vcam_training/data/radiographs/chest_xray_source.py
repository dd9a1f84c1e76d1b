"""Chest radiographs as a config names them: which images, and how they are read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError, InputError
from vcam_client.reading import read_volume
from vcam_client.spec import Fit, Grid, Intensity, Resampling, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks
from vcam_training.data.finding_labels import FindingLabels
from vcam_training.data.radiographs.chest_xray_images import find_images
from vcam_training.data.radiographs.chest_xray_stand_in import (
    IMAGES,
    MASKS,
    TABLE,
    StandIn,
    write_stand_in,
)
from vcam_training.data.radiographs.chest_xray_table import (
    FINDINGS,
    FOLDS,
    ChestXrayTable,
    read_names,
    read_table,
)
from vcam_training.data.radiographs.radiograph_masks import MaskSource, RadiographMasks
from vcam_training.data.radiographs.run_length import RunLengths, read_run_lengths
from vcam_training.data.scans.grid_cache import Grids, ScanFile, read_grids
from vcam_training.task import Task

_MASKS_MARK = "Pneumothorax"
"""What files of masks without a column "Finding" mark."""
_LOOKED_AT = 8
"""Images whose values are compared with the window before all are read."""
_MOST_OUTSIDE = 0.5
"""Share of an image's pixels that may lie beyond the window."""


@dataclass(frozen=True, kw_only=True)
class ChestXraySource:
    """Images of the chest with 14 findings, in the layout of ChestX-ray14.

    Paths are relative to the data folder, or absolute.

    Attributes:
        table: CSV file of images and findings, see `chest_xray_table`; "" for made-up
            radiographs in the same layout, written once, see `chest_xray_stand_in`.
        images: folder with the images, however deep; "" for the table's own.
        masks: CSV file of run lengths, see `run_length`; "" for none. Rows that don't say
            of what are of pneumothoraces. The stand-in has its own.
        marked: findings whose masks are taken; empty for all that there are.
        mask_size: rows and columns that masks were drawn on, 1024 of ChestX-ray14;
            0 for the images as they are.
        size: pixels along both sides of the model's grid.
        window: (low, high) of stored values; 8 bits by default.
        finding: only images with it, in all folds; "" for all.
        sample: so many images of each fold, at random; 0 for all.
        starter: file of names, of which alone images are taken; "" for all.
        uncertain, unmentioned: what labels of -1 and empty ones count as, see `finding_labels`.
        validation_share: of the patients of the training list, where a table has no folds.
        made_size, train, validation, test: pixels and images of the stand-in.
        seed: of the stand-in, the sample and the patients for validation.
    """

    table: str = ""
    images: str = ""
    masks: str = ""
    marked: tuple[str, ...] = ()
    mask_size: int = 0
    size: int = 224
    window: tuple[float, float] = (0.0, 255.0)
    finding: str = ""
    sample: int = 0
    starter: str = ""
    uncertain: str = ""
    unmentioned: str = ""
    validation_share: float = 0.125
    made_size: int = 256
    train: int = 2000
    validation: int = 300
    test: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or min(self.sample, self.mask_size) < 0:
            raise ConfigError(
                "Expected data.size ≥ 1, and data.sample and data.mask_size ≥ 0, received "
                f"{self.size}, {self.sample} and {self.mask_size}."
            )
        if not self.window[0] < self.window[1]:
            raise ConfigError(f"Expected data.window as low,high, received {self.window}.")
        unknown = set(self.marked) - set(FINDINGS)
        if unknown:
            raise ConfigError(
                f"Expected data.marked out of {', '.join(FINDINGS)}, received "
                f"{', '.join(sorted(unknown))}."
            )
        self.stand_in, self.finding_labels  # noqa: B018  checks the values

    @property
    def stand_in(self) -> StandIn:
        """What is made where there is no table."""
        return StandIn(
            size=self.made_size,
            train=self.train,
            validation=self.validation,
            test=self.test,
            seed=self.seed,
        )

    @property
    def finding_labels(self) -> FindingLabels:
        """How columns of findings are read."""
        return FindingLabels(uncertain=self.uncertain, unmentioned=self.unmentioned)

    @property
    def grid(self) -> Grid:
        """The whole image, stretched onto a square: columns to L, rows to I."""
        return Grid(
            shape=(self.size, self.size),
            axes=("A", "I", "L"),
            fit=Fit.STRETCH,
            resampling=Resampling.AREA,
            padding_value=self.window[0],
        )

    @property
    def contract(self) -> DataContract:
        """What the values mean."""
        return DataContract(
            task=Task.FINDINGS,
            labels=FINDINGS,
            grid=self.grid,
            intensity=Intensity(dtype="float32", window=self.window),
            slice_aggregation=SliceAggregation.NONE,
        )

    def load(self, folder: Path, report: Report) -> DataSet:
        """Reads the images onto the grid; the second time they are there.

        Args:
            folder: where data sets lie, and images on the grid are kept.
            report: is told what happens.

        Raises:
            ConfigError: table, images or masks are missing or can't be used.
        """
        name, own = "ChestX-ray14 layout", self
        if not self.table:
            place = write_stand_in(folder, self.stand_in, report)
            name = "chest radiographs, stand-in"
            own = replace(
                self,
                table=str((place / TABLE).absolute()),
                images=str((place / IMAGES).absolute()),
                masks=str((place / MASKS).absolute()),
                mask_size=0,
            )
        table = own._chosen(folder)
        path = folder / own.table
        files = find_images(folder / own.images if own.images else path.parent, table.names)
        own._check_values(files)
        runs = read_run_lengths(folder / own.masks, _MASKS_MARK) if own.masks else None
        scans = [ScanFile(path=file) for file in files]
        grids = read_grids(scans, own.grid, own._dtype, folder / "grids", report)
        splits = {
            fold: own._split(rows, table, files, grids, runs)
            for fold, rows in zip(FOLDS, own._rows_of_folds(table), strict=True)
        }
        report(
            "Images: "
            + ", ".join(f"{len(split)} for {fold}" for fold, split in splits.items())
            + f"; findings per image: {table.findings.sum(axis=1).mean():.2f}"
        )
        return DataSet(
            name=name, contract=own.contract, sha256=_sha256(table, grids, runs), **splits
        )

    def _chosen(self, folder: Path) -> ChestXrayTable:
        """The images that pass the filters, fold by fold, so that each is one piece."""
        table = read_table(
            folder / self.table,
            validation=self.validation_share,
            seed=self.seed,
            labels=self.finding_labels,
        )
        starter = read_names(folder / self.starter) if self.starter else None
        if starter or self.finding:
            table = table.filtered(finding=self.finding, starter=starter)
        order = []
        for fold, rows in zip(FOLDS, self._rows_of_folds(table), strict=True):
            if not len(rows):
                raise ConfigError(
                    f"Expected images for {fold} in '{self.table}', found none. Check the column "
                    "'fold', or set other filters."
                )
            if self.sample and self.sample < len(rows):
                rng = np.random.default_rng([self.seed, FOLDS.index(fold)])
                rows = np.sort(rng.choice(rows, self.sample, replace=False))
            order.append(rows)
        return table.rows(np.concatenate(order))

    def _rows_of_folds(self, table: ChestXrayTable) -> list[np.ndarray]:
        return [np.flatnonzero(table.folds == fold) for fold in range(len(FOLDS))]

    @property
    def _dtype(self) -> str:
        """The smallest that holds the window."""
        low, high = self.window
        for dtype in ("uint8", "int16"):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return dtype
        return "float32"

    def _split(
        self,
        rows: np.ndarray,
        table: ChestXrayTable,
        files: Sequence[Path],
        grids: Grids,
        runs: RunLengths | None,
    ) -> Split:
        piece = slice(int(rows[0]), int(rows[-1]) + 1)
        volumes, findings = grids.volumes[piece], table.findings[piece]
        masks = {}
        if runs is not None:
            shape = (self.mask_size, self.mask_size) if self.mask_size else None
            source = MaskSource(runs=runs, shape=shape, grid=self.grid)
            masks = {
                number: RadiographMasks(source, files[piece], name, findings[:, number])
                for number, name in enumerate(FINDINGS)
                if name in runs.findings and name in (self.marked or FINDINGS)
            }
        return Split(
            volumes=volumes,
            labels=findings,
            known=None if table.known is None else table.known[piece],
            masks=no_masks(volumes.shape),
            finding_masks=masks,
            groups=None if table.patients is None else table.patients[piece],
            names=table.names[piece],
        )

    def _check_values(self, files: Sequence[Path]) -> None:
        """Raises unless the values of some images lie in the window.

        Raises:
            ConfigError: they don't, or an image can't be read.
        """
        low, high = self.window
        for number in np.unique(np.linspace(0, len(files) - 1, _LOOKED_AT).round().astype(int)):
            try:
                data = read_volume(files[number]).data
            except InputError as error:
                raise ConfigError(f"Can't read the image '{files[number]}': {error}") from error
            outside = float(((data < low) | (data > high)).mean())
            if outside > _MOST_OUTSIDE:
                raise ConfigError(
                    f"Expected values from {low:g} to {high:g}, received {data.min():g} to "
                    f"{data.max():g} in '{files[number]}', {outside:.0%} of them beyond. "
                    "Set data.window to the range of the stored values."
                )


def _sha256(table: ChestXrayTable, grids: Grids, runs: RunLengths | None) -> str:
    """Of images on the grid, findings, folds and masks."""
    digest = hashlib.sha256("\n".join((*grids.sha256, *table.names)).encode())
    digest.update(np.packbits(table.findings).tobytes() + table.folds.astype(np.int8).tobytes())
    if table.known is not None:
        digest.update(np.packbits(table.known).tobytes())
    if runs is not None:
        digest.update(repr(sorted(runs.parts.items())).encode())
    return digest.hexdigest()
