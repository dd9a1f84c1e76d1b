"""What the weights of a layer are held to, so that maps mean what they seem to."""

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="vcam")
class Mirrored(keras.constraints.Constraint):
    """Kernels that are the same when mirrored along each spatial axis.

    A free kernel can answer to an object some way beside it; layer after layer, evidence
    drifts off what it was found in. A mirrored kernel has no side to drift to.

    Call:
        kernel: [*width, C_in, C_out].

    Returns:
        The mean of the kernel and all its mirror images.
    """

    def __call__(self, w: Any) -> Any:
        """The nearest mirrored kernel."""
        for axis in range(len(w.shape) - 2):
            w = (w + keras.ops.flip(w, axis)) / 2
        return w


@keras.saving.register_keras_serializable(package="vcam")
class MirroredHeNormal(keras.initializers.Initializer):
    """He's normal initialisation, mirrored and as strong as before.

    K. He et al., Delving deep into rectifiers, ICCV 2015.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """A kernel [*width, C_in, C_out]."""
        kernel = Mirrored()(keras.initializers.HeNormal(seed=self.seed)(shape, dtype))
        width = shape[:-2]
        # averaging mirror images leaves one value in ceil(w / 2) of w along each axis
        lost = math.prod(width) / math.prod(math.ceil(w / 2) for w in width)
        return kernel * math.sqrt(lost)

    def get_config(self) -> dict[str, Any]:
        """For saving."""
        return {"seed": self.seed}


@keras.saving.register_keras_serializable(package="vcam")
class Centred(keras.constraints.Constraint):
    """A dense kernel whose weights from each input sum to 0 over the outputs.

    A softmax doesn't notice what all logits have in common, so training leaves it as it
    was drawn, and a map of one logit shows it. Without it, evidence for one class is
    evidence against the others.

    Call:
        kernel: [inputs, outputs].
    """

    def __call__(self, w: Any) -> Any:
        """The nearest centred kernel."""
        return w - keras.ops.mean(w, axis=-1, keepdims=True)
