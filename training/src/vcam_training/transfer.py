"""Starts a network with the weights of another one, and freezes its backbone."""

from collections.abc import Iterator
from pathlib import Path

import keras

from vcam_client.errors import ConfigError
from vcam_training.network import read_network


def start_from(model: keras.Model, place: Path | str) -> tuple[int, int]:
    """Takes over the weights of each layer that another network has by the same name and shapes.

    Args:
        model: changed in place; layers of nested models count as their own.
        place: a run's folder, an exported model or a .keras file.

    Returns:
        How many layers with weights were taken over, and how many there are.

    Raises:
        ConfigError: no such network, or none of its layers fits.
    """
    known = {layer.name: layer for layer in _weighted(read_network(place).model)}
    taken, mine = 0, list(_weighted(model))
    for layer in mine:
        other = known.get(layer.name)
        if other is None or _shapes(other) != _shapes(layer):
            continue
        for target, source in zip(layer.weights, other.weights, strict=True):
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


def _weighted(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Layers that hold weights themselves."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer)
        elif layer.weights:
            yield layer


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
