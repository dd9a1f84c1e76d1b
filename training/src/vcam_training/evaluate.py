"""Held-out figures with their intervals and chance, and what validation fixes for them.

Validation sets what has to be set: the temperature, the decision threshold, each
method's levels. The test split is then measured once with all of that.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.evidence import Finding, finding, nothing_up_to
from vcam_client.spec import CamLayer, Explanation, Metric
from vcam_training.calibration import Calibration, calibrate
from vcam_training.cam_methods import DEFAULT_METHOD
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.evidence_levels import EvidenceLevels, classes_of, measure, roles
from vcam_training.intervals import mean_metric, share_metric
from vcam_training.localisation import (
    cell_distances,
    centre_distances,
    centre_error,
    energy_inside,
    heatmap_on_grid,
    overlap,
)
from vcam_training.maps import explained
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.pipeline import plain_batches
from vcam_training.score_metrics import class_metrics, finding_metrics, regression_metrics
from vcam_training.target_layer import method_of
from vcam_training.task import Task

_BATCH = 8
"""Volumes whose scores are computed at once."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a run knows about its model.

    Attributes:
        metrics: held-out figures for the model spec.
        calibration: temperature, decision threshold and reliability; None of a regression.
        method: the CAM method that the figures about maps were measured with.
        levels: of each CAM method on the run's layer.
    """

    metrics: tuple[Metric, ...]
    calibration: Calibration | None
    method: str
    levels: Mapping[str, EvidenceLevels]

    def to_json_dict(self) -> dict[str, object]:
        """Plain values; `from_json_dict` reads them."""
        return {
            "metrics": [asdict(metric) for metric in self.metrics],
            "calibration": self.calibration and self.calibration.to_json_dict(),
            "method": self.method,
            "levels": {name: levels.to_json_dict() for name, levels in self.levels.items()},
        }

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> "Evaluation":
        """The evaluation that `to_json_dict` wrote.

        Raises:
            ConfigError: something is missing or unknown.
        """
        try:
            return cls(
                metrics=tuple(Metric(**metric) for metric in values["metrics"]),
                calibration=values["calibration"]
                and Calibration.from_json_dict(values["calibration"]),
                method=values["method"],
                levels={k: EvidenceLevels(**levels) for k, levels in values["levels"].items()},
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                "Expected the figures of a run of this version of vcam, received some with a "
                f"wrong or missing part ({error}). Delete the run's metrics.json; the command "
                "that trained it measures again."
            ) from error


def evaluate(
    model: keras.Model,
    layer: CamLayer,
    contract: DataContract,
    validation: Split,
    test: Split,
    *,
    method: str = DEFAULT_METHOD,
) -> Evaluation:
    """Fits on the validation split what has to be fitted, and measures the test split.

    Args:
        model: a trained training model.
        layer: as `target_layer(model, name).place`.
        contract: what the labels mean.
        validation, test: the splits.
        method: the CAM method that figures about maps are measured with.

    Raises:
        ConfigError: no such layer or method.
    """
    method_of(method)
    if contract.task is not Task.CLASSES:
        return _evaluate_scores(model, contract, validation, test, method)
    measured = measure(model, layer, validation)
    maps = _TestMaps(layer, method, measured.levels[method], test, classes_of(model))
    for one in explained(
        model, layer.name, test.volumes, maps.roles.class_index, methods=(method,)
    ):
        maps.add(one.index, one.logits, one.cams[method])
    calibration = calibrate(measured.logits, validation.labels, maps.logits, test.labels)
    return Evaluation(
        metrics=(*class_metrics(maps.logits, test.labels, calibration), *maps.metrics()),
        calibration=calibration,
        method=method,
        levels=measured.levels,
    )


def _evaluate_scores(
    model: keras.Model, contract: DataContract, validation: Split, test: Split, method: str
) -> Evaluation:
    """Of findings and regressions: nothing is measured about maps."""
    outputs = [
        model.predict(plain_batches(split, _BATCH), verbose=0) for split in (validation, test)
    ]
    if contract.task is Task.REGRESSION:
        metrics = regression_metrics(outputs[1], test.labels, validation.labels, contract.labels)
        return Evaluation(metrics=tuple(metrics), calibration=None, method=method, levels={})
    calibration = calibrate(outputs[0], validation.labels, outputs[1], test.labels)
    metrics = finding_metrics(outputs[1], test.labels, calibration, contract.labels)
    return Evaluation(metrics=tuple(metrics), calibration=calibration, method=method, levels={})


class _TestMaps:
    """Measures maps of the test split one after the other.

    Pointing, overlap and energy are measured on every volume that has an object, for its
    true class, whatever the model predicted. Chance of pointing is the share of cells for
    which it is so, which is what a uniformly random cell would reach.
    """

    def __init__(
        self, layer: CamLayer, method: str, levels: EvidenceLevels, test: Split, classes: int
    ) -> None:
        self.roles = roles(test, classes)
        self.logits = np.empty((len(test), classes), np.float32)
        self._layer, self._test, self._levels = layer, test, levels
        self._nothing = nothing_up_to(
            Explanation(
                signature=method,
                method=method,
                layer=layer.name,
                reference_maximum=levels.reference_maximum,
                evidence_minimum=levels.evidence_minimum,
            )
        )
        self._silent = np.zeros((len(test), 2), bool)
        self._rows: list[dict[str, float]] = []

    def add(self, index: int, logits: np.ndarray, cams: np.ndarray) -> None:
        """Takes one volume into account; cams float32 [2, *cells], see `Roles.class_index`."""
        self.logits[index] = logits
        self._silent[index] = [finding(c, self._nothing) is not Finding.EVIDENCE for c in cams]
        if self.roles.has_mask[index]:
            self._rows.append(self._located(cams[0], self._test.masks[index]))

    def _located(self, cam: np.ndarray, mask: np.ndarray) -> dict[str, float]:
        distances = cell_distances(mask, self._layer)
        shown = heatmap_on_grid(cam, mask.shape, self._layer)
        row = {
            "distance": float(distances.flat[cam.argmax()]),
            "centre": centre_error(cam, self._layer, mask),
            "centre_chance": float((centre_distances(mask, self._layer) <= 1).mean()),
            "near": float((distances <= 1).mean()),
            "inside": float((distances <= 0).mean()),
            "energy": energy_inside(shown, mask),
            "share": float(mask.mean()),
            "perfect": perfect_map_dice(mask, self._layer),
        }
        if self._levels.threshold is not None:
            row |= asdict(overlap(shown, mask, self._levels.threshold))
        return row

    def metrics(self) -> list[Metric]:
        """The figures about maps; those that need objects only where there are some."""
        found: list[Metric] = []
        if self._rows:
            column = {name: np.array([row[name] for row in self._rows]) for name in self._rows[0]}
            for name, reach, chance in (("within one cell", 1, "near"), ("inside", 0, "inside")):
                hits = column["distance"] <= reach
                found.append(share_metric(f"pointing, {name}", hits, chance=column[chance].mean()))
            found.append(
                share_metric(
                    "weighted centre, within one cell",
                    column["centre"] <= 1,
                    chance=column["centre_chance"].mean(),
                )
            )
            if self._levels.threshold is not None:
                for name, key in (("Dice", "dice"), ("IoU", "iou")):
                    chance = column[f"{key}_chance"].mean()
                    found.append(
                        mean_metric(f"mean {name}, at threshold", column[key], chance=chance)
                    )
            share = column["share"].mean()
            found.append(mean_metric("energy inside", column["energy"], chance=share))
            found.append(
                Metric(
                    name="Dice of a perfect map, lowest",
                    value=float(column["perfect"].min()),
                    count=len(self._rows),
                    split="test",
                )
            )
        right = self.logits.argmax(axis=1) == self._test.labels
        for name, which, column_of in (
            ("positives without evidence", self.roles.can_be_positive & right, 0),
            ("negatives without evidence", self.roles.is_negative, 1),
        ):
            if which.any():
                found.append(share_metric(name, self._silent[which, column_of]))
        return found
