"""The CAM methods as their papers write them, in NumPy and float64, channel by channel."""

import numpy as np


def grad_cam(features, gradients, score):
    """Selvaraju et al., equations 1 and 2, without the ReLU."""
    cam = np.zeros(features.shape[:-1])
    for channel in range(features.shape[-1]):
        weight = gradients[..., channel].sum() / gradients[..., channel].size
        cam += weight * features[..., channel]
    return cam


def grad_cam_plus_plus(features, gradients, score):
    """Chattopadhay et al., equations 10 and 19, Y = exp(S); α sums to 1 as in their code."""
    cam = np.zeros(features.shape[:-1])
    for channel in range(features.shape[-1]):
        values, slope = features[..., channel], gradients[..., channel]
        first, second, third = (np.exp(score) * slope**power for power in (1, 2, 3))
        below = 2 * second + third * values.sum()
        alpha = np.divide(second, below, out=np.zeros_like(below), where=below != 0)
        if alpha.sum() != 0:
            alpha = alpha / alpha.sum()
        cam += (alpha * np.maximum(first, 0)).sum() * values
    return cam


def hires_cam(features, gradients, score):
    """Draelos and Carin, equation 5."""
    return sum(features[..., c] * gradients[..., c] for c in range(features.shape[-1]))


def layer_cam(features, gradients, score):
    """Jiang et al., equations 4 to 6, without the ReLU."""
    weights = np.where(gradients > 0, gradients, 0)
    return sum(weights[..., c] * features[..., c] for c in range(features.shape[-1]))


REFERENCES = {
    "gradcam": grad_cam,
    "gradcam_plus_plus": grad_cam_plus_plus,
    "hirescam": hires_cam,
    "layercam": layer_cam,
}
"""By the name of the method: features and gradients float64 [*cells, C], the score."""


def reference_cams(method, features, gradients, scores):
    """float64 [B, *cells] of a batch."""
    samples = zip(features, gradients, scores, strict=True)
    return np.stack(
        [REFERENCES[method](f.astype(np.float64), g.astype(np.float64), s) for f, g, s in samples]
    )
