"""Networks trained in mixed precision, as they are measured and served."""

from typing import Any

import keras

from vcam_training.cams._graph import flatten


def in_float32(model: keras.Model) -> keras.Model:
    """The network with the same weights, computing in float32.

    Mixed precision is for training on GPUs. What a half-precision graph computes depends
    on the device and on which layers are computed together; scores and maps of a served
    model don't.

    Args:
        model: stays as it is.

    Returns:
        The model itself where no layer computes in anything else.
    """
    layers = [step.operation for step in flatten(model).steps if not step.nested]
    if all(getattr(layer, "compute_dtype", "float32") == "float32" for layer in layers):
        return model
    copy = keras.models.clone_model(model, clone_function=_in_float32, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(layer: Any) -> Any:
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})
