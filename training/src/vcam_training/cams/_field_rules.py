"""What each kind of Keras layer does to the input interval that a cell sees."""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from keras import layers

from vcam_training.intensity import Bands, ImageNet, Window, ZScore
from vcam_training.models.colours import Recolour


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Cell c of this axis sees the input indices lo + stride * c … hi + stride * c.

    Behind an upsampling the cells between two cells of the map before it (its phases)
    see different indices about their centres; the interval is the smallest that holds
    for all of them.

    Attributes:
        cells: number of cells.
        lo, hi: first and last input index of cell 0; outside the input where it
            reaches into padding.
        stride: input voxels from one cell to the next; below 1 if the map is finer
            than the input.
    """

    cells: int
    lo: Fraction
    hi: Fraction
    stride: Fraction


Field = tuple[Axis, ...]


class Everywhere:
    """A value without spatial axes: it depends on the whole input."""


@dataclass(frozen=True)
class Lost:
    """A value whose place is unknown, and why.

    Attributes:
        reason: names the layer.
    """

    reason: str


State = Field | Everywhere | Lost


class Role(enum.Enum):
    """What a layer does to a feature map."""

    CONVOLUTION = "makes a new feature map"
    POOLING = "ends a feature map"
    POINTWISE = "stays on its cells"
    MOVE = "pads, crops or interpolates"
    MERGE = "joins feature maps"
    COLLAPSE = "gives up the spatial axes"
    UNKNOWN = "not known to vcam"


_CONVOLUTIONS = (
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
)
_TRANSPOSED = (layers.Conv2DTranspose, layers.Conv3DTranspose)
_POOLINGS = (
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
)
_PADDINGS = (layers.ZeroPadding2D, layers.ZeroPadding3D)
_CROPPINGS = (layers.Cropping2D, layers.Cropping3D)
_UPSAMPLINGS = (layers.UpSampling2D, layers.UpSampling3D)
_COLLAPSES = (
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
)
_MERGES = (
    layers.Add,
    layers.Average,
    layers.Concatenate,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.Subtract,
)
_POINTWISE = (
    layers.Activation,
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.GroupNormalization,
    layers.Identity,
    layers.LayerNormalization,
    layers.LeakyReLU,
    layers.Normalization,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.Softmax,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.UnitNormalization,
    Bands,
    ImageNet,
    Recolour,
    Window,
    ZScore,
)
# Operations on KerasTensors have no public classes: known by name.
_POINTWISE_OPS = frozenset(
    {"Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "Expm1", "Gelu", "HardSigmoid", "HardSilu"}
    | {"HardTanh", "Identity", "LeakyRelu", "Log", "Log1p", "LogSigmoid", "Negative", "Power"}
    | {"Reciprocal", "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Silu", "Softmax", "Softplus"}
    | {"Softsign", "Sqrt", "Square", "Tanh"}
)
_MERGE_OPS = frozenset(
    {"Add", "Concatenate", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide"}
)


# Layers that keras.applications define for themselves (ConvNeXt, InceptionResNetV2).
_OF_APPLICATIONS = {
    "LayerScale": Role.POINTWISE,
    "StochasticDepth": Role.POINTWISE,
    "CustomScaleLayer": Role.MERGE,
}


def role_of(operation: Any) -> Role:
    """The role of a layer or operation on a feature map with channels last."""
    kind = type(operation)
    if kind.__module__.startswith("keras.src.applications."):
        return _OF_APPLICATIONS.get(kind.__name__, Role.UNKNOWN)
    if kind.__module__.startswith("keras.src.ops."):
        if kind.__name__ in _MERGE_OPS:
            return Role.MERGE
        return Role.POINTWISE if kind.__name__ in _POINTWISE_OPS else Role.UNKNOWN
    roles: tuple[tuple[tuple[type, ...], Role], ...] = (
        ((*_CONVOLUTIONS, *_TRANSPOSED, layers.Dense), Role.CONVOLUTION),
        (_POOLINGS, Role.POOLING),
        (_POINTWISE, Role.POINTWISE),
        ((*_PADDINGS, *_CROPPINGS, *_UPSAMPLINGS), Role.MOVE),
        (_MERGES, Role.MERGE),
        (_COLLAPSES, Role.COLLAPSE),
    )
    return next((role for kinds, role in roles if isinstance(operation, kinds)), Role.UNKNOWN)


def move(operation: Any, field: Field) -> Field:
    """The field behind a convolution, pooling, padding, cropping or upsampling layer."""
    if isinstance(operation, _TRANSPOSED):
        return _spread(operation, field)
    if isinstance(operation, _UPSAMPLINGS):
        return _enlarge(operation, field)
    if isinstance(operation, _CONVOLUTIONS):
        return _windows(operation, field, operation.kernel_size, operation.dilation_rate)
    if isinstance(operation, _POOLINGS):
        return _windows(operation, field, operation.pool_size, 1)
    if isinstance(operation, _PADDINGS):
        return _shift(field, operation.padding, 1)
    if isinstance(operation, _CROPPINGS):
        return _shift(field, operation.cropping, -1)
    return field


def unplaceable(operation: Any) -> str | None:
    """Why the cells behind a layer of a known kind have no known place; None if they have."""
    if isinstance(operation, _TRANSPOSED):
        if operation.output_padding is not None:
            return "shifts cells by its output_padding, which vcam does not follow"
        if set(operation.dilation_rate) != {1}:
            return "is a dilated transposed convolution, which vcam does not follow"
    interpolation = getattr(operation, "interpolation", "nearest")
    if isinstance(operation, _UPSAMPLINGS) and interpolation not in _REACHES:
        return f"upsamples by {interpolation} interpolation; vcam follows {', '.join(_REACHES)}"
    return None


def channels_last(operation: Any) -> bool:
    """Whether a layer reads its channels from the last axis."""
    return getattr(operation, "data_format", None) in (None, "channels_last")


def joins_cells(operation: Any, rank: int) -> bool:
    """Whether the layer works along a spatial axis of a [B, *cells, C] value of that rank."""
    if type(operation).__name__ not in ("Concatenate", "Softmax"):
        return False
    axes = operation.axis if isinstance(operation.axis, (list, tuple)) else (operation.axis,)
    return any(axis % rank != rank - 1 for axis in axes)


def _windows(operation: Any, field: Field, sizes: Any, dilations: Any) -> Field:
    axes = []
    for axis, size, dilation, step in zip(
        field,
        _each(sizes, field),
        _each(dilations, field),
        _each(operation.strides, field),
        strict=True,
    ):
        extent = (size - 1) * dilation + 1
        if operation.padding == "same":
            # TensorFlow pads what the last window lacks, the smaller half in front.
            cells = math.ceil(axis.cells / step)
            before = max((cells - 1) * step + extent - axis.cells, 0) // 2
        else:
            cells = (axis.cells - extent) // step + 1
            before = 0
        axes.append(
            Axis(
                cells=cells,
                lo=axis.lo - before * axis.stride,
                hi=axis.hi + (extent - 1 - before) * axis.stride,
                stride=axis.stride * step,
            )
        )
    return tuple(axes)


def _shift(field: Field, amounts: Any, sign: int) -> Field:
    return tuple(
        Axis(
            cells=axis.cells + sign * (before + after),
            lo=axis.lo - sign * before * axis.stride,
            hi=axis.hi - sign * before * axis.stride,
            stride=axis.stride,
        )
        for axis, (before, after) in zip(field, amounts, strict=True)
    )


def _spread(operation: Any, field: Field) -> Field:
    """Behind a transposed convolution: cell c sees (c + before - size + 1 … c + before) / step."""
    axes = []
    for axis, size, step in zip(
        field, _each(operation.kernel_size, field), _each(operation.strides, field), strict=True
    ):
        same = operation.padding == "same"
        more = max(size - step, 0)
        before = more // 2 if same else 0
        stride = axis.stride / step
        axes.append(
            Axis(
                cells=axis.cells * step + (0 if same else more),
                lo=axis.lo + stride * (before - size + 1),
                hi=axis.hi + stride * before,
                stride=stride,
            )
        )
    return tuple(axes)


def _enlarge(operation: Any, field: Field) -> Field:
    """Behind an upsampling with half-pixel centres: cell c lies at (c + ½) / factor - ½."""
    reach = _REACHES[getattr(operation, "interpolation", "nearest")]
    axes = []
    for axis, factor in zip(field, _each(operation.size, field), strict=True):
        centre = Fraction(1 - factor, 2 * factor)
        axes.append(
            Axis(
                cells=axis.cells * factor,
                lo=axis.lo + axis.stride * (centre - reach(factor)),
                hi=axis.hi + axis.stride * (centre + reach(factor)),
                stride=axis.stride / factor,
            )
        )
    return tuple(axes)


# From an upsampled cell's centre to the furthest cell that it reads, in cells of that map.
# Bilinear by an odd factor: one phase meets a cell's centre and reads that cell alone.
_REACHES: dict[str, Callable[[int], Fraction]] = {
    "nearest": lambda factor: Fraction(factor - 1, 2 * factor),
    "bilinear": lambda factor: Fraction(2 * factor - 1 - factor % 2, 2 * factor),
}


def _each(value: Any, field: Field) -> tuple[int, ...]:
    return (value,) * len(field) if isinstance(value, int) else tuple(value)
