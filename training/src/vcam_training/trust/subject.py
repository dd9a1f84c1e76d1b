"""A training model and the explanation of it that is tested."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.spec import CamLayer, Explanation, ModelSpec
from vcam_training.cams.target_layer import explainer
from vcam_training.evaluation.calibration import Fitted, is_found
from vcam_training.exporting.signatures import ServingModel, is_one_logit

_BATCH_VOXELS = 2_000_000
"""Voxels of a batch: what stays quick on two cores and small beside the data set."""


class Subject:
    """Maps and scores of a model that is not served, as its export computes them.

    Args:
        model: a training model, float32 [B, *grid, 1] in physical values to logits.
        spec: its model spec.
        explanation: out of the spec's; its default where None.
        fitted: where each finding is decided; None of exclusive classes.

    Raises:
        ConfigError: the model lacks the explanation's layer, or there is no such method.
    """

    def __init__(
        self,
        model: keras.Model,
        spec: ModelSpec,
        explanation: Explanation | None = None,
        *,
        fitted: Fitted | None = None,
    ) -> None:
        self.model = model
        self.spec = spec
        self.explanation = explanation or spec.default_explanation
        self.fitted = fitted
        self.one_logit = is_one_logit(model, spec)
        self._explain = explainer(
            model,
            self.explanation.layer,
            method=self.explanation.method,
            one_logit=self.one_logit,
        )
        serving = ServingModel(model, spec)

        @tf.function(
            input_signature=[tf.TensorSpec(model.inputs[0].shape, tf.float32)], autograph=False
        )
        def logits(volume: tf.Tensor) -> tf.Tensor:
            return serving.logits_of(tf.cast(model(volume, training=False), tf.float32))

        self._logits = logits
        self._scores_of = serving.scores_of

    @property
    def layer(self) -> CamLayer:
        """Where the cells of the maps lie."""
        return self.spec.layer(self.explanation.layer)

    def maps(self, volumes: NDArray, classes: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 [n, *cells]: the map of one class for each volume, raw and signed.

        Args:
            volumes: [n, *grid], physical values.
            classes: int32 [n], the class explained of each.
        """
        classes = classes.astype(np.int32)
        parts = [self._explain(part, classes[at]).numpy() for at, part in _batches(volumes)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.layer.cells), np.float32)

    def logits(self, volumes: NDArray) -> NDArray[np.float32]:
        """float32 [n, K], before the calibration temperature."""
        parts = [self._logits(part).numpy() for _, part in _batches(volumes)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.spec.labels)), np.float32)

    def answers(
        self, logits: NDArray[np.float32], classes: NDArray[np.int32]
    ) -> NDArray[np.integer]:
        """int [n], what the model says of each volume.

        Of exclusive classes the one with the highest score; of a finding itself where its
        score reaches its threshold, else −1.

        Args:
            logits: float32 [n, K].
            classes: int32 [n], the class or finding that each volume is asked for.
        """
        if self.fitted is None:
            return logits.argmax(axis=1)
        found = is_found(logits, classes, self.fitted, exclusive=False)
        return np.where(found, classes, -1)

    def scores_of(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n, K]: calibrated scores, as served, of logits [n, K]."""
        return self._scores_of(tf.constant(logits)).numpy()

    def scores(self, volumes: NDArray) -> NDArray[np.float32]:
        """float32 [n, K], calibrated, as served."""
        return self.scores_of(self.logits(volumes))


def _batches(volumes: NDArray) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """float32 [B, *grid, 1] of some volumes at a time, and which they are."""
    size = max(1, _BATCH_VOXELS // max(1, int(np.prod(volumes.shape[1:]))))
    for start in range(0, len(volumes), size):
        at = slice(start, start + size)
        yield at, volumes[at, ..., None].astype(np.float32)
