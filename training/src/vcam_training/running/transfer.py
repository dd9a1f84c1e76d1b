"""Starts a network with the weights of another one, and freezes its backbone."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from vcam_client.errors import ConfigError
from vcam_training.network import read_network

Weights = Sequence[Any]
"""Of one layer, in its own order."""


def start_from(model: keras.Model, place: Path | str) -> tuple[int, int]:
    """Takes over the weights of each layer that another network has by the same name and shapes.

    Layers of nested models count as their own: by their path ("backbone/conv5"), or by
    their name alone where it is unique in both networks.

    Args:
        model: changed in place.
        place: a run's folder, an exported model, a .keras file, or an .h5 file of weights by
            layer names, as Keras publishes those of its applications.

    Returns:
        How many layers with weights were taken over, and how many there are.

    Raises:
        ConfigError: no such network, or none of its layers fits.
    """
    place = Path(place)
    others = _in_h5(place) if place.suffix == ".h5" else _in_model(read_network(place).model)
    mine = dict(_weighted(model))
    known, names = _by_path_and_name(others), Counter(map(_name, mine))
    taken = 0
    for path, layer in mine.items():
        other = known.get(path)
        if other is None and names[_name(path)] == 1:
            other = known.get(_name(path))
        if other is None or _shapes(other) != _shapes(layer.weights):
            continue
        for target, source in zip(layer.weights, other, strict=True):
            target.assign(source)
        taken += 1
    if not taken:
        raise ConfigError(
            f"Expected a network with layers like those of {model.name} in '{place}', found none "
            "with the same name and shapes. Set the same model, or start_from= for none."
        )
    return taken, len(mine)


def freeze_backbone(model: keras.Model) -> int:
    """Leaves only the head to be trained: layers whose output has no spatial extent.

    Batch normalisation in the backbone then keeps its running statistics.

    Returns:
        The number of weights that are trained, in scalars.

    Raises:
        ConfigError: nothing would be left to train.
    """
    for layer in model.layers:
        if len(layer.output.shape) > 2:
            layer.trainable = False
    left = sum(int(weight.numpy().size) for weight in model.trainable_weights)
    if not left:
        raise ConfigError(
            f"Expected a head to train, {model.name} has no layers without a spatial extent. "
            "Set freeze=false."
        )
    return left


def _weighted(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Paths and layers that hold weights themselves."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer, f"{prefix}{layer.name}/")
        elif layer.weights:
            yield prefix + layer.name, layer


def _in_model(model: keras.Model) -> dict[str, Weights]:
    return {path: layer.weights for path, layer in _weighted(model)}


def _in_h5(place: Path) -> dict[str, Weights]:
    """{layer: weights} of a file that earlier versions of Keras wrote.

    Raises:
        ConfigError: it is no such file.
    """
    try:
        with h5py.File(place) as file:
            layers = file.get("model_weights", file)
            return {
                # Keras no longer allows the slashes that older files have: conv1/conv.
                _text(name).replace("/", "_"): [
                    np.asarray(layers[name][weight])
                    for weight in layers[name].attrs["weight_names"]
                ]
                for name in layers.attrs["layer_names"]
            }
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(
            f"Expected a file of weights in '{place}', found no file that can be read. Correct "
            "start_from."
        ) from error
    except (OSError, KeyError, RuntimeError, UnicodeError) as error:
        raise ConfigError(
            f"Expected a file of weights by layer names in '{place}', received a file that is "
            "damaged or has none. Give a .keras file, or an .h5 file as Keras publishes it for its "
            "applications."
        ) from error


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _by_path_and_name(layers: Mapping[str, Weights]) -> dict[str, Weights]:
    """The same by paths, and by names where these are unique."""
    names = Counter(map(_name, layers))
    by_name = {_name(path): each for path, each in layers.items() if names[_name(path)] == 1}
    return {**by_name, **layers}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _shapes(weights: Weights) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in weights]
