"""Cascading randomisation of a model's weights, from its logits down to its input.

Source: J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018. A map that
stays as it is while the weights that it should explain are drawn anew explains
something else: edges, say, which an edge detector shows without any model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from vcam_training.cams._graph import flatten
from vcam_training.trust.cases import Cases
from vcam_training.trust.similarity import rank_correlations
from vcam_training.trust.subject import Subject

MOST_STEPS = 12
"""Stages that are looked at; deep networks are randomised layer by layer all the same."""

TRAINED = "trained"
"""The stage at which no weight is random yet."""

MapsUnderTest = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Maps made from the model's own, [n, *cells], such as these with noise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cascade:
    """How alike maps stay to the trained model's while its weights are randomised.

    Attributes:
        layers: TRAINED, then after which layer maps were compared, the topmost first; all
            layers above it are random by then, and after the last one all of them.
        similarity: {name: float64 [stages, seeds, scans]}, rank correlations of each
            kind of map with its own original. The first stage says how alike a kind is
            to itself: less than 1 where noise belongs to it.
    """

    layers: tuple[str, ...]
    similarity: Mapping[str, NDArray[np.float64]]


def cascade(
    subject: Subject,
    cases: Cases,
    kinds: Mapping[str, MapsUnderTest],
    *,
    seeds: Sequence[int],
    progress: Callable[[], None] = lambda: None,
) -> Cascade:
    """Randomises a copy of the model, stage by stage, once for each seed.

    Args:
        subject: the trained model, left as it is.
        cases: scans and classes that are explained.
        kinds: what is compared, by name; see `MapsUnderTest`.
        seeds: of the random weights; at least one.
        progress: called after each stage of each seed.
    """
    twin = keras.models.clone_model(subject.model, clone_function=_same, recursive=True)
    trained = subject.model.get_weights()
    twin.set_weights(trained)
    copy = Subject(twin, subject.spec, subject.explanation)
    stack = weighted_layers(twin)
    looked_at = stages(len(stack))
    maps = copy.maps(cases.volumes, cases.classes)
    original = {name: make(maps, np.random.default_rng(0)) for name, make in kinds.items()}
    found = {name: np.zeros((len(looked_at) + 1, len(seeds), len(cases))) for name in kinds}

    def compare(row: int, column: int, maps: NDArray[np.float32]) -> None:
        for name, make in kinds.items():
            now = make(maps, np.random.default_rng([1, seeds[column], row]))
            found[name][row, column] = rank_correlations(original[name], now)

    for column, seed in enumerate(seeds):
        twin.set_weights(trained)
        compare(0, column, maps)
        fresh = weighted_layers(untrained(subject.model, seed))
        for number, (path, layer) in enumerate(stack.items()):
            layer.set_weights(fresh[path].get_weights())
            if number in looked_at:
                row = looked_at.index(number) + 1
                compare(row, column, copy.maps(cases.volumes, cases.classes))
                progress()
    names = list(stack)
    return Cascade(layers=(TRAINED, *(names[n] for n in looked_at)), similarity=found)


def stages(count: int) -> list[int]:
    """Which of `count` layers are looked at: the first, the last and some in between."""
    if count <= MOST_STEPS:
        return list(range(count))
    return sorted({round(n) for n in np.linspace(0, count - 1, MOST_STEPS)})


def weighted_layers(model: keras.Model) -> dict[str, Any]:
    """{path: layer} of all layers that have weights, the logits' layer first.

    Nested models are walked through; a layer that is called twice is there once.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for step in reversed(flatten(model).steps):
        layer = step.operation
        is_layer = isinstance(layer, layers.Layer) and not step.nested
        if is_layer and layer.weights and id(layer) not in seen:
            seen.add(id(layer))
            found[step.path] = layer
    return found


def untrained(model: keras.Model, seed: int) -> keras.Model:
    """The same model with weights as each layer's own initialisers draw them.

    Args:
        model: stays as it is.
        seed: another seed, other weights, also where the layers fix theirs.
    """
    rng = np.random.default_rng(seed)

    def again(layer: Any) -> Any:
        return type(layer).from_config(_reseeded(layer.get_config(), rng))

    return keras.models.clone_model(model, clone_function=again, recursive=True)


def _same(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _reseeded(config: Any, rng: np.random.Generator) -> Any:
    """A layer's config whose initialisers have a seed from `rng`."""
    if isinstance(config, list | tuple):
        return type(config)(_reseeded(value, rng) for value in config)
    if not isinstance(config, dict):
        return config
    fresh = {key: _reseeded(value, rng) for key, value in config.items()}
    inner = fresh.get("config")
    if "class_name" in fresh and isinstance(inner, dict) and "seed" in inner:
        fresh["config"] = {**inner, "seed": int(rng.integers(2**31))}
    return fresh
