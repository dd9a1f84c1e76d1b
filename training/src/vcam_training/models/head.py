"""What ends each network: a global pooling and one dense layer, in float32 under any policy."""

import keras
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.models.blocks import spatial_axes
from vcam_training.models.constraints import Centred
from vcam_training.models.smooth_max import SmoothMaxPooling

POOLINGS = ("max", "smooth_max", "average")
HEADS = ("signed", "evidence", "contrast")
_GLOBAL = {
    ("max", 2): layers.GlobalMaxPooling2D,
    ("max", 3): layers.GlobalMaxPooling3D,
    ("average", 2): layers.GlobalAveragePooling2D,
    ("average", 3): layers.GlobalAveragePooling3D,
}


def check_head(pooling: str, head: str, poolings: tuple[str, ...] = POOLINGS) -> None:
    """Checks the settings of a network.

    Raises:
        ConfigError: no such pooling or head.
    """
    for name, value, known in (("pooling", pooling, poolings), ("head", head, HEADS)):
        if value not in known:
            raise ConfigError(
                f"Expected a {name} out of {known}, received {value!r}. Set model.{name}."
            )


def logits(
    features: keras.KerasTensor, pooling: str, head: str, outputs: int, dropout: float = 0.0
) -> keras.KerasTensor:
    """The logits of a feature map.

    Args:
        features: [B, *cells, C] with 2 or 3 spatial axes.
        pooling: out of POOLINGS, over all cells.
        head: see `dense_logits`.
        outputs: how many logits.
        dropout: share of the pooled features that training drops.

    Returns:
        float32 [B, outputs], of a layer "logits".
    """
    pooled = global_pooling(features, pooling)
    if dropout:
        pooled = layers.Dropout(dropout, dtype="float32", name="dropout")(pooled)
    return dense_logits(pooled, head, outputs)


def global_pooling(features: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """One value of each channel, float32 [B, C], from [B, *cells, C]."""
    if pooling == "smooth_max":
        return SmoothMaxPooling(dtype="float32", name="global_smooth_max")(features)
    kind = _GLOBAL[pooling, spatial_axes(features)]
    return kind(dtype="float32", name=f"global_{pooling}")(features)


def dense_logits(features: keras.KerasTensor, head: str, outputs: int) -> keras.KerasTensor:
    """The logits of pooled features.

    Behind one dense layer Grad-CAM is the sum of the features, weighted as the score
    weights them. A "signed" head may tell a class by what is absent: then the map of
    the true class is negative just where its object is. With an "evidence" head no
    weight is negative: a class scores by features that are present, absence is left
    to the bias and to the other classes, and no map of nonnegative features is
    negative anywhere.

    A "contrast" head has no bias, and its classes have nothing in common: averaged over
    the cells, the map of a class is its logit, and that of the class with the highest one
    is positive on the whole.

    Args:
        features: [B, C].
        head: out of HEADS.
        outputs: how many logits.

    Returns:
        float32 [B, outputs], of a layer "logits".
    """
    if head == "signed":
        dense = layers.Dense(outputs, dtype="float32", name="logits")
    elif head == "contrast":
        centred = None if outputs == 1 else Centred()
        dense = layers.Dense(
            outputs, use_bias=False, kernel_constraint=centred, dtype="float32", name="logits"
        )
    else:
        # The logits begin as about the mean feature; Glorot's weights, all of one sign, would
        # begin with a sum so large that training first silences the features.
        limit = 2 / features.shape[-1]
        dense = layers.Dense(
            outputs,
            kernel_initializer=keras.initializers.RandomUniform(0.0, limit),
            kernel_constraint=keras.constraints.NonNeg(),
            dtype="float32",
            name="logits",
        )
    return dense(features)
