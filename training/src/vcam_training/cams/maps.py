"""Logits and maps of a split, volume by volume, every method in one forward pass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.fusion import fuse
from vcam_training.cams.grad_cam import Forward, forward
from vcam_training.cams.target_layer import TargetLayer, method_of, target_layer

_LARGEST_BATCH = 16
_VOXELS_AT_ONCE = 2**22
"""Voxels of a batch; a single larger volume is a batch."""

Explain = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What a model makes of one volume.

    Attributes:
        index: of the volume in its split.
        logits: float32 [K], as exported; two for one logit of exclusive classes.
        cams: by method, float32 [E, *cells], raw and signed: one map for each class
            that was asked for.
    """

    index: int
    logits: NDArray[np.float32]
    cams: dict[str, NDArray[np.float32]]


def explained(
    model: keras.Model,
    layer: str,
    volumes: NDArray,
    class_index: NDArray[np.int32],
    *,
    methods: Sequence[str] = tuple(METHODS),
    exclusive: bool = True,
) -> Iterator[Explained]:
    """Explains volumes in order, a batch in memory at a time.

    Args:
        model: a training model.
        layer: name of a target layer, "A+B" for a fused map.
        volumes: [n, *grid], physical values.
        class_index: int32 [n, E], the classes that each volume is explained for; −1
            counts as 0, for maps that nobody looks at.
        methods: names of CAM methods.
        exclusive: whether classes are: a single logit then stands for two.

    Raises:
        ConfigError: no such layer or method.
    """
    function = explainer_of_methods(
        model, layer, methods, class_index.shape[1], exclusive=exclusive
    )
    voxels = max(1, int(np.prod(volumes.shape[1:])))
    size = max(1, min(_LARGEST_BATCH, _VOXELS_AT_ONCE // voxels))
    for at in range(0, len(volumes), size):
        batch = tf.constant(volumes[at : at + size, ..., None].astype(np.float32))
        asked = tf.constant(np.maximum(class_index[at : at + size], 0), tf.int32)
        logits, cams = function(batch, asked)
        for number, (row, maps) in enumerate(zip(logits.numpy(), cams.numpy(), strict=True)):
            yield Explained(
                index=at + number, logits=row, cams=dict(zip(methods, maps, strict=True))
            )


def explainer_of_methods(
    model: keras.Model,
    layer: str,
    methods: Sequence[str],
    maps_each: int,
    *,
    exclusive: bool = True,
) -> Explain:
    """Maps of several methods from one forward pass and one gradient for each map.

    Args:
        model, layer, methods, exclusive: as for `explained`.
        maps_each: E, how many classes each volume is explained for.

    Returns:
        A traced function: volume float32 [B, *grid, 1] and class_index int32 [B, E] ->
        logits float32 [B, K], cams float32 [B, M, E, *cells].

    Raises:
        ConfigError: no such layer or method.
    """
    target = target_layer(model, layer)
    formulas = [method_of(name) for name in methods]
    one_logit = exclusive and model.output_shape[-1] == 1

    def every_method(features: tf.Tensor, gradients: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
        return tf.stack([formula(features, gradients, score) for formula in formulas])

    @tf.function(
        input_signature=[
            tf.TensorSpec(model.inputs[0].shape, tf.float32),
            tf.TensorSpec((None, maps_each), tf.int32),
        ],
        autograph=False,
    )
    def explain(volume: tf.Tensor, class_index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        passed = forward(model, target.layers, volume, one_logit=one_logit)
        maps = [
            _fused(passed, one, target, every_method)
            for one in tf.unstack(class_index, num=maps_each, axis=1)
        ]
        return passed.logits, tf.stack(maps, axis=2)

    # called as it is: TensorFlow warns of one retracing where several models are explained
    return explain.get_concrete_function()


def _fused(
    passed: Forward, class_index: tf.Tensor, target: TargetLayer, every_method: Callable
) -> tf.Tensor:
    """float32 [B, M, *cells]: the maps of all methods, each fused of all layers."""
    by_layer = [tf.unstack(cams) for cams in passed.cams(class_index, every_method)]
    return tf.stack([fuse(cams, target.places) for cams in zip(*by_layer, strict=True)], axis=1)
