"""Losses on logits, and the weights of classes in them."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.task import Task

KINDS = ("", "cross_entropy", "focal", "squared")
WEIGHTS = ("none", "balanced", "batch_ratio", "batch_both")
_LEAST_MISSED = 1e-7
"""Of a score, in the focal loss; what is nearer to the truth counts as that near."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What training makes small.

    Attributes:
        kind: "cross_entropy", "focal" (T.-Y. Lin et al., Focal loss for dense object
            detection, ICCV 2017), "squared" for regressions; "" for the task's own.
        weights: "none"; "balanced": each exclusive class counts as much as any other
            in the training split; for findings, "batch_ratio": what is there counts N / P
            times, and "batch_both": (P + N) / P and what is not there (P + N) / N
            times (X. Wang et al., ChestX-ray8, CVPR 2017), of P labels in the batch that are
            true and N that are not.
        focusing: gamma of the focal loss.
        label_smoothing: share of a label that goes to the other classes.
    """

    kind: str = ""
    weights: str = "none"
    focusing: float = 2.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (("kind", self.kind, KINDS), ("weights", self.weights, WEIGHTS)):
            if value not in known:
                raise ConfigError(
                    f"Expected loss.{name} out of {known}, received {value!r}. Set loss.{name}."
                )
        if not (0 <= self.label_smoothing < 1 and self.focusing >= 0):
            raise ConfigError(
                "Expected 0 ≤ label_smoothing < 1 and focusing ≥ 0, received "
                f"{self.label_smoothing:g} and {self.focusing:g}. Set loss.NAME."
            )

    def check(self, task: Task) -> None:
        """Whether it is a loss for that task.

        Raises:
            ConfigError: says which setting is not.
        """
        regression = task is Task.REGRESSION
        if (self.kind == "squared") != regression and self.kind:
            raise ConfigError(
                f"Expected a loss for {task.value}, received loss.kind={self.kind}. "
                f"Set loss.kind={'squared' if regression else 'cross_entropy'}."
            )
        fits = {
            "none": True,
            "balanced": task is Task.CLASSES,
            "batch_ratio": task is Task.FINDINGS,
            "batch_both": task is Task.FINDINGS,
        }
        if not fits[self.weights]:
            raise ConfigError(
                f"Expected weights that {task.value} have, received loss.weights={self.weights}. "
                f"Set loss.weights to one of {[name for name in fits if fits[name]]}."
            )

    def build(self, task: Task, outputs: int, *, all_known: bool = True) -> keras.losses.Loss:
        """The Keras loss of logits [B, outputs] and `Task.targets`.

        Args:
            task: of the targets.
            outputs: logits of the network.
            all_known: whether no target of a finding is UNKNOWN.
        """
        self.check(task)
        if task is Task.REGRESSION:
            return keras.losses.MeanSquaredError()
        smoothing = {"from_logits": True, "label_smoothing": self.label_smoothing}
        weighted = self.weights.startswith("batch")
        if weighted or (task is Task.FINDINGS and not all_known):
            return BatchWeighted(
                weighted=weighted,
                both=self.weights == "batch_both",
                focusing=self.focusing if self.kind == "focal" else 0.0,
                label_smoothing=self.label_smoothing,
            )
        exclusive = task is Task.CLASSES and outputs > 1
        if self.kind == "focal":
            if exclusive:
                return keras.losses.CategoricalFocalCrossentropy(
                    alpha=1.0, gamma=self.focusing, **smoothing
                )
            return keras.losses.BinaryFocalCrossentropy(gamma=self.focusing, **smoothing)
        if exclusive:
            return keras.losses.CategoricalCrossentropy(**smoothing)
        return keras.losses.BinaryCrossentropy(**smoothing)

    def sample_weights(self, labels: NDArray, classes: int) -> NDArray[np.float32] | None:
        """float32 [n] of a training split's labels, 1 on average; None where all are alike.

        Args:
            labels: int32 [n], exclusive classes.
            classes: how many there are.
        """
        if self.weights != "balanced":
            return None
        counts = np.bincount(labels, minlength=classes)
        return (len(labels) / (classes * counts))[labels].astype(np.float32)


@keras.saving.register_keras_serializable(package="vcam")
class BatchWeighted(keras.losses.Loss):
    """Binary cross-entropy on logits, weighted by how many labels of the batch are true.

    Targets that are UNKNOWN count nowhere: the loss is the mean over the known ones of the batch.

    Args:
        weighted: whether there are weights at all.
        both: whether false labels are weighted as well, see `Loss.weights`.
        focusing: gamma of the focal loss; 0 for plain cross-entropy.
        label_smoothing: share of a label that goes to its opposite. Weights follow from
            the labels as they were.
    """

    def __init__(
        self,
        *,
        weighted: bool = True,
        both: bool = False,
        focusing: float = 0.0,
        label_smoothing: float = 0.0,
        name: str = "batch_weighted",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.weighted = weighted
        self.both, self.focusing, self.label_smoothing = both, focusing, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """float32 [B, K] of 0, 1 and UNKNOWN, logits [B, K] -> [B], whose mean is the loss."""
        # Counts of a whole split are beyond float16.
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        known = ops.cast(y_true >= 0, "float32")
        y_true = y_true * known
        there, absent = ops.sum(y_true), ops.sum(known - y_true)
        # A batch with labels of one kind alone has nothing to balance: all count once.
        divide = ops.where((there > 0) & (absent > 0), 1.0, 0.0) if self.weighted else 0.0
        for_true = divide * absent / ops.maximum(there, 1.0) + (1.0 - divide)
        for_false = 1.0
        if self.both:
            for_false = divide * (there + absent) / ops.maximum(absent, 1.0) + (1.0 - divide)
            for_true += divide
        weight = y_true * for_true + (1.0 - y_true) * for_false
        target = y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        entropy = ops.binary_crossentropy(target, y_pred, from_logits=True)
        if self.focusing:
            missed = target * ops.sigmoid(-y_pred) + (1.0 - target) * ops.sigmoid(y_pred)
            # A power below 1 has no gradient at 0.
            entropy = ops.power(ops.maximum(missed, _LEAST_MISSED), self.focusing) * entropy
        # So that the mean over the batch is that over the known labels of all rows.
        rows = ops.cast(ops.shape(y_true)[0], "float32")
        share = rows / ops.maximum(ops.sum(known), 1.0)
        return ops.sum(known * weight * entropy, axis=-1) * share

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        own = {"weighted": self.weighted, "both": self.both, "focusing": self.focusing}
        return {**super().get_config(), **own, "label_smoothing": self.label_smoothing}
