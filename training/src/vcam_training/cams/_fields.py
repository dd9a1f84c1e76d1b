"""A model's graph with the receptive field of every value in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams._field_rules import (
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
    unplaceable,
)
from vcam_training.cams._graph import Graph, Step, flatten


@dataclass(frozen=True, kw_only=True)
class Value:
    """What is known about one value of the graph.

    Attributes:
        state: where its cells lie.
        fresh: whether a convolution made it and no pooling has ended it yet.
    """

    state: State
    fresh: bool


@dataclass(frozen=True, kw_only=True)
class Fields:
    """A graph and what is known about each of its values.

    Attributes:
        graph: of the model, nested models opened.
        values: by their numbers in the graph.
        rank: axes of a feature map, [B, *cells, C].
    """

    graph: Graph
    values: Mapping[int, Value]
    rank: int

    def state(self, step: Step) -> State:
        """Where the cells of a step's output lie."""
        if len(step.outputs) != 1:
            return Everywhere()
        return self.values[step.outputs[0]].state

    def place(self, step: Step) -> CamLayer:
        """A step's output as a target layer.

        Raises:
            ConfigError: it has no cells, or vcam can't place them.
        """
        name, state = self.graph.short_name(step), self.state(step)
        if isinstance(state, Everywhere):
            raise ConfigError(
                f"Expected a target layer with one output of shape [B, *cells, C], received "
                f"{name!r} with {list(step.shapes)}. Choose a layer before the spatial axes are "
                "lost."
            )
        if isinstance(state, Lost):
            raise ConfigError(
                f"The cells of the target layer {name!r} can't be placed on the grid: "
                f"{state.reason} Choose a target layer before it, or build the network without it."
            )
        return CamLayer(
            name=name,
            cells=tuple(axis.cells for axis in state),
            offset=tuple(float((axis.lo + axis.hi) / 2) for axis in state),
            stride=tuple(float(axis.stride) for axis in state),
            receptive_field=tuple(float(axis.hi - axis.lo + 1) for axis in state),
        )

    def completes_a_map(self, step: Step) -> bool:
        """Whether a step makes a feature map, or normalises, activates or sums a fresh one."""
        if step.nested or len(step.outputs) != 1 or len(step.shapes[0]) != self.rank:
            return False
        if changes_nothing(step) or role_of(step.operation) in (Role.POOLING, Role.MOVE):
            return False
        value = self.values[step.outputs[0]]
        return value.fresh and not isinstance(value.state, Everywhere)


def follow(model: keras.Model) -> Fields:
    """The receptive fields of a model's values.

    Raises:
        ConfigError: the model has no graph, several inputs or outputs, or no known grid.
    """
    graph = flatten(model)
    grid = grid_of(model)
    here = Fraction(0)
    start: Field = tuple(Axis(cells=n, lo=here, hi=here, stride=Fraction(1)) for n in grid)
    values = {graph.input: Value(state=start, fresh=False)}
    for step in graph.steps:
        read = [values[number] for number in step.inputs]
        for output, shape in zip(step.outputs, step.shapes, strict=True):
            values[output] = _checked(step, _apply(step, read), shape)
    return Fields(graph=graph, values=values, rank=len(grid) + 2)


def grid_of(model: keras.Model) -> tuple[int, ...]:
    """Voxels along each tensor axis of a model's input.

    Raises:
        ConfigError: the input is no volume or image of known size.
    """
    shape = model.inputs[0].shape
    if len(shape) not in (4, 5) or any(n is None for n in shape[1:-1]):
        raise ConfigError(
            f"Expected a model input of [B, D, H, W, C] or [B, H, W, C] with known sizes, "
            f"received {shape}. Build the model with keras.Input of the grid's shape."
        )
    return tuple(int(n) for n in shape[1:-1])


def changes_nothing(step: Step) -> bool:
    """Whether a step passes a map on as it is when the model is used."""
    return issubclass(type(step.operation), _NO_CHANGE)


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


def _apply(step: Step, read: Sequence[Value]) -> Value:
    role = Role.POINTWISE if step.nested else role_of(step.operation)
    lost = next((v for v in read if isinstance(v.state, Lost)), None)
    spatial = [v for v in read if isinstance(v.state, tuple)]
    fields = [v.state for v in spatial if isinstance(v.state, tuple)]
    if role is Role.COLLAPSE or (not fields and lost is None):
        return Value(state=Everywhere(), fresh=False)
    if lost is not None:
        return Value(state=lost.state, fresh=True)
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
        return Value(state=Lost(_unknown(step)), fresh=True)
    why = unplaceable(step.operation)
    if why is not None:
        return Value(state=Lost(f"{_called(step)} {why}."), fresh=True)
    if role is Role.MERGE and len(fields) > 1:
        return Value(state=_union(step, fields), fresh=fresh)
    return Value(state=move(step.operation, fields[0]), fresh=fresh)


def _unknown(step: Step) -> str:
    return (
        f"vcam does not know what {_called(step)} does to the place of cells. It knows "
        "convolutions, pooling, padding, cropping and upsampling with channels last, "
        "normalisation, activations, dropout and sums or concatenations of channels."
    )


def _called(step: Step) -> str:
    return f"layer {step.path!r} ({type(step.operation).__name__})"


def _union(step: Step, fields: Sequence[Field]) -> State:
    axes = []
    for parts in zip(*fields, strict=True):
        if len({(part.cells, part.stride) for part in parts}) != 1:
            return Lost(
                f"{_called(step)} joins maps whose cells don't agree, (cells, stride) along one "
                f"axis: {', '.join(f'({part.cells}, {part.stride})' for part in parts)}."
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


def _checked(step: Step, value: Value, shape: Sequence[int | None]) -> Value:
    """The value, unless Keras counts other cells than the rules do."""
    if not isinstance(value.state, tuple):
        return value
    counted = [axis.cells for axis in value.state]
    agrees = len(shape) == len(counted) + 2 and all(
        known in (None, cells) for known, cells in zip(shape[1:-1], counted, strict=True)
    )
    if agrees and min(counted) > 0:
        return value
    reason = f"{_called(step)} has the shape {tuple(shape)}, where vcam counts {counted} cells."
    return Value(state=Lost(reason), fresh=True)
