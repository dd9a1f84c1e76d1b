"""The signatures of a servable, as TensorFlow functions around a training model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from vcam_client.spec import Activation, ExplainDefault, Explanation, ModelSpec
from vcam_serving.verify import all_class_signatures
from vcam_training.cams.grad_cam import Forward, class_logits, forward
from vcam_training.cams.heatmap import heatmap
from vcam_training.cams.target_layer import TargetLayer, method_of, target_layer

SPEC_KEY = b"model_spec"
"""The key that the `spec` signature answers."""

Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A function and what it takes.

    Attributes:
        function: arguments named as the inputs, returns {output name: tensor}.
        inputs: one named tf.TensorSpec for each argument.
        method: CAM method of its maps; None for a signature without maps.
    """

    function: Callable[..., Outputs]
    inputs: Sequence[tf.TensorSpec]
    method: str | None = None


def is_one_logit(model: keras.Model, spec: ModelSpec) -> bool:
    """Whether the model has a single logit that tells two classes apart."""
    return model.outputs[0].shape[-1] == 1 and spec.activation is Activation.SOFTMAX


class ServingModel:
    """A training model with the spec it is exported with.

    Args:
        model: maps float32 [B, *grid, 1] to logits [B, K], or [B, 1].
        spec: its model spec; `serving_default` computes its first explanation.

    Raises:
        ConfigError: there is no such CAM layer in the model, or no such method.
    """

    def __init__(self, model: keras.Model, spec: ModelSpec) -> None:
        self._model = model
        self._spec = spec
        self._explanations = spec.explanations or (spec.default_explanation,)
        for explanation in self._explanations:
            method_of(explanation.method)
        self._targets = {
            name: target_layer(model, name) for name in {e.layer for e in self._explanations}
        }
        self._one_logit = is_one_logit(model, spec)
        shape = (None, *spec.grid.shape, 1)
        self._volume = tf.TensorSpec(shape, spec.intensity.dtype, name="volume")

    def signatures(self) -> dict[str, Signature]:
        """All signatures of the contract by their names."""
        class_index = tf.TensorSpec((None,), tf.int32, name="class_index")
        key = tf.TensorSpec((None,), tf.string, name="key")
        volume = self._volume
        explained = {
            explanation.signature: Signature(
                function=self._explains(explanation),
                inputs=[volume, class_index],
                method=explanation.method,
            )
            for explanation in self._explanations
        }
        every_class = {
            name: Signature(
                function=self._explains_all(explanation),
                inputs=[volume],
                method=explanation.method,
            )
            for name, explanation in all_class_signatures(self._spec).items()
        }
        method = self._spec.default_explanation.method
        return {
            "serving_default": Signature(
                function=self.serving_default, inputs=[volume], method=method
            ),
            **explained,
            **every_class,
            "scores": Signature(function=self.scores, inputs=[volume]),
            "spec": Signature(function=self.spec, inputs=[key]),
        }

    def logits_of(self, output: tf.Tensor) -> tf.Tensor:
        """float32 [B, K] from the model's output, [B, K] or a single logit [B, 1]."""
        return class_logits(output) if self._one_logit else output

    def scores_of(self, logits: tf.Tensor) -> tf.Tensor:
        """float32 [B, K] logits -> scores, after the calibration temperature."""
        if self._spec.calibration_temperature is not None:
            logits = logits / self._spec.calibration_temperature
        if self._spec.activation is Activation.SOFTMAX:
            return tf.nn.softmax(logits)
        return tf.nn.sigmoid(logits) if self._spec.activation is Activation.SIGMOID else logits

    def serving_default(self, volume: tf.Tensor) -> Outputs:
        """Scores and the map of the default class."""
        explanation = self._spec.default_explanation
        passed = self._forward(self._checked(volume), self._targets[explanation.layer])
        return self._explained(passed, self._default_class(passed.logits), explanation)

    def scores(self, volume: tf.Tensor) -> Outputs:
        """Scores and logits, without a map."""
        output = self._model(tf.cast(self._checked(volume), tf.float32), training=False)
        logits = self.logits_of(tf.cast(output, tf.float32))
        return {"scores": self.scores_of(logits), "logits": logits}

    def spec(self, key: tf.Tensor) -> Outputs:
        """The model spec as JSON for the key "model_spec", "" for any other."""
        key = tf.ensure_shape(key, (None,))
        text = tf.constant(self._spec.to_json())
        return {"model_spec": tf.where(key == SPEC_KEY, text, tf.constant(""))}

    def _checked(self, volume: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(volume, self._volume.shape)

    def _explains(self, explanation: Explanation) -> Callable[..., Outputs]:
        """Scores and the map of a chosen class; −1 is the default class."""
        target = self._targets[explanation.layer]

        def explain(volume: tf.Tensor, class_index: tf.Tensor) -> Outputs:
            volume = self._checked(volume)
            class_index = tf.ensure_shape(class_index, (None,))
            # Both values pass the assertions, so whatever is fetched depends on them.
            with tf.control_dependencies(self._assertions(volume, class_index)):
                volume, class_index = tf.identity(volume), tf.identity(class_index)
            passed = self._forward(volume, target)
            default = self._default_class(passed.logits)
            chosen = tf.where(class_index < 0, default, class_index)
            return self._explained(passed, chosen, explanation)

        return explain

    def _explains_all(self, explanation: Explanation) -> Callable[..., Outputs]:
        """Scores and the raw maps of all classes, in one forward pass."""
        target, method = self._targets[explanation.layer], method_of(explanation.method)

        def explain_all(volume: tf.Tensor) -> Outputs:
            passed = self._forward(self._checked(volume), target)
            cams = passed.each_class(lambda index: target.cam(passed, index, method))
            return {"scores": self.scores_of(passed.logits), "cam": cams}

        return explain_all

    def _forward(self, volume: tf.Tensor, target: TargetLayer) -> Forward:
        physical = tf.cast(volume, tf.float32)
        return forward(self._model, target.layers, physical, one_logit=self._one_logit)

    def _default_class(self, logits: tf.Tensor) -> tf.Tensor:
        rule = self._spec.explain_default
        if rule in (ExplainDefault.TOP_CLASS, ExplainDefault.HIGHEST_FINDING):
            return tf.argmax(logits, axis=-1, output_type=tf.int32)
        constant = 1 if rule is ExplainDefault.POSITIVE_CLASS else 0
        return tf.fill(tf.shape(logits)[:1], constant)

    def _explained(
        self, passed: Forward, class_index: tf.Tensor, explanation: Explanation
    ) -> Outputs:
        target = self._targets[explanation.layer]
        cam = target.cam(passed, class_index, method_of(explanation.method))
        return {
            "scores": self.scores_of(passed.logits),
            "heatmap": heatmap(cam, self._spec.grid.shape, self._spec.layer(explanation.layer)),
            "cam": cam,
            "class_index": class_index,
        }

    def _assertions(self, volume: tf.Tensor, class_index: tf.Tensor) -> list[tf.Operation]:
        classes = len(self._spec.labels)
        bad = (class_index < -1) | (class_index >= classes)
        first = tf.strings.reduce_join(tf.strings.as_string(tf.boolean_mask(class_index, bad)[:1]))
        message = tf.strings.join(["indices = ", first, f" is not in [0, {classes})"])
        given, wanted = tf.shape(class_index)[0], tf.shape(volume)[0]
        counts = tf.strings.join(
            [
                "Expected one class_index for each volume, received ",
                tf.strings.as_string(given),
                " for ",
                tf.strings.as_string(wanted),
                " volumes",
            ]
        )
        return [
            tf.debugging.Assert(~tf.reduce_any(bad), [message]),
            tf.debugging.Assert(given == wanted, [counts]),
        ]
