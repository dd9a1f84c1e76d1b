"""A Keras model as one flat list of steps, nested models opened.

Target layers are found here: `get_layer('backbone').output` fails for nested
models on Keras 3.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from vcam_client.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of a layer or operation.

    Attributes:
        operation: the Keras layer, or the operation behind `x + 1`.
        path: names of the nested models and of the operation, joined by "/".
        inputs, outputs: numbers of the values read and written.
        shapes: shape of each output, [B, ...], as far as Keras knows it.
        nested: whether the step is a nested model; it follows its own steps,
            reads their result and passes it on.
    """

    operation: Any
    path: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    nested: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Steps in an order in which they can run, from `input` to `output`."""

    steps: tuple[Step, ...]
    input: int
    output: int

    @property
    def last(self) -> Step:
        """The step that makes the output; inside the nested model, if one does."""
        value, made = self.output, None
        for step in reversed(self.steps):
            if value in step.outputs:
                made = step
                if not step.nested:
                    break
                value = step.inputs[step.outputs.index(value)]
        assert made is not None
        return made

    def has(self, name: str) -> bool:
        """Whether a layer has that name or path."""
        return any(name in (s.operation.name, s.path) for s in self.steps)

    def find(self, name: str) -> Step:
        """The step of a layer, by its name or by its path.

        Raises:
            ConfigError: no layer, several layers, or several calls of one layer.
        """
        found = [s for s in self.steps if name in (s.operation.name, s.path)]
        if len(found) == 1:
            return found[0]
        if not found:
            known = [s.path for s in self.steps if isinstance(s.operation, keras.layers.Layer)]
            raise ConfigError(
                f"Expected the name of a layer, received {name!r}. Choose one of {known}."
            )
        if len({id(s.operation) for s in found}) == 1:
            raise ConfigError(
                f"Layer {name!r} is called {len(found)} times, so its cells have no single "
                "place. Choose a target layer that is called once."
            )
        raise ConfigError(
            f"Expected one layer named {name!r}, found {[s.path for s in found]}. "
            "Give the path of the one you mean."
        )

    def short_name(self, step: Step) -> str:
        """The name of a step's layer where it is unique, else its path."""
        names = Counter(s.operation.name for s in self.steps)
        return step.operation.name if names[step.operation.name] == 1 else step.path


def flatten(model: keras.Model) -> Graph:
    """Opens a Sequential or Functional model with one input and one output.

    Raises:
        ConfigError: the model has no graph, or several inputs or outputs.
    """
    function = _function(model)
    if function is None:
        raise ConfigError(
            f"Expected a built Sequential or Functional Keras model, received a "
            f"{type(model).__name__} without a graph. Rewrite it with the functional API."
        )
    if len(function.inputs) != 1 or len(function.outputs) != 1:
        raise ConfigError(
            f"Expected a model with one input and one output, received {len(function.inputs)} "
            f"and {len(function.outputs)}. Export a model that maps one volume to logits."
        )
    steps: list[Step] = []
    numbers = itertools.count(1)
    (output,) = _expand(function, [0], "", steps, numbers)
    return Graph(steps=tuple(steps), input=0, output=output)


def find_layer(model: keras.Model, name: str) -> Any:
    """The layer of that name (or path, "backbone/conv5"), in nested models too.

    Raises:
        ConfigError: there is no such layer, several, or one that is called twice.
    """
    return flatten(model).find(name).operation


def _function(operation: Any) -> Any:
    """The graph of a Functional model, or of the one inside a Sequential model."""
    if isinstance(operation, keras.Sequential):
        operation = getattr(operation, "_functional", None)
    is_graph = isinstance(operation, keras.Model) and hasattr(operation, "_nodes_by_depth")
    return operation if is_graph else None


def _expand(
    function: Any, values: Sequence[int], prefix: str, steps: list[Step], numbers: Iterator[int]
) -> list[int]:
    known = {id(tensor): value for tensor, value in zip(function.inputs, values, strict=True)}
    by_depth = function._nodes_by_depth
    for node in (n for depth in sorted(by_depth, reverse=True) for n in by_depth[depth]):
        if node.is_input or any(id(t) not in known for t in node.input_tensors):
            continue
        operation = node.operation
        path = prefix + operation.name
        inputs = [known[id(tensor)] for tensor in node.input_tensors]
        inner = _function(operation)
        if inner is not None:
            inputs = _expand(inner, inputs, path + "/", steps, numbers)
        outputs = [next(numbers) for _ in node.outputs]
        known.update((id(t), value) for t, value in zip(node.outputs, outputs, strict=True))
        steps.append(
            Step(
                operation=operation,
                path=path,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                shapes=tuple(tuple(tensor.shape) for tensor in node.outputs),
                nested=inner is not None,
            )
        )
    return [known[id(tensor)] for tensor in function.outputs]
