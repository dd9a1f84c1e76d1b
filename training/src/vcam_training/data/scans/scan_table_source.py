"""A table of scans as a config names it: your own data, see docs/data.md."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vcam_client.errors import ConfigError, ContractError
from vcam_client.spec import Fit, Grid, Intensity, Resampling, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report
from vcam_training.data.finding_labels import FindingLabels
from vcam_training.data.scans.grid_cache import GRIDS
from vcam_training.data.scans.scan_set import scan_set
from vcam_training.data.scans.scan_table import Columns, read_table
from vcam_training.task import Task

_Kind = TypeVar("_Kind", Fit, Resampling)


@dataclass(frozen=True, kw_only=True)
class ScanTableSource:
    """Scans on disk that a CSV file lists, with their labels.

    Attributes:
        table: the CSV file; paths in it are relative to its folder.
        classes: names of exclusive classes, the positive one last; empty for those of the
            table in alphabetical order.
        findings: columns with 0 or 1, if each finding is there or not by itself.
        uncertain, unmentioned: what labels of -1 and empty ones of findings count as, see
            `finding_labels`.
        targets: columns with numbers, for a regression.
        unit: of the targets.
        path_column, label_column, mask_column, group_column, split_column: of the table;
            the latter three may be missing.
        file_spacing_mm: of columns, rows and slices, or one for all, where files state none, as
            pictures and arrays; empty for their own.
        shape: voxels of the model's grid along its axes; two of them for images.
        axes: directions in which its indices grow, as ("S", "P", "L"); empty for scans
            without anatomy: stored axes, slowest first.
        fit: "stretch" to lay the whole scan on the grid, "spacing" to keep millimetres
            and crop or pad about its centre.
        spacing_mm: along each axis, with fit=spacing.
        resampling: "area", the mean over each voxel, or "linear".
        window: (low, high) beyond which the graph clips.
        padding: value outside the scan; None for the lower end of the window.
        units: "HU", or "" where values have none.
        dtype: "int16" or "float32", of the values that a client sends.
        modalities: DICOM modalities that the model accepts; empty for any.
        validation, test: shares of the scans whose split the table leaves open; without a
            test split, the validation split is measured in its place.
        seed: of that division.
    """

    table: str = ""
    classes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    uncertain: str = ""
    unmentioned: str = ""
    targets: tuple[str, ...] = ()
    unit: str = ""
    path_column: str = "path"
    label_column: str = "label"
    mask_column: str = "mask"
    group_column: str = "group"
    split_column: str = "split"
    file_spacing_mm: tuple[float, ...] = ()
    shape: tuple[int, ...] = (64, 128, 128)
    axes: tuple[str, ...] = ("S", "P", "L")
    fit: str = "stretch"
    spacing_mm: tuple[float, ...] = ()
    resampling: str = "area"
    window: tuple[float, float] = (-1000.0, 400.0)
    padding: float | None = None
    units: str = "HU"
    dtype: str = "int16"
    modalities: tuple[str, ...] = ()
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.findings and self.targets:
            raise ConfigError("Expected either data.findings or data.targets, received both.")
        if self.classes and self.task is not Task.CLASSES:
            raise ConfigError(
                "Expected data.classes for exclusive classes only, received them with "
                f"data.{'findings' if self.findings else 'targets'}."
            )
        if (self.uncertain or self.unmentioned) and not self.findings:
            raise ConfigError(
                "Expected data.findings beside data.uncertain and data.unmentioned, received none. "
                "Name the columns of findings."
            )
        self.grid, self.intensity, self.finding_labels  # noqa: B018  checks the values

    @property
    def task(self) -> Task:
        """What the labels are."""
        if self.findings:
            return Task.FINDINGS
        return Task.REGRESSION if self.targets else Task.CLASSES

    @property
    def finding_labels(self) -> FindingLabels:
        """How labels of findings are read."""
        return FindingLabels(uncertain=self.uncertain, unmentioned=self.unmentioned)

    @property
    def grid(self) -> Grid:
        """The model's grid."""
        try:
            return Grid(
                shape=self.shape,
                axes=self.axes,
                fit=_named(Fit, "fit", self.fit),
                spacing_mm=self.spacing_mm,
                resampling=_named(Resampling, "resampling", self.resampling),
                padding_value=self.window[0] if self.padding is None else self.padding,
            )
        except ContractError as error:
            raise ConfigError(
                f"{error} Set data.shape, data.axes, data.fit and data.spacing_mm."
            ) from error

    @property
    def intensity(self) -> Intensity:
        """What the values are, and how the graph clips them."""
        low, high = self.window
        unit = f" {self.units}" if self.units else ""
        try:
            return Intensity(
                units=self.units,
                dtype=self.dtype,
                window=self.window,
                modalities=self.modalities,
                transform=f"clipped to [{low:g}, {high:g}]{unit}",
            )
        except ContractError as error:
            raise ConfigError(f"{error} Set data.window, data.dtype and data.units.") from error

    def load(self, folder: Path, report: Report) -> DataSet:
        """Reads the table, then its scans onto the grid.

        Args:
            folder: scans on the grid are kept in its folder `grids`.
            report: is told what happens.

        Raises:
            ConfigError: what is wrong with the table or its scans, all of it.
        """
        if not self.table:
            raise ConfigError(
                "Expected a CSV file that lists scans, received none. Set data.table=FILE; "
                "docs/data.md has an example."
            )
        file = Path(self.table)
        columns = Columns(
            path=self.path_column,
            values=self.findings or self.targets or (self.label_column,),
            mask=self.mask_column,
            group=self.group_column,
            split=self.split_column,
            spacing=self.file_spacing_mm,
        )
        table, labels = read_table(file, columns, self.task, self.classes, self.finding_labels)
        report(f"{len(table)} scans in {file}: {', '.join(labels)}")
        contract = DataContract(
            task=self.task,
            labels=labels,
            grid=self.grid,
            intensity=self.intensity,
            unit=self.unit,
            slice_aggregation=SliceAggregation.NONE if len(self.shape) == 2 else None,
        )
        return scan_set(
            file.stem,
            table,
            contract,
            folder=folder / GRIDS,
            shares=(self.validation, self.test),
            seed=self.seed,
            report=report,
        )


def _named(kind: type[_Kind], name: str, text: str) -> _Kind:
    known = {one.name.lower(): one for one in kind if one.name.lower() != "unspecified"}
    if text not in known:
        raise ConfigError(
            f"Expected data.{name} to be one of {', '.join(known)}, received {text!r}."
        )
    return known[text]
