"""What a run measures after each epoch: exact figures of all scores of a split."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.evaluation.intervals import auc
from vcam_training.learning.history import LAST
from vcam_training.task import Task

NAMES = {
    Task.CLASSES: ("loss", "accuracy", "auc"),
    Task.FINDINGS: ("loss", "auc"),
    Task.REGRESSION: ("loss", "mae", "r2"),
}
"""What is known of each epoch's validation."""


def check_monitor(task: Task, monitor: str) -> None:
    """Whether epochs of that task can be compared by that figure.

    Raises:
        ConfigError: they have no such figure.
    """
    known = (*NAMES[task], LAST)
    if monitor not in known:
        raise ConfigError(
            f"Expected monitor to be one of {', '.join(known)}, received {monitor!r}. Set monitor."
        )


def epoch_figures(
    task: Task, logits: NDArray, labels: NDArray, known: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Figures by name.

    Classes: accuracy and auc, of several classes the mean of each against the others.
    Findings: auc, the mean of those that are there in some and not in others; half where
    none is. Regressions: mae and r2, means over the targets.

    Args:
        task: of the labels.
        logits: [n, K], two for a model with one logit.
        labels: as the task has them.
        known: bool [n, K], which findings are; None for all.
    """
    if task is Task.REGRESSION:
        error = logits - labels
        spread = ((labels - labels.mean(axis=0)) ** 2).mean(axis=0)
        explained = 1 - (error**2).mean(axis=0) / np.where(spread > 0, spread, 1.0)
        return {"mae": float(np.abs(error).mean()), "r2": float(explained.mean())}
    if task is Task.FINDINGS:
        return {"auc": mean_auc(logits, labels, known)}
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    if logits.shape[1] == 2:
        # The difference ranks as scores do.
        area = mean_auc((logits[:, 1] - logits[:, 0])[:, None], (labels == 1)[:, None])
    else:
        area = mean_auc(against_others(logits), np.eye(logits.shape[1], dtype=bool)[labels])
    return {"accuracy": accuracy, "auc": area}


def mean_auc(
    scores: NDArray, labels: NDArray[np.bool_], known: NDArray[np.bool_] | None = None
) -> float:
    """Mean area under the ROC curve over columns with both kinds; half where none has.

    Args:
        scores: [n, K].
        labels: bool [n, K].
        known: bool [n, K], which labels are; None for all.
    """
    columns = [
        (column, there) if known is None else (column[known[:, k]], there[known[:, k]])
        for k, (column, there) in enumerate(zip(scores.T, labels.T, strict=True))
    ]
    areas = [
        auc(column[there], column[~there])
        for column, there in columns
        if there.any() and not there.all()
    ]
    return float(np.mean(areas)) if areas else 0.5


def against_others(logits: NDArray) -> NDArray[np.float64]:
    """float64 [n, K]: log odds of each class against the others together.

    They rank as softmax scores do, and never saturate.
    """
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    others = powers.sum(axis=1, keepdims=True) - powers
    return shifted - np.log(np.maximum(others, np.finfo(np.float64).tiny))
