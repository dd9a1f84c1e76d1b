"""The explanations that an export offers: every CAM method on every target layer."""

import re
from collections.abc import Sequence

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Explanation
from vcam_training.cams.cam_methods import DEFAULT_METHOD, METHODS
from vcam_training.cams.target_layer import method_of


def explanations(
    layers: Sequence[CamLayer], default_method: str = DEFAULT_METHOD
) -> tuple[Explanation, ...]:
    """Every method on every layer, the default first.

    On the first layer a signature has the name of its method, on others
    METHOD_LAYER, where what is no letter or digit in the layer's name is "_".

    Args:
        layers: at least one; the first is the default.
        default_method: what `serving_default` computes.

    Raises:
        ConfigError: no such method, or layers whose signatures have one name.
    """
    method_of(default_method)
    methods = sorted(METHODS, key=lambda name: name != default_method)
    found = [
        Explanation(
            signature=method if number == 0 else f"{method}_{_plain(layer.name)}",
            method=method,
            layer=layer.name,
            reference_maximum=layer.reference_maximum if method == default_method else None,
        )
        for number, layer in enumerate(layers)
        for method in methods
    ]
    names = [one.signature for one in found]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"Expected target layers with names of their own, received "
            f"{[layer.name for layer in layers]}. Name each layer once."
        )
    return tuple(found)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", name)
