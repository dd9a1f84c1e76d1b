"""What a model is asked: exclusive classes, findings of their own, or values."""

import enum

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import Activation

UNKNOWN = -1.0
"""Target of a finding that is not known; no loss counts it."""


class Task(enum.Enum):
    """How the labels of a data set are to be read, and what the scores of a model are.

    CLASSES: exclusive; labels int32 [n], index into the names.
    FINDINGS: each is there or not; labels bool [n, K].
    REGRESSION: values; labels float32 [n, K].
    """

    CLASSES = "classes"
    FINDINGS = "findings"
    REGRESSION = "regression"

    @property
    def activation(self) -> Activation:
        """Of the served scores."""
        return _ACTIVATIONS[self]

    def targets(
        self, labels: NDArray, outputs: int, known: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """What the logits of a network are compared with, float32 [n, outputs].

        Args:
            labels: as the task has them.
            outputs: logits of the network; 1 for two exclusive classes is the second class.
            known: bool [n, K], which findings are; the others become UNKNOWN. None for all.
        """
        if self is Task.CLASSES:
            if outputs == 1:
                return labels[:, None].astype(np.float32)
            return np.eye(outputs, dtype=np.float32)[labels]
        found = labels.astype(np.float32)
        return found if known is None else np.where(known, found, np.float32(UNKNOWN))


_ACTIVATIONS = {
    Task.CLASSES: Activation.SOFTMAX,
    Task.FINDINGS: Activation.SIGMOID,
    Task.REGRESSION: Activation.IDENTITY,
}
