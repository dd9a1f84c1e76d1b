"""Slices of porous media as a config names them, and the fractions of phases they have."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError, InputError
from vcam_client.spec import Grid, Intensity, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks, sha256_of
from vcam_training.data.soil.contiguous_blocks import ContiguousBlocks
from vcam_training.data.soil.porous_media import PorousMedium
from vcam_training.data.soil.soil_cube import SoilCube, made_up_cube, read_cube, slice_grid
from vcam_training.phases.partition import PHASES, Partition, partition
from vcam_training.task import Task

TARGETS = {1: (1,), 2: (2,), 3: (3,), 4: (4,), 5: (5, 6)}
"""Phases that each target leaves out of a slice."""
_SAMPLES = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class SoilPorositySource:
    """Slices of one cube, each with 1 minus the fraction of a phase in it.

    Phases are six equal parts of the range of the cube, counted before slices are
    resampled: the targets are those of the series, not of what a network sees.

    Attributes:
        series: a folder of DICOM, a TIFF stack or whatever the client reads; "" for a
            synthetic medium.
        spacing_mm: for stacks that state none; it changes nothing here.
        slices: first slice and the one behind the last, from 0; empty for all.
        crop: first row and the one behind the last, the same of columns; empty for all.
        size: pixels along both sides of the slice that a network sees.
        targets: out of 1 to 5; 1 − the fraction of that phase, 5 of phases 5 and 6.
            A network has one output for each.
        bands: edges of the three bands that are a slice's red, green and blue, each the
            number of phases below it: 0, 2, 4, 6 are phases 1 and 2, 3 and 4, 5 and 6.
            Empty: what a target counts is a band of its own, see `bands_for`.
        made_slices, made_size: of a synthetic medium, voxels.
        blocks, validation, test, gap: of the split, see `ContiguousBlocks`.
        seed: of the synthetic medium and of the split.
    """

    series: str = ""
    spacing_mm: float = 0.0
    slices: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    size: int = 64
    targets: tuple[int, ...] = (1,)
    bands: tuple[int, ...] = ()
    made_slices: int = 1600
    made_size: int = 64
    blocks: int = 40
    validation: int = 6
    test: int = 6
    gap: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.targets or any(target not in TARGETS for target in self.targets):
            raise ConfigError(
                f"Expected targets out of {tuple(TARGETS)}, received {self.targets}. "
                "Set data.targets."
            )
        if self.size < 1:
            raise ConfigError(f"Expected a size of at least 1 pixel, received {self.size}.")
        bands = self.bands or bands_for(self.targets)
        ascending = all(a < b for a, b in itertools.pairwise(bands))
        if len(bands) != 4 or not ascending or bands[0] < 0 or bands[-1] > PHASES:
            raise ConfigError(
                f"Expected four ascending edges of three bands, numbers from 0 to {PHASES}, "
                f"received {bands}. Set data.bands."
            )
        self._blocks  # noqa: B018  checks the values
        self._medium  # noqa: B018

    @property
    def grid(self) -> Grid:
        """Of one slice."""
        return slice_grid(self.size)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(_label(target) for target in self.targets)

    def contract(self, phases: Partition, units: str = "") -> DataContract:
        """What the values mean, once the edges of the phases are known.

        Args:
            phases: of the cube.
            units: of its voxels.
        """
        return DataContract(
            task=Task.REGRESSION,
            labels=self.labels,
            grid=self.grid,
            intensity=Intensity(
                units=units,
                dtype="float32",
                band_edges=tuple(phases.edges[at] for at in self.bands or bands_for(self.targets)),
            ),
            slice_aggregation=SliceAggregation.MEAN,
        )

    def cube(self) -> SoilCube:
        """The cube, read or made.

        Raises:
            ConfigError: it can't be read, or there are no such slices, rows or columns.
        """
        if not self.series:
            return made_up_cube(self._medium, self.seed, slices=self.slices, crop=self.crop)
        try:
            return read_cube(
                self.series,
                slices=self.slices,
                crop=self.crop,
                spacing_mm=self.spacing_mm or None,
            )
        except InputError as error:
            raise ConfigError(f"{error} It was named by data.series={self.series}.") from error

    def load(self, folder: Path, report: Report) -> DataSet:
        """Reads or makes the cube; nothing is written to `folder`.

        Raises:
            ConfigError: the series can't be used.
        """
        cube = self.cube()
        values = cube.values
        report(
            f"{cube.volume.name}: {len(values)} slices of {values.shape[1]}×{values.shape[2]} "
            f"voxels, seen on {self.size}×{self.size}"
        )
        phases = partition(values)
        report(f"Edges of the phases: {', '.join(f'{edge:g}' for edge in phases.edges)}")
        labels = targets(phases.fractions(values), self.targets)
        images = cube.on_grid(self.grid)
        parts = self._blocks.split(len(values))
        splits = {name: _split(images, labels, parts[name]) for name in _SAMPLES}
        report(", ".join(f"{name} {len(split)}" for name, split in splits.items()) + " slices")
        return DataSet(
            name=f"soil, {cube.volume.name}",
            contract=self.contract(phases, cube.volume.units),
            sha256=sha256_of(*splits.values()),
            **splits,
        )

    @property
    def _blocks(self) -> ContiguousBlocks:
        return ContiguousBlocks(
            blocks=self.blocks,
            validation=self.validation,
            test=self.test,
            gap=self.gap,
            seed=self.seed,
        )

    @property
    def _medium(self) -> PorousMedium:
        return PorousMedium(shape=(self.made_slices, self.made_size, self.made_size))


def targets(fractions: NDArray[np.float64], wanted: Sequence[int]) -> NDArray[np.float32]:
    """1 minus the fraction of each target's phases, float32 [slices, targets].

    Args:
        fractions: [slices, 6], of the phases.
        wanted: targets out of TARGETS.
    """
    left_out = [[phase - 1 for phase in TARGETS[target]] for target in wanted]
    columns = [1 - fractions[:, phases].sum(axis=1) for phases in left_out]
    return np.stack(columns, axis=1).astype(np.float32)


def bands_for(wanted: Sequence[int]) -> tuple[int, int, int, int]:
    """Edges of three bands that span all phases, one of which is what a target counts.

    A network can count what its input tells apart. Of target 3: phases 1 and 2, phase 3,
    phases 4 to 6. Of several targets: phases 1 and 2, 3 and 4, 5 and 6; what tells
    phases of one band apart is then left to the picture.

    Args:
        wanted: targets out of TARGETS.
    """
    phases = TARGETS[wanted[0]]
    below, end = phases[0] - 1, phases[-1]
    if len(wanted) > 1 or end == PHASES:
        return 0, 2, 4, PHASES
    if below == 0:
        return 0, end, (end + PHASES) // 2, PHASES
    return 0, below, end, PHASES


def _label(target: int) -> str:
    """With a hyphen: not every font of a picture has a minus sign."""
    phases = TARGETS[target]
    named = f"phases {' and '.join(map(str, phases))}" if len(phases) > 1 else f"phase {phases[0]}"
    return f"1 - fraction of {named}"


def _split(images: NDArray, labels: NDArray, chosen: NDArray[np.intp]) -> Split:
    volumes = images[chosen]
    return Split(
        volumes=volumes,
        labels=labels[chosen],
        masks=no_masks(volumes.shape),
        names=tuple(f"slice {index}" for index in chosen),
    )
