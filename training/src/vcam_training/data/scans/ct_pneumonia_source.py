"""The CTs of the Keras example as a config names them, see `data.mosmed`."""

from dataclasses import dataclass
from pathlib import Path

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, Resampling
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report
from vcam_training.data.scans import mosmed
from vcam_training.data.scans.grid_cache import GRIDS
from vcam_training.data.scans.scan_set import scan_set


@dataclass(frozen=True, kw_only=True)
class CtPneumoniaSource:
    """CTs in a folder for each class, downloaded if need be.

    Attributes:
        folder: of the folders of the classes; "" for `mosmed` in the data folder, where what
            is missing is downloaded.
        classes: names of these folders, the positive class last.
        labels: names of the classes.
        shape: voxels of the model's grid along S, P, L; each scan's whole extent is laid on it.
        window: (low, high), HU, beyond which the graph clips.
        validation: share of the scans that choose the best epoch.
        test: share that is set aside until the end; with 0, as in the example, the figures
            are those of the validation split.
        seed: of the division, and of the phantoms.
        phantoms: with 1 or more, no CTs at all but so many phantoms of each class, written
            in the same layout.
    """

    folder: str = ""
    classes: tuple[str, ...] = mosmed.CLASSES
    labels: tuple[str, ...] = mosmed.LABELS
    shape: tuple[int, int, int] = (64, 128, 128)
    window: tuple[float, float] = (-1000.0, 400.0)
    validation: float = 0.3
    test: float = 0.0
    seed: int = 0
    phantoms: int = 0

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.labels):
            raise ConfigError(
                f"Expected a label for each of the classes {self.classes}, received {self.labels}. "
                "Set data.classes and data.labels."
            )
        if self.phantoms and (self.folder or self.classes != mosmed.CLASSES):
            raise ConfigError(
                "Expected data.phantoms=0 with data.folder or other data.classes, received "
                f"{self.phantoms}. Set data.phantoms=0."
            )

    @property
    def contract(self) -> DataContract:
        """What the values mean."""
        low, high = self.window
        return DataContract(
            labels=self.labels,
            grid=Grid(
                shape=self.shape,
                axes=("S", "P", "L"),
                fit=Fit.STRETCH,
                resampling=Resampling.AREA,
                padding_value=low,
            ),
            intensity=Intensity(
                units="HU",
                dtype="int16",
                window=self.window,
                modalities=("CT",),
                transform=f"clipped to [{low:g}, {high:g}] HU, scaled to [0, 1]",
            ),
        )

    def load(self, folder: Path, report: Report) -> DataSet:
        """Downloads what is missing and reads the scans onto the grid.

        Args:
            folder: where data sets lie.
            report: is told what happens.

        Raises:
            ConfigError: there is no network and no scan, or scans that can't be used.
        """
        place = Path(self.folder) if self.folder else folder / self._folder_name()
        if self.phantoms:
            mosmed.write_phantoms(place, self.phantoms, self.seed, report)
        elif not self.folder:
            mosmed.fetch(place, self.classes, report)
        return scan_set(
            "ct-pneumonia, phantoms" if self.phantoms else "MosMedData",
            mosmed.list_scans(place, self.classes),
            self.contract,
            folder=(folder if self.folder else place) / GRIDS,
            shares=(self.validation, self.test),
            seed=self.seed,
            report=report,
        )

    def _folder_name(self) -> str:
        if not self.phantoms:
            return "mosmed"
        return f"mosmed-phantoms-{self.phantoms}-seed{self.seed}"
