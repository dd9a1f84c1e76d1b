"""How sure a model is of single scans, in words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.dataset import DataSet
from vcam_training.evaluation.calibration import scores_of
from vcam_training.evaluation.evaluate import Evaluated
from vcam_training.task import Task


def first_confidences(data: DataSet, evaluated: Evaluated) -> list[str]:
    """A line for the first held-out scan of each exclusive class; none for other tasks.

    Args:
        data: the data set.
        evaluated: its network.
    """
    calibration = evaluated.evaluation.calibration
    if data.contract.task is not Task.CLASSES or calibration is None:
        return []
    logits, lines = evaluated.logits["test"], []
    for label, name in enumerate(data.labels):
        at = int(np.argmax(data.test.labels == label))
        words = confidence_text(logits[at], calibration.temperature, data.labels)
        lines.append(f"{data.test.name(at)}, which is {name}: {words}")
    return lines


def confidence_text(logits: NDArray[np.float32], temperature: float, labels: Sequence[str]) -> str:
    """Each exclusive class with its percentage, the most likely one first.

    They are the percentages that `vcam-client predict` prints of the served model.

    Args:
        logits: [K], two for a model with one logit.
        temperature: of the calibration.
        labels: names of the classes.
    """
    scores = scores_of(logits[None], temperature)[0]
    order = np.argsort(-scores, kind="stable")
    return ", ".join(f"{scores[at] * 100:.2f} percent confident of {labels[at]}" for at in order)
