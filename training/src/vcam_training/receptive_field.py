"""Where the cells of a target layer lie on the input grid.

The receptive field of every value is followed from the input to the target
layer. Along each axis, cell c sees the input indices lo + stride * c …
hi + stride * c, and its centre is offset + stride * c with
offset = (lo + hi) / 2. This is not the same as stretching the map over the
volume: with valid padding the outermost centres lie well inside it.

- Where paths meet (residual sums, concatenations), the union of the intervals
  counts; strides and cell counts must agree.
- With same padding TensorFlow pads the smaller half in front, so the offset
  depends on the parity of the size.
- Normalisations that take statistics over the volume (`ZScore`, group and layer
  normalisation), and values that went through global pooling and come back as
  factors (squeeze-and-excitation), depend on the whole volume; they place no
  evidence and count as pointwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training._field_rules import (
    Axis,
    Everywhere,
    Field,
    Lost,
    Role,
    State,
    channels_last,
    joins_cells,
    move,
    role_of,
)
from vcam_training._graph import Graph, Step, find_layer, flatten

__all__ = ["LAST", "cam_layer", "find_layer"]

LAST = "last"
"""Stands for the last feature map, see `cam_layer`."""


@dataclass(frozen=True, kw_only=True)
class _Value:
    """What is known about one value of the graph.

    Attributes:
        state: where its cells lie.
        fresh: whether a convolution made it and no pooling has ended it yet.
    """

    state: State
    fresh: bool


def cam_layer(model: keras.Model, target: str = LAST) -> CamLayer:
    """The target layer and the place of its cells on the model's input grid.

    With "last", the target is the last feature map that a convolution made, taken
    after the normalisation, activation or sum that completes it and before the
    pooling that ends it, and that every score passes through: `conv` in
    conv(relu) → pool → batch norm → global pool; the activation in
    conv → batch norm → relu → global pool; the activation behind the sum of a
    residual block. Dropout behind it changes nothing and is left out.

    Args:
        model: Sequential or Functional, nested models allowed, [B, *grid, C] with
            known sizes to logits.
        target: name of a layer, its path ("backbone/conv5") or "last".

    Raises:
        ConfigError: no such layer, or a layer on the way to it whose cells vcam
            can't place.
    """
    graph = flatten(model)
    grid = _grid(model)
    values = _propagate(graph, grid)
    step = _last(graph, values, len(grid) + 2) if target == LAST else graph.find(target)
    name = graph.short_name(step)
    if len(step.outputs) != 1 or isinstance(values[step.outputs[0]].state, Everywhere):
        raise ConfigError(
            f"Expected a target layer with one output of shape [B, *cells, C], received "
            f"{name!r} with {list(step.shapes)}. Choose a layer before the spatial axes are lost."
        )
    state = values[step.outputs[0]].state
    if isinstance(state, Lost):
        raise ConfigError(
            f"The cells of the target layer {name!r} can't be placed on the grid: {state.reason} "
            "Choose a target layer before it, or build the network without it."
        )
    assert not isinstance(state, Everywhere)
    return CamLayer(
        name=name,
        cells=tuple(axis.cells for axis in state),
        offset=tuple((axis.lo + axis.hi) / 2 for axis in state),
        stride=tuple(float(axis.stride) for axis in state),
        receptive_field=tuple(float(axis.hi - axis.lo + 1) for axis in state),
    )


def _grid(model: keras.Model) -> tuple[int, ...]:
    shape = model.inputs[0].shape
    if len(shape) not in (4, 5) or any(n is None for n in shape[1:-1]):
        raise ConfigError(
            f"Expected a model input of [B, D, H, W, C] or [B, H, W, C] with known sizes, "
            f"received {shape}. Build the model with keras.Input of the grid's shape."
        )
    return tuple(int(n) for n in shape[1:-1])


def _propagate(graph: Graph, grid: Sequence[int]) -> dict[int, _Value]:
    start: Field = tuple(Axis(cells=n, lo=0, hi=0, stride=1) for n in grid)
    values = {graph.input: _Value(state=start, fresh=False)}
    for step in graph.steps:
        read = [values[number] for number in step.inputs]
        for output, shape in zip(step.outputs, step.shapes, strict=True):
            values[output] = _checked(step, _apply(step, read), shape)
    return values


def _apply(step: Step, read: Sequence[_Value]) -> _Value:
    role = Role.POINTWISE if step.nested else role_of(step.operation)
    lost = next((v for v in read if isinstance(v.state, Lost)), None)
    spatial = [v for v in read if isinstance(v.state, tuple)]
    fields = [v.state for v in spatial if isinstance(v.state, tuple)]
    if role is Role.COLLAPSE or (not fields and lost is None):
        return _Value(state=Everywhere(), fresh=False)
    if lost is not None:
        return _Value(state=lost.state, fresh=True)
    fresh = role is Role.CONVOLUTION or (
        role is not Role.POOLING and any(value.fresh for value in spatial)
    )
    rank = len(fields[0]) + 2
    if (
        role is Role.UNKNOWN
        or not channels_last(step.operation)
        or joins_cells(step.operation, rank)
        or (role is not Role.MERGE and len(fields) > 1)
        or len(step.outputs) != 1
    ):
        return _Value(state=Lost(_unknown(step)), fresh=True)
    if role is Role.MERGE and len(fields) > 1:
        return _Value(state=_union(step, fields), fresh=fresh)
    return _Value(state=move(step.operation, fields[0]), fresh=fresh)


def _unknown(step: Step) -> str:
    return (
        f"vcam does not know what layer {step.path!r} ({type(step.operation).__name__}) does to "
        "the place of cells. It knows convolutions, pooling, padding and cropping with "
        "channels last, normalisation, activations, dropout and sums or concatenations of channels."
    )


def _union(step: Step, fields: Sequence[Field]) -> State:
    axes = []
    for parts in zip(*fields, strict=True):
        if len({(part.cells, part.stride) for part in parts}) != 1:
            return Lost(
                f"layer {step.path!r} ({type(step.operation).__name__}) joins maps whose cells "
                f"don't agree, (cells, stride) along one axis: "
                f"{[(part.cells, part.stride) for part in parts]}."
            )
        axes.append(
            Axis(
                cells=parts[0].cells,
                lo=min(part.lo for part in parts),
                hi=max(part.hi for part in parts),
                stride=parts[0].stride,
            )
        )
    return tuple(axes)


def _checked(step: Step, value: _Value, shape: Sequence[int | None]) -> _Value:
    """The value, unless Keras counts other cells than the rules do."""
    if not isinstance(value.state, tuple):
        return value
    counted = [axis.cells for axis in value.state]
    agrees = len(shape) == len(counted) + 2 and all(
        known in (None, cells) for known, cells in zip(shape[1:-1], counted, strict=True)
    )
    if agrees and min(counted) > 0:
        return value
    reason = (
        f"layer {step.path!r} ({type(step.operation).__name__}) has the shape {tuple(shape)}, "
        f"where vcam counts {counted} cells."
    )
    return _Value(state=Lost(reason), fresh=True)


def _last(graph: Graph, values: dict[int, _Value], rank: int) -> Step:
    for step in reversed(graph.steps):
        if _completes_a_map(step, values, rank) and not _bypassed(graph, step):
            return step
    raise ConfigError(
        "Expected a convolution whose feature map every score passes through, found none. "
        "Name the target layer."
    )


def _completes_a_map(step: Step, values: dict[int, _Value], rank: int) -> bool:
    if step.nested or len(step.outputs) != 1 or len(step.shapes[0]) != rank:
        return False
    kind = type(step.operation)
    if issubclass(kind, _NO_CHANGE) or role_of(step.operation) in (Role.POOLING, Role.MOVE):
        return False
    value = values[step.outputs[0]]
    return value.fresh and not isinstance(value.state, Everywhere)


_NO_CHANGE: tuple[type, ...] = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)


def _bypassed(graph: Graph, removed: Step) -> bool:
    """Whether the output still hangs on the input without a step."""
    reached = {graph.input}
    for step in _without(graph.steps, removed):
        if reached.intersection(step.inputs):
            reached.update(step.outputs)
    return graph.output in reached


def _without(steps: Sequence[Step], removed: Step) -> Iterator[Any]:
    return (step for step in steps if step is not removed)
