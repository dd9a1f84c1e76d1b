"""Class activation maps in TensorFlow, for any number of spatial dimensions, batched.

Maps are taken on logits, since a saturated softmax has no gradient, and keep their sign.
What is made of features and gradients is in `cam_methods`.

A *training model* maps float32 [B, *grid, 1] to logits [B, K]. A model with one
logit z tells two classes apart: its logits become [−z/2, z/2], whose softmax is
sigmoid(z), and what is differentiated for each class is −z and z.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_training.cams.cam_methods import Method, grad_cam


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A forward pass that knows how its scores depend on the target layers.

    Attributes:
        logits: float32 [B, K], as exported; two classes for a model with one logit.
        targets: float32 [B, K], what is differentiated for each class.
        features: float32 [B, *cells, C] each, outputs of the target layers.
        tape: records from the features to the targets.
    """

    logits: tf.Tensor
    targets: tf.Tensor
    features: Sequence[tf.Tensor]
    tape: tf.GradientTape

    def cams(self, class_index: tf.Tensor, method: Method = grad_cam) -> list[tf.Tensor]:
        """The maps of one class per sample, on each target layer.

        Args:
            class_index: int32 [B], each in 0 … K - 1.
            method: one of `METHODS`.

        Returns:
            float32 [B, *cells] for each layer, raw and signed.
        """
        chosen = tf.one_hot(class_index, self.targets.shape[-1], dtype=self.targets.dtype)
        gradients = self.tape.gradient(
            self.targets,
            list(self.features),
            output_gradients=chosen,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        target = tf.reduce_sum(self.targets * chosen, axis=-1)
        return [method(*pair, target) for pair in zip(self.features, gradients, strict=True)]

    def each_class(self, explain: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """float32 [B, K, *cells] from a function of class_index [B] to maps [B, *cells]."""
        batch = tf.shape(self.targets)[:1]
        classes = range(self.targets.shape[-1])
        return tf.stack([explain(tf.fill(batch, k)) for k in classes], axis=1)


def forward(
    model: keras.Model, layers: Sequence[Any], volume: tf.Tensor, *, one_logit: bool
) -> Forward:
    """Runs the model in inference mode, recording from the target layers on.

    Args:
        model: a training model.
        layers: the target layers, see `find_layer`; may sit in nested models.
        volume: float32 [B, *grid, 1], physical values.
        one_logit: whether the model's single logit stands for two classes.

    Raises:
        ConfigError: a layer is not called exactly once.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        with contextlib.ExitStack() as stack:
            captured = [stack.enter_context(_watched(layer, tape)) for layer in layers]
            output = tf.cast(model(tf.convert_to_tensor(volume), training=False), tf.float32)
        for layer, calls in zip(layers, captured, strict=True):
            if len(calls) != 1:
                raise ConfigError(
                    f"Expected the target layer {layer.name!r} to be called once, it was called "
                    f"{len(calls)} times. Choose a layer of the model that is called once."
                )
        targets = tf.concat([-output, output], axis=-1) if one_logit else output
    logits = class_logits(output) if one_logit else output
    return Forward(
        logits=logits, targets=targets, features=[calls[0] for calls in captured], tape=tape
    )


def class_logits(logit: tf.Tensor) -> tf.Tensor:
    """[B, 1] single logit z -> [B, 2], the logits [−z/2, z/2] of two classes."""
    return tf.concat([-logit, logit], axis=-1) / 2.0


@contextlib.contextmanager
def _watched(layer: Any, tape: tf.GradientTape) -> Iterator[list[tf.Tensor]]:
    """Collects the layer's outputs as float32 and watches them.

    Layers inside nested models can't be reached as symbolic outputs on Keras 3, so
    the layer's `call` is wrapped while the model runs.
    """
    captured: list[tf.Tensor] = []
    call = layer.call

    def wrapped(*args: Any, **kwargs: Any) -> tf.Tensor:
        output = call(*args, **kwargs)
        features = tf.cast(output, tf.float32)
        tape.watch(features)
        captured.append(features)
        return tf.cast(features, output.dtype)

    own = vars(layer).get("call")
    object.__setattr__(layer, "call", wrapped)
    try:
        yield captured
    finally:
        object.__delattr__(layer, "call")
        if own is not None:
            object.__setattr__(layer, "call", own)
