"""Held-out figures about maps of one method on one layer."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from vcam_client.evidence import Finding, finding, nothing_up_to
from vcam_client.spec import CamLayer, Explanation, Metric
from vcam_training.cams.perfect_map import perfect_map_dice
from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import Fitted
from vcam_training.evaluation.evidence_levels import EvidenceLevels
from vcam_training.evaluation.intervals import mean_metric, share_metric
from vcam_training.evaluation.localisation import (
    cell_distances,
    centre_distances,
    centre_error,
    energy_inside,
    heatmap_on_grid,
    overlap,
)
from vcam_training.evaluation.roles import Roles, task_of

NEAR, INSIDE = "pointing, within one cell", "pointing, inside"
CENTRE = "weighted centre, within one cell"
DICE, IOU = "mean Dice, at threshold", "mean IoU, at threshold"
ENERGY = "energy inside"
CEILING = "Dice of a perfect map, lowest"
SILENT_POSITIVES = "positives without evidence"
SILENT_NEGATIVES = "negatives without evidence"
MAP_METRICS = (
    NEAR,
    INSIDE,
    CENTRE,
    DICE,
    IOU,
    ENERGY,
    CEILING,
    SILENT_POSITIVES,
    SILENT_NEGATIVES,
)
"""Names of the figures; all others are about scores."""


class MapMetrics:
    """Measures the maps of a split one after the other.

    Pointing, overlap and energy are measured on every volume that has an object, for
    what is true of it, whatever the model predicted. Chance of pointing is the share of
    cells for which it is so, which is what a uniformly random cell would reach.

    Args:
        layer: where the cells lie.
        method: of the maps.
        levels: fixed on validation.
        split: of the volumes.
        roles: what each is explained for.
    """

    def __init__(
        self, layer: CamLayer, method: str, levels: EvidenceLevels, split: Split, roles: Roles
    ) -> None:
        self._layer, self._levels, self._split, self._roles = layer, levels, split, roles
        self._nothing = nothing_up_to(
            Explanation(
                signature=method,
                method=method,
                layer=layer.name,
                reference_maximum=levels.reference_maximum,
                evidence_minimum=levels.evidence_minimum,
            )
        )
        self._silent = np.zeros((len(split), 2), bool)
        self._rows: list[dict[str, float]] = []

    def add(self, index: int, cams: NDArray[np.float32]) -> None:
        """Takes one volume into account; cams float32 [2, *cells], see `Roles.class_index`."""
        self._silent[index] = [finding(c, self._nothing) is not Finding.EVIDENCE for c in cams]
        if self._roles.has_mask[index]:
            self._rows.append(self._located(cams[0], self._roles.mask(self._split, index)))

    def metrics(self, logits: NDArray[np.float32], fitted: Fitted | None) -> list[Metric]:
        """The figures; those that need objects only where there are some.

        Args:
            logits: float32 [n, K] of all volumes.
            fitted: what decides whether a class or finding is found; None of a regression,
                whose maps can't be without evidence.
        """
        found = self._place_metrics() if self._rows else []
        if fitted is None:
            return found
        task, roles = task_of(self._split), self._roles
        positives = roles.can_be_positive & roles.is_found(logits, fitted, task)
        for name, which, column in (
            (SILENT_POSITIVES, positives, 0),
            (SILENT_NEGATIVES, roles.is_negative, 1),
        ):
            if which.any():
                found.append(share_metric(name, self._silent[which, column]))
        return found

    def _located(self, cam: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, float]:
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

    def _place_metrics(self) -> list[Metric]:
        column = {name: np.array([row[name] for row in self._rows]) for name in self._rows[0]}
        found = []
        for name, reach, chance in ((NEAR, 1, "near"), (INSIDE, 0, "inside")):
            hits = column["distance"] <= reach
            found.append(share_metric(name, hits, chance=column[chance].mean()))
        found.append(
            share_metric(CENTRE, column["centre"] <= 1, chance=column["centre_chance"].mean())
        )
        if self._levels.threshold is not None:
            for name, key in ((DICE, "dice"), (IOU, "iou")):
                chance = column[f"{key}_chance"].mean()
                found.append(mean_metric(name, column[key], chance=chance))
        found.append(mean_metric(ENERGY, column["energy"], chance=column["share"].mean()))
        lowest = float(column["perfect"].min())
        return [*found, Metric(name=CEILING, value=lowest, count=len(self._rows), split="test")]
