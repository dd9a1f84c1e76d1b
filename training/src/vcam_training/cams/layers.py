"""The feature maps of a model that can be a target layer.

A feature map counts once it is complete: conv → batch norm → relu is one, taken
behind the relu; so is the sum that ends a residual block, with the activation
behind it. What several layers read is complete as it is. Feature maps whose cells
vcam can't place on the input grid are left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams._field_rules import Role, role_of
from vcam_training.cams._fields import Fields, changes_nothing, follow
from vcam_training.cams._graph import Graph, Step


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A complete feature map whose cells have a place on the input grid.

    Attributes:
        index: among the candidates that every score passes through, in the order of
            the graph, from 0; None if it is bypassed. `cam_layer` takes it.
        layer: name, cells and their place.
        kind: class of the Keras layer.
        channels: of the feature map.
        bypassed: whether scores can be reached without it, as inside a residual block:
            its map would miss what went around it.
        last: whether `cam_layer(model, "last")` means it.
    """

    index: int | None
    layer: CamLayer
    kind: str
    channels: int
    bypassed: bool
    last: bool


def candidates(model: keras.Model) -> tuple[Candidate, ...]:
    """The feature maps of a model in the order of its graph.

    Args:
        model: Sequential or Functional, nested models allowed, [B, *grid, C] with
            known sizes to logits.

    Raises:
        ConfigError: the model has no graph, several inputs or outputs, or no known grid.
    """
    return candidates_of(follow(model))


def candidates_of(fields: Fields) -> tuple[Candidate, ...]:
    """The same, of a graph whose receptive fields are known."""
    readers = _readers(fields.graph)
    calls = Counter(id(step.operation) for step in fields.graph.steps)
    last = last_step(fields)
    found: list[Candidate] = []
    index = 0
    for step in fields.graph.steps:
        placed = fields.completes_a_map(step) and isinstance(fields.state(step), tuple)
        if not placed or calls[id(step.operation)] > 1 or _goes_on(fields, step, readers):
            continue
        bypassed = is_bypassed(fields.graph, step)
        found.append(
            Candidate(
                index=None if bypassed else index,
                layer=fields.place(step),
                kind=type(step.operation).__name__,
                channels=int(step.shapes[0][-1] or 0),
                bypassed=bypassed,
                last=step is last,
            )
        )
        index += not bypassed
    return tuple(found)


def last_step(fields: Fields) -> Step | None:
    """The step of the last feature map that every score passes through, if there is one."""
    for step in reversed(fields.graph.steps):
        if fields.completes_a_map(step) and not is_bypassed(fields.graph, step):
            return step
    return None


def is_bypassed(graph: Graph, removed: Step) -> bool:
    """Whether the output still depends on the input without a step."""
    reached = {graph.input}
    for step in graph.steps:
        if step is not removed and reached.intersection(step.inputs):
            reached.update(step.outputs)
    return graph.output in reached


def at_index(found: Sequence[Candidate], index: int) -> CamLayer:
    """The layer of that index, counted from the end if it is negative.

    Raises:
        ConfigError: there is no such candidate.
    """
    counted = [candidate.layer for candidate in found if not candidate.bypassed]
    if not -len(counted) <= index < len(counted):
        raise ConfigError(
            f"Expected the index of a target layer, {-len(counted)} … {len(counted) - 1}, "
            f"received {index}. The layers from 0: {[layer.name for layer in counted]}."
        )
    return counted[index]


def unknown(found: Sequence[Candidate], name: str) -> ConfigError:
    """The error about a name that no layer has; it names the candidates."""
    names = [candidate.layer.name for candidate in found if not candidate.bypassed]
    return ConfigError(
        f"Expected the name of a layer, received {name!r}. Choose one of {names}, an index "
        "into them, or 'last'."
    )


def _goes_on(fields: Fields, step: Step, readers: dict[int, list[Step | None]]) -> bool:
    """Whether one normalisation, activation or sum is all that reads a step's output."""
    read_by = readers.get(step.outputs[0], [])
    if len(read_by) != 1 or read_by[0] is None:
        return False
    (reader,) = read_by
    return (
        role_of(reader.operation) in (Role.POINTWISE, Role.MERGE)
        and fields.completes_a_map(reader)
        and isinstance(fields.state(reader), tuple)
    )


def _readers(graph: Graph) -> dict[int, list[Step | None]]:
    """{value: the steps that read it}; None is the model's output.

    Steps that pass a value on as it is (dropout, the step of a nested model) are
    looked through.
    """
    found: dict[int, list[Step | None]] = {graph.output: [None]}
    for step in reversed(graph.steps):
        if step.nested or changes_nothing(step):
            for value, passed in zip(step.inputs, step.outputs, strict=True):
                found.setdefault(value, []).extend(found.get(passed, []))
        else:
            for value in step.inputs:
                found.setdefault(value, []).append(step)
    return found
