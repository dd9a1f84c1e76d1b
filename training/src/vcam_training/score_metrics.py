"""Held-out figures about scores, whatever layer or method maps are made by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import Metric
from vcam_training.calibration import Calibration, scores_of
from vcam_training.intervals import auc_metric, mean_metric, share_metric

SCORE_METRICS = (
    "accuracy",
    "sensitivity, at threshold",
    "specificity, at threshold",
    "AUC",
    "expected calibration error",
)
"""Names of the figures of exclusive classes."""


def class_metrics(logits: NDArray, labels: NDArray, calibration: Calibration) -> list[Metric]:
    """Figures of exclusive classes on the test split.

    Of two classes also sensitivity and specificity at the decision threshold, where
    there is one, and the area under the ROC curve; the second class is the positive one.

    Args:
        logits: [n, K]; two for a model with one logit.
        labels: int [n].
        calibration: fitted on validation, checked on these volumes.
    """
    found = [share_metric("accuracy", logits.argmax(axis=1) == labels)]
    positive = labels == 1
    if logits.shape[1] == 2 and positive.any() and not positive.all():
        if calibration.decision_threshold is not None:
            scores = scores_of(logits, calibration.temperature)[:, 1]
            decided = scores >= calibration.decision_threshold
            found += [
                share_metric("sensitivity, at threshold", decided[positive]),
                share_metric("specificity, at threshold", ~decided[~positive]),
            ]
        margin = logits[:, 1] - logits[:, 0]  # ranks as scores do, and never saturates
        found.append(auc_metric("AUC", margin[positive], margin[~positive]))
    return [*found, _error(calibration)]


def finding_metrics(
    logits: NDArray, labels: NDArray[np.bool_], calibration: Calibration, names: Sequence[str]
) -> list[Metric]:
    """Figures of findings of their own on the test split.

    Args:
        logits: [n, K].
        labels: bool [n, K]; a finding that is always or never there has no figure.
        calibration: fitted on validation, checked on these volumes.
        names: of the findings.
    """
    areas = [
        auc_metric(f"AUC, {name}", column[there], column[~there])
        for name, column, there in zip(names, logits.T, labels.T, strict=True)
        if there.any() and not there.all()
    ]
    return [*areas, _error(calibration)]


def regression_metrics(
    values: NDArray, truths: NDArray, training: NDArray, names: Sequence[str]
) -> list[Metric]:
    """Figures of a regression on the test split, for each target.

    Args:
        values, truths: [n, K].
        training: [m, K], whose mean is what a model without any skill would answer.
        names: of the targets.
    """
    found = []
    for at, name in enumerate(names):
        squares = (values[:, at] - truths[:, at]).astype(np.float64) ** 2
        simple = float(((truths[:, at] - training[:, at].mean()) ** 2).mean())
        found.append(mean_metric(f"MSE, {name}", squares, chance=simple))
        errors = np.abs(values[:, at] - truths[:, at])
        found.append(mean_metric(f"mean absolute error, {name}", errors))
    return found


def _error(calibration: Calibration) -> Metric:
    measured = calibration.after
    return Metric(
        name="expected calibration error",
        value=measured.error,
        lower=measured.lower,
        upper=measured.upper,
        count=measured.count,
        split="test",
    )
