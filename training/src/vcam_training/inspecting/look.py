"""What a network makes of one volume at one layer: features, gradients and the map of a class."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.grad_cam import forward
from vcam_training.cams.target_layer import method_of, target_layer
from vcam_training.inspecting.subject import Subject

PERCENTILES = (0, 25, 50, 75, 100)
"""Of a filter's activation over the cells."""
STRONG = 75
"""Percentile above which cells are shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One volume, one layer, one class, one filter.

    Attributes:
        scores: float32 [K], as served.
        class_index: of the class, finding or target that is explained.
        method: CAM method of the map.
        place: of the layer's cells.
        cam: float32 [*cells], the map, raw and signed, as served.
        activation: float32 [*cells, C], what the layer answers.
        gradient: float32 [*cells, C], of the explained logit with respect to that.
        filter_index: the channel looked at.
        is_strongest: whether it is the channel that adds most to the map.
    """

    scores: NDArray[np.float32]
    class_index: int
    method: str
    place: CamLayer
    cam: NDArray[np.float32]
    activation: NDArray[np.float32]
    gradient: NDArray[np.float32]
    filter_index: int
    is_strongest: bool

    @property
    def filtered(self) -> NDArray[np.float32]:
        """float32 [*cells]: the activation of the filter."""
        return self.activation[..., self.filter_index]

    @property
    def percentiles(self) -> dict[int, float]:
        """Of the filter's activation, by PERCENTILES."""
        found = np.percentile(self.filtered, PERCENTILES)
        return {k: float(v) for k, v in zip(PERCENTILES, found, strict=True)}

    @property
    def strong(self) -> NDArray[np.bool_]:
        """Bool [*cells]: where the filter answers above the percentile STRONG."""
        found: NDArray[np.bool_] = self.filtered > np.percentile(self.filtered, STRONG)
        return found

    @property
    def sums(self) -> NDArray[np.float64]:
        """float64 [C]: the activation of each channel, summed over the cells."""
        return self.activation.reshape(-1, self.activation.shape[-1]).sum(axis=0, dtype=np.float64)


def look(
    subject: Subject,
    volume: NDArray,
    *,
    layer: str | None = None,
    filter_index: int | None = None,
    class_index: int | None = None,
    method: str | None = None,
) -> Look:
    """Runs the network on a volume and takes one layer apart.

    Args:
        subject: the network.
        volume: [*grid], physical values.
        layer: as `target_layer.target_layer` takes it, a single one; by default the one
            that maps are read on.
        filter_index: a channel of it; by default the one that adds most to the map, its
            mean gradient times its sum.
        class_index: of the class, finding or target; by default the one that a served
            model explains.
        method: CAM method; by default the subject's.

    Raises:
        ConfigError: no such layer, channel, class or method.
    """
    target = target_layer(subject.model, layer or subject.layer)
    if layer is not None and len(target.layers) > 1:
        raise ConfigError(
            f"Expected a single layer to look into, received {layer!r}. Name one of "
            f"{', '.join(place.name for place in target.places)}."
        )
    formula = method_of(method or subject.method)
    given = tf.constant(np.asarray(volume, np.float32)[None, ..., None])
    passed = forward(subject.model, target.layers[:1], given, one_logit=subject.has_one_logit)
    scores = subject.scores_of(passed.logits.numpy())[0]
    chosen = subject.explained_class(scores) if class_index is None else class_index
    if not 0 <= chosen < len(scores):
        raise ConfigError(f"Expected a class from 0 to {len(scores) - 1}, received {chosen}.")
    asked = tf.constant([chosen], tf.int32)
    (features,) = passed.features
    gradient = passed.tape.gradient(
        passed.targets,
        features,
        output_gradients=tf.one_hot(asked, len(scores)),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    ).numpy()[0]
    (cam,) = passed.cams(asked, formula)
    activation = features.numpy()[0]
    channels = activation.shape[-1]
    strongest = _strongest(activation, gradient)
    index = strongest if filter_index is None else filter_index
    if not 0 <= index < channels:
        raise ConfigError(
            f"Expected a filter of layer {target.places[0].name!r} from 0 to {channels - 1}, "
            f"received {index}. Set --filter."
        )
    return Look(
        scores=scores,
        class_index=chosen,
        method=method or subject.method,
        place=target.places[0],
        cam=cam.numpy()[0],
        activation=activation,
        gradient=gradient,
        filter_index=index,
        is_strongest=index == strongest,
    )


def _strongest(activation: NDArray[np.float32], gradient: NDArray[np.float32]) -> int:
    cells = tuple(range(activation.ndim - 1))
    return int((gradient.mean(axis=cells) * activation.sum(axis=cells)).argmax())
