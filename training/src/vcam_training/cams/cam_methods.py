"""CAM methods: what is made of a layer's features and the gradients of a score.

Each takes float32 features A [B, *cells, C], gradients ∂S/∂A of the same shape and the
logit S [B], and returns a raw map float32 [B, *cells] whose positive part speaks for the
class. They work for any number of spatial dimensions. None divides by zero: where a
formula has no value, the term counts as 0.
"""

from collections.abc import Callable

import tensorflow as tf

Method = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

LARGEST_EXPONENT = 40.0
"""Logits beyond ±40 count as ±40 in exp(S) of Grad-CAM++, so that float32 never overflows."""


def grad_cam(features: tf.Tensor, gradients: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Channels weighted by their mean gradient, summed; raw and signed.

    Σ_k mean(∂S/∂A_k) A_k. Source: R. R. Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    del target
    weights = tf.reduce_mean(gradients, axis=_cells(features), keepdims=True)
    return tf.reduce_sum(weights * features, axis=-1)


def grad_cam_plus_plus(features: tf.Tensor, gradients: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Channels weighted by their positive gradients, those of small regions more.

    Σ_k A_k Σ_cells α_k relu(∂Y/∂A_k) with Y = exp(S) and, since the derivatives of Y are
    powers of ∂S/∂A, α = g² / (2 g² + g³ ΣA), divided by its sum over the cells as in
    the authors' code. Source: A. Chattopadhay et al., Grad-CAM++, WACV 2018. The factor
    exp(S) belongs to it: maps of different scans can't be compared by their maximum
    without their scores.
    """
    cells = _cells(features)
    total = tf.reduce_sum(features, axis=cells, keepdims=True)
    has_gradient = tf.cast(gradients != 0.0, features.dtype)
    alpha = tf.math.divide_no_nan(has_gradient, 2.0 + gradients * total)
    alpha = tf.math.divide_no_nan(alpha, tf.reduce_sum(alpha, axis=cells, keepdims=True))
    exponent = tf.clip_by_value(target, -LARGEST_EXPONENT, LARGEST_EXPONENT)
    factor = tf.reshape(tf.exp(exponent), [-1, *[1] * (features.shape.rank - 1)])
    weights = tf.reduce_sum(alpha * tf.nn.relu(factor * gradients), axis=cells, keepdims=True)
    return tf.reduce_sum(weights * features, axis=-1)


def hires_cam(features: tf.Tensor, gradients: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Each feature weighted by its own gradient, summed over channels; raw and signed.

    Σ_k ∂S/∂A_k ⊙ A_k: the share of each cell in the score where the layers behind are
    linear. Source: R. L. Draelos, L. Carin, Use HiResCAM instead of Grad-CAM,
    arXiv 2011.08891.
    """
    del target
    return tf.reduce_sum(gradients * features, axis=-1)


def layer_cam(features: tf.Tensor, gradients: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Each feature weighted by its own positive gradient, summed over channels.

    Σ_k relu(∂S/∂A_k) ⊙ A_k: fine also on shallow layers, never negative where features
    are not. Source: P.-T. Jiang et al., LayerCAM, IEEE TIP 2021.
    """
    del target
    return tf.reduce_sum(tf.nn.relu(gradients) * features, axis=-1)


METHODS: dict[str, Method] = {
    "gradcam": grad_cam,
    "gradcam_plus_plus": grad_cam_plus_plus,
    "hirescam": hires_cam,
    "layercam": layer_cam,
}
"""CAM methods by the name of their signature."""

DEFAULT_METHOD = "gradcam"


def _cells(features: tf.Tensor) -> list[int]:
    return list(range(1, features.shape.rank - 1))
