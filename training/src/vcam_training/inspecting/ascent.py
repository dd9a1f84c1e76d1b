"""The pattern that a filter answers to: the input that makes its activation rise.

Normalised gradient ascent from noise inside the intensity window (fine and of little
contrast, or coarser if the filter doesn't answer to that): each step goes along
the gradient of the filter's mean activation, divided by its root mean square, and keeps
values in the window. A step after which the filter answers less is taken back and tried
again half as long, so that the activation never falls.

Where the network sees intensity bands, which have no gradient, the pattern is not made of
physical values but of what comes out of that layer: one value in [0, 1] for each band.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.cams._graph import flatten
from vcam_training.cams.grad_cam import forward
from vcam_training.cams.target_layer import target_layer
from vcam_training.inspecting.subject import Subject
from vcam_training.intensity import Bands

STEPS = 100
STEP_SIZE = 0.02
"""Root mean square of a full step, in widths of the window."""
STARTS = (((0.4, 0.6), 1), ((0.0, 1.0), 1), ((0.0, 1.0), 4), ((0.0, 1.0), 16))
"""Noise at the start: uniform, in widths of the window from its lower end, and side of the
blocks of voxels that are alike. The first that gives the filter a gradient is taken."""
_SHORTEST = 1e-4
"""Of a step, as a share of a full one: the ascent has arrived."""
_UNIT = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ascent:
    """A pattern, and how it was reached.

    Attributes:
        layer: name of the layer.
        filter_index: its channel.
        pattern: float32 [*grid] in physical values, or [*grid, bands] behind the intensity
            layer.
        window: values lie within.
        behind_intensity: whether the pattern is what comes out of the intensity layer.
        activation: float64 [steps + 1], the filter's mean activation at the start and
            after each step; never falls.
        step_sizes: float64 [steps], in widths of the window; 0 where nothing better was
            found.
    """

    layer: str
    filter_index: int
    pattern: NDArray[np.float32]
    window: tuple[float, float]
    behind_intensity: bool
    activation: NDArray[np.float64]
    step_sizes: NDArray[np.float64]


def ascend(
    subject: Subject,
    layer: str,
    filter_index: int | None = None,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Ascent:
    """Finds a pattern for one filter.

    Args:
        subject: the network.
        layer: as `target_layer.target_layer` takes it, a single one.
        filter_index: a channel of it; by default the one whose mean activation is highest on
            the noise to start with.
        steps: of the ascent.
        seed: of the noise; the same seed gives the same pattern.

    Raises:
        ConfigError: no such layer or channel, or a filter that noise gives no gradient.
    """
    target = target_layer(subject.model, layer)
    if len(target.layers) > 1:
        raise ConfigError(f"Expected a single layer, received {layer!r}. Name one of them.")
    bands = _bands(subject)
    grid = subject.contract.grid.shape
    shape = (1, *grid, 1 if bands is None else len(bands.edges) - 1)
    low, high = _window(subject) if bands is None else _UNIT
    variable = tf.Variable(tf.zeros(shape))

    def features() -> tf.Tensor:
        with _instead_of(bands, variable):
            given = variable if bands is None else tf.zeros((1, *grid, 1))
            return forward(
                subject.model, target.layers, tf.identity(given), one_logit=subject.has_one_logit
            ).features[0]

    def begin(rng: np.random.Generator, ends: tuple[float, float], side: int) -> None:
        noise = _noise(rng, shape, ends, side)
        variable.assign((low + (high - low) * noise).astype(np.float32))

    def most_active() -> int:
        """The channel whose mean is highest on the first noise that the layer answers to."""
        rng = np.random.default_rng(seed)
        for ends, side in STARTS:
            begin(rng, ends, side)
            seen = features().numpy()
            if seen.min() < seen.max():
                break
        return int(seen.reshape(-1, seen.shape[-1]).mean(axis=0).argmax())

    chosen = most_active() if filter_index is None else filter_index

    @tf.function(autograph=False)
    def answer() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            seen = features()
            _check_channel(target.name, chosen, seen.shape[-1])
            mean = tf.reduce_mean(seen[..., chosen])
        return mean, tape.gradient(mean, variable, unconnected_gradients="zero")

    rng = np.random.default_rng(seed)
    for ends, side in STARTS:
        begin(rng, ends, side)
        value, gradient = answer()
        if float(tf.reduce_max(tf.abs(gradient))) > 0:
            break
    else:
        raise ConfigError(
            f"Expected a filter of {target.name!r} that answers to noise, filter {chosen} "
            "has no gradient anywhere. Leave out --filter for one that answers, choose another, or "
            "another --seed."
        )
    activation, sizes = [float(value)], []
    length = STEP_SIZE
    for _ in range(steps):
        before = variable.numpy()
        direction = gradient / tf.sqrt(tf.reduce_mean(tf.square(gradient)) + 1e-30)
        while length >= STEP_SIZE * _SHORTEST:
            moved = before + length * (high - low) * direction.numpy()
            variable.assign(np.clip(moved, low, high))
            value, found = answer()
            if float(value) > activation[-1]:
                gradient = found
                break
            length /= 2
        else:
            variable.assign(before)
        arrived = length < STEP_SIZE * _SHORTEST
        sizes.append(0.0 if arrived else length)
        activation.append(activation[-1] if arrived else float(value))
        length = length if arrived else min(2 * length, STEP_SIZE)
    pattern = variable.numpy()[0]
    return Ascent(
        layer=target.places[0].name,
        filter_index=chosen,
        pattern=pattern[..., 0] if bands is None else pattern,
        window=(low, high),
        behind_intensity=bands is not None,
        activation=np.array(activation),
        step_sizes=np.array(sizes),
    )


def _noise(
    rng: np.random.Generator, shape: tuple[int, ...], ends: tuple[float, float], side: int
) -> NDArray[np.float64]:
    """float64 [1, *grid, C]: uniform, the same in blocks of `side` voxels."""
    coarse = (1, *(-(-size // side) for size in shape[1:-1]), shape[-1])
    noise = rng.uniform(*ends, size=coarse)
    for axis in range(1, len(shape) - 1):
        noise = noise.repeat(side, axis=axis)
    return noise[tuple(slice(size) for size in shape)]


def _check_channel(layer: str, index: int, channels: int) -> None:
    if not 0 <= index < channels:
        raise ConfigError(
            f"Expected a filter of layer {layer!r} from 0 to {channels - 1}, received {index}. "
            "Set --filter."
        )


def _bands(subject: Subject) -> Bands | None:
    """The intensity layer, if it makes bands."""
    operations = [step.operation for step in flatten(subject.model).steps]
    return next((one for one in operations if isinstance(one, Bands)), None)


def _window(subject: Subject) -> tuple[float, float]:
    """Where physical values lie; without a window any width will do: such scans are z-scored."""
    return subject.contract.intensity.window or _UNIT


@contextlib.contextmanager
def _instead_of(layer: Any, value: tf.Variable) -> Iterator[None]:
    """Lets a layer answer a value, whatever it is given."""
    if layer is None:
        yield
        return
    object.__setattr__(layer, "call", lambda *args, **kwargs: tf.identity(value))
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
