"""Held-out figures with their intervals and chance, and what validation fixes for them.

Validation sets what has to be set: the temperature, where to decide, each method's
levels. The test split is then measured once with all of that.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Metric
from vcam_training.cams.cam_methods import DEFAULT_METHOD
from vcam_training.cams.maps import explained
from vcam_training.cams.target_layer import method_of
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import Calibration, Fitted, check
from vcam_training.evaluation.evidence_levels import EvidenceLevels, measure, outputs_of
from vcam_training.evaluation.map_metrics import MapMetrics
from vcam_training.evaluation.roles import roles
from vcam_training.evaluation.score_metrics import (
    class_metrics,
    finding_metrics,
    regression_metrics,
    unmeasured,
)
from vcam_training.learning.pipeline import plain_batches
from vcam_training.task import Task

ON_VALIDATION = (
    "Nothing was set aside for testing: these figures are of the validation split, which also "
    "chose the epoch and the thresholds. Expect worse on other scans."
)
_BATCH = 8
"""Volumes whose scores are computed at once where there are no maps to look at."""


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What training fixed before anything was held against the test split.

    Attributes:
        fitted: temperature and where to decide; None of a regression.
        method: the CAM method that figures about maps are measured with.
        levels: of that method.
        target_means: of a regression, means of the targets; empty where unknown.
    """

    fitted: Fitted | None
    method: str
    levels: EvidenceLevels
    target_means: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a run knows about its model.

    Attributes:
        metrics: held-out figures for the model spec.
        calibration: temperature, decision threshold and reliability; None of a regression.
        method: the CAM method that the figures about maps were measured with.
        levels: of each CAM method on the run's layer.
        target_means: of a regression, what each target is on average in validation.
        notes: what has no figure, and why.
    """

    metrics: tuple[Metric, ...]
    calibration: Calibration | None
    method: str
    levels: Mapping[str, EvidenceLevels]
    target_means: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fixed(self) -> Fixed:
        """What other data can be measured with."""
        return Fixed(
            fitted=self.calibration,
            method=self.method,
            levels=self.levels[self.method],
            target_means=self.target_means,
        )

    def to_json_dict(self) -> dict[str, object]:
        """Plain values; `from_json_dict` reads them."""
        return {
            "metrics": [asdict(metric) for metric in self.metrics],
            "calibration": self.calibration and self.calibration.to_json_dict(),
            "method": self.method,
            "levels": {name: levels.to_json_dict() for name, levels in self.levels.items()},
            "target_means": list(self.target_means),
            "notes": list(self.notes),
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
                target_means=tuple(values.get("target_means", ())),
                notes=tuple(values.get("notes", ())),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                "Expected the figures of a run of this version of vcam, received some with a "
                f"wrong or missing part ({error}). Train it again into another folder with "
                "--out."
            ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """A network on its splits.

    Attributes:
        evaluation: the figures.
        logits: float32 [n, K] of "validation" and "test", two for a model with one logit.
    """

    evaluation: Evaluation
    logits: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A network on one split, with what was fixed before.

    Attributes:
        metrics: held-out figures.
        calibration: what the split says about the temperature; None of a regression.
        notes: what has no figure, and why.
        logits: float32 [n, K].
    """

    metrics: tuple[Metric, ...]
    calibration: Calibration | None
    notes: tuple[str, ...]
    logits: NDArray[np.float32]


def evaluate(
    model: keras.Model,
    layer: CamLayer,
    contract: DataContract,
    validation: Split,
    test: Split,
    *,
    method: str = DEFAULT_METHOD,
) -> Evaluated:
    """Fits on the validation split what has to be fitted, and measures the test split.

    Args:
        model: a trained training model.
        layer: as `target_layer(model, name).place`.
        contract: what the labels mean.
        validation, test: the splits; the same one where nothing was set aside for testing,
            and the figures say so.
        method: the CAM method that figures about maps are measured with.

    Raises:
        ConfigError: no such layer or method.
    """
    method_of(method)
    known = measure(model, layer, validation)
    regression = contract.task is Task.REGRESSION
    fixed = Fixed(
        fitted=known.fitted,
        method=method,
        levels=known.levels[method],
        target_means=tuple(map(float, validation.labels.mean(axis=0))) if regression else (),
    )
    unseen = test is not validation
    measured = measure_split(
        model, layer, contract, test, fixed, name="test" if unseen else "validation"
    )
    return Evaluated(
        evaluation=Evaluation(
            metrics=measured.metrics,
            calibration=measured.calibration,
            method=method,
            levels=known.levels,
            target_means=fixed.target_means,
            notes=measured.notes if unseen else (ON_VALIDATION, *measured.notes),
        ),
        logits={"validation": known.logits, "test": measured.logits},
    )


def measure_split(
    model: keras.Model,
    layer: CamLayer,
    contract: DataContract,
    split: Split,
    fixed: Fixed,
    *,
    name: str = "test",
) -> Measured:
    """Measures one split; nothing is fitted on it.

    Args:
        model, layer, contract: as for `evaluate`.
        split: held-out volumes.
        fixed: what training fixed.
        name: of the split, for the figures.

    Raises:
        ConfigError: no such layer or method.
    """
    given = roles(split, outputs_of(model, contract.task))
    maps = MapMetrics(layer, fixed.method, fixed.levels, split, given)
    exclusive = contract.task is Task.CLASSES
    if exclusive or given.can_be_positive.any() or given.is_negative.any():
        logits = np.empty((len(split), outputs_of(model, contract.task)), np.float32)
        for one in explained(
            model,
            layer.name,
            split.volumes,
            given.class_index,
            methods=(fixed.method,),
            exclusive=exclusive,
        ):
            logits[one.index] = one.logits
            maps.add(one.index, one.cams[fixed.method])
    else:
        logits = model.predict(plain_batches(split, _BATCH), verbose=0)
    calibration = (
        None if fixed.fitted is None else check(fixed.fitted, logits, split.labels, split.known)
    )
    found = [
        *_score_metrics(contract, logits, split, calibration, fixed.target_means),
        *maps.metrics(logits, fixed.fitted),
    ]
    regression = contract.task is Task.REGRESSION
    return Measured(
        metrics=tuple(replace(metric, split=name) for metric in found),
        calibration=calibration,
        notes=() if regression else unmeasured(split.labels, contract.labels, split.known),
        logits=logits,
    )


def _score_metrics(
    contract: DataContract,
    logits: NDArray[np.float32],
    split: Split,
    calibration: Calibration | None,
    target_means: tuple[float, ...],
) -> list[Metric]:
    labels, names = split.labels, contract.labels
    if calibration is None:
        return regression_metrics(logits, labels, target_means, names)
    if contract.task is Task.CLASSES:
        return class_metrics(logits, labels, calibration, names)
    return finding_metrics(logits, labels, calibration, names, split.known)
