"""Grad-CAM in TensorFlow, for any number of spatial dimensions, batched.

R. R. Selvaraju et al., Grad-CAM, ICCV 2017. Maps are taken on logits, since a
saturated softmax has no gradient, and keep their sign.

A *training model* maps float32 [B, *grid, 1] to logits [B, K]. A model with one
logit z tells two classes apart: its logits become [−z/2, z/2], whose softmax is
sigmoid(z), and what is differentiated for each class is −z and z.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_training._graph import find_layer

Method = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""(features [B, *cells, C], gradients of the same shape, target [B]) -> cam [B, *cells].

All float32. `target` is the score that was differentiated, a logit.
"""


def grad_cam(features: tf.Tensor, gradients: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Channels weighted by their mean gradient, summed; raw and signed."""
    del target  # other methods need it
    cells = list(range(1, features.shape.rank - 1))
    weights = tf.reduce_mean(gradients, axis=cells, keepdims=True)
    return tf.reduce_sum(weights * features, axis=-1)


METHODS: dict[str, Method] = {"gradcam": grad_cam}
"""CAM methods by the name of their signature."""


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A forward pass that knows how its scores depend on the target layer.

    Attributes:
        logits: float32 [B, K], as exported; two classes for a model with one logit.
        targets: float32 [B, K], what is differentiated for each class.
        features: float32 [B, *cells, C], output of the target layer.
        tape: records from the features to the targets.
    """

    logits: tf.Tensor
    targets: tf.Tensor
    features: tf.Tensor
    tape: tf.GradientTape

    def cam(self, class_index: tf.Tensor, method: Method = grad_cam) -> tf.Tensor:
        """The map of one class per sample.

        Args:
            class_index: int32 [B], each in 0 … K - 1.
            method: one of `METHODS`.

        Returns:
            float32 [B, *cells], raw and signed.
        """
        chosen = tf.one_hot(class_index, self.targets.shape[-1], dtype=self.targets.dtype)
        gradients = self.tape.gradient(
            self.targets,
            self.features,
            output_gradients=chosen,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        target = tf.reduce_sum(self.targets * chosen, axis=-1)
        return method(self.features, gradients, target)

    def all_cams(self, method: Method = grad_cam) -> tf.Tensor:
        """The maps of all classes, float32 [B, K, *cells]."""
        batch = tf.shape(self.targets)[:1]
        classes = range(self.targets.shape[-1])
        return tf.stack([self.cam(tf.fill(batch, k), method) for k in classes], axis=1)


def forward(model: keras.Model, layer: Any, volume: tf.Tensor, *, one_logit: bool) -> Forward:
    """Runs the model in inference mode, recording from the target layer on.

    Args:
        model: a training model.
        layer: the target layer, see `find_layer`; may sit in a nested model.
        volume: float32 [B, *grid, 1], physical values.
        one_logit: whether the model's single logit stands for two classes.

    Raises:
        ConfigError: the layer is not called exactly once.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        with _watched(layer, tape) as captured:
            output = tf.cast(model(tf.convert_to_tensor(volume), training=False), tf.float32)
        if len(captured) != 1:
            raise ConfigError(
                f"Expected the target layer {layer.name!r} to be called once, it was called "
                f"{len(captured)} times. Choose a layer of the model that is called once."
            )
        targets = tf.concat([-output, output], axis=-1) if one_logit else output
    logits = class_logits(output) if one_logit else output
    return Forward(logits=logits, targets=targets, features=captured[0], tape=tape)


def class_logits(logit: tf.Tensor) -> tf.Tensor:
    """[B, 1] single logit z -> [B, 2], the logits [−z/2, z/2] of two classes."""
    return tf.concat([-logit, logit], axis=-1) / 2.0


def explainer(
    model: keras.Model,
    layer_name: str,
    *,
    method: Method = grad_cam,
    one_logit: bool = False,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Maps of a model that is not exported, as for evaluation.

    Returns:
        A tf.function: volume float32 [B, *grid, 1] and class_index int32 [B] ->
        cam float32 [B, *cells]. In a graph, unlike eagerly, TensorFlow skips the
        gradients of kernels, which nobody needs here.
    """
    layer = find_layer(model, layer_name)

    @tf.function(
        input_signature=[
            tf.TensorSpec(model.inputs[0].shape, tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
        autograph=False,
    )
    def explain(volume: tf.Tensor, class_index: tf.Tensor) -> tf.Tensor:
        return forward(model, layer, volume, one_logit=one_logit).cam(class_index, method)

    return explain


def explain(
    model: keras.Model,
    layer_name: str,
    volume: tf.Tensor,
    class_index: tf.Tensor,
    *,
    method: Method = grad_cam,
    one_logit: bool = False,
) -> tf.Tensor:
    """One batch of `explainer`, which pays for tracing the model; keep that for several."""
    function = explainer(model, layer_name, method=method, one_logit=one_logit)
    return function(tf.cast(volume, tf.float32), tf.cast(class_index, tf.int32))


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
