"""Where a map is read: one layer of a model, or several whose maps are fused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams._graph import find_layer
from vcam_training.cams.cam_methods import METHODS, Method
from vcam_training.cams.fusion import SEPARATOR, fuse, fused_layer
from vcam_training.cams.grad_cam import Forward, forward
from vcam_training.cams.receptive_field import LAST, cam_layer


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetLayer:
    """Where maps of a model are read.

    Attributes:
        name: of the layer, or of several joined by "+".
        layers: the Keras layers.
        places: where the cells of each lie.
        place: where the cells of the map lie.
    """

    name: str
    layers: Sequence[Any]
    places: Sequence[CamLayer]
    place: CamLayer

    def cam(self, passed: Forward, class_index: tf.Tensor, method: Method) -> tf.Tensor:
        """float32 [B, *cells]: one class per sample, [B] int32, of a pass over `layers`."""
        return fuse(passed.cams(class_index, method), self.places)


def target_layer(model: keras.Model, name: str = LAST) -> TargetLayer:
    """The target layer of that name.

    Args:
        model: see `cam_layer`.
        name: what `cam_layer` takes, or several of these joined by "+" for a fused map.

    Raises:
        ConfigError: no such layer, or one whose cells can't be placed.
    """
    try:
        places = [cam_layer(model, name)]
    except ConfigError:
        if SEPARATOR not in name:
            raise
        places = [cam_layer(model, part.strip()) for part in name.split(SEPARATOR)]
    place = fused_layer(places)
    layers = [find_layer(model, one.name) for one in places]
    return TargetLayer(name=place.name, layers=layers, places=places, place=place)


def explainer(
    model: keras.Model, layer: str, *, method: str = "gradcam", one_logit: bool = False
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Maps of a model that is not exported, as for evaluation.

    Args:
        model: a training model.
        layer: as for `target_layer`.
        method: name of a CAM method.
        one_logit: whether the model's single logit stands for two classes.

    Returns:
        A tf.function: volume float32 [B, *grid, 1] and class_index int32 [B] ->
        cam float32 [B, *cells]. In a graph, unlike eagerly, TensorFlow skips the
        gradients of kernels, which nobody needs here.

    Raises:
        ConfigError: no such layer or method.
    """
    read_at, formula = target_layer(model, layer), method_of(method)

    @tf.function(
        input_signature=[
            tf.TensorSpec(model.inputs[0].shape, tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
        autograph=False,
    )
    def explain(volume: tf.Tensor, class_index: tf.Tensor) -> tf.Tensor:
        passed = forward(model, read_at.layers, volume, one_logit=one_logit)
        return read_at.cam(passed, class_index, formula)

    return explain


def explain(
    model: keras.Model,
    layer: str,
    volume: tf.Tensor,
    class_index: tf.Tensor,
    *,
    method: str = "gradcam",
    one_logit: bool = False,
) -> tf.Tensor:
    """One batch of `explainer`, which pays for tracing the model; keep that for several."""
    function = explainer(model, layer, method=method, one_logit=one_logit)
    return function(tf.cast(volume, tf.float32), tf.cast(class_index, tf.int32))


def method_of(name: str) -> Method:
    """The CAM method of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"Expected a CAM method out of {', '.join(METHODS)}, received {name!r}.")
    return METHODS[name]
