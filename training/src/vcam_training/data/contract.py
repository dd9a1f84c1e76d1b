"""What the values of a data set mean: the part of the model spec that data decide."""

from dataclasses import asdict, dataclass
from typing import Any

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, Resampling, SliceAggregation
from vcam_training.task import Task


@dataclass(frozen=True, kw_only=True)
class DataContract:
    """What a network of this data takes and answers.

    Attributes:
        task: how labels are to be read.
        labels: names of the classes, findings or targets.
        grid: the model's grid.
        intensity: units, dtype on the wire, window or band edges.
        unit: of the targets of a regression.
        slice_aggregation: of 2-D networks; None for volumes.
    """

    task: Task = Task.CLASSES
    labels: tuple[str, ...]
    grid: Grid
    intensity: Intensity
    unit: str = ""
    slice_aggregation: SliceAggregation | None = None

    def __post_init__(self) -> None:
        enough = 2 if self.task is Task.CLASSES else 1
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < enough:
            raise ConfigError(
                f"Expected at least {enough} different labels for {self.task.value}, received "
                f"{self.labels}. Name each once."
            )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values; `from_json_dict` reads them."""
        values = asdict(self)
        values["task"] = self.task.name
        values["grid"] |= {"fit": self.grid.fit.name, "resampling": self.grid.resampling.name}
        one = self.slice_aggregation
        return {**values, "slice_aggregation": None if one is None else one.name}

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> "DataContract":
        """The contract that `to_json_dict` wrote.

        Raises:
            ConfigError: something is missing or unknown.
        """
        try:
            grid = {**_tuples(values["grid"]), "fit": Fit[values["grid"]["fit"]]}
            grid["resampling"] = Resampling[values["grid"]["resampling"]]
            one = values["slice_aggregation"]
            return cls(
                task=Task[values["task"]],
                labels=tuple(values["labels"]),
                grid=Grid(**grid),
                intensity=Intensity(**_tuples(values["intensity"])),
                unit=values["unit"],
                slice_aggregation=None if one is None else SliceAggregation[one],
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"Expected the data of a run of this version of vcam, received some with a wrong "
                f"or missing part ({error}). Train again with this version."
            ) from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
