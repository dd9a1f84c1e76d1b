"""Whether data mean what a network was trained on."""

import math
from dataclasses import asdict
from typing import Any

from vcam_client.errors import ConfigError
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.task import Task


def check_contract(expected: DataContract, received: DataContract) -> None:
    """Whether data mean what the network was trained on.

    Raises:
        ConfigError: says what differs.
    """
    pairs = [("labels", expected.labels, received.labels), ("unit", expected.unit, received.unit)]
    for part in ("grid", "intensity"):
        own, other = (asdict(getattr(one, part)) for one in (expected, received))
        for text in ("transform", "modalities"):  # words, and what a client may send
            own.pop(text, None)
            other.pop(text, None)
        pairs += [(f"{part}.{name}", own[name], other[name]) for name in own]
    wrong = [
        f"{name} {theirs} instead of {ours}"
        for name, ours, theirs in pairs
        if not _same(ours, theirs)
    ]
    if expected.task is not received.task:
        wrong.insert(0, f"{received.task.value} instead of {expected.task.value}")
    if wrong:
        raise ConfigError(
            f"Expected data as the network was trained on, received {'; '.join(wrong)}. Set "
            "data.KEY=VALUE so that they agree, or train a network for these data."
        )


def check_split(expected: DataContract, split: Split, names: tuple[str, ...]) -> None:
    """The same for a split alone, as far as it says what its values mean.

    Raises:
        ConfigError: says what differs.
    """
    shape = tuple(split.volumes.shape[1:])
    if shape != tuple(expected.grid.shape):
        raise ConfigError(
            f"Expected volumes of {'×'.join(map(str, expected.grid.shape))} as the network takes "
            f"them, received {'×'.join(map(str, shape))}. Give data of the same size."
        )
    if names and names != expected.labels:
        raise ConfigError(
            f"Expected the labels {', '.join(expected.labels)} in this order, the data name "
            f"{', '.join(names)}. Number them as in training, or set data.names."
        )
    labels, count = split.labels, len(expected.labels)
    if expected.task is Task.CLASSES:
        fits = labels.ndim == 1 and (not labels.size or int(labels.max()) < count)
    else:
        kind = "b" if expected.task is Task.FINDINGS else "f"
        fits = labels.shape == (len(split), count) and labels.dtype.kind == kind
    if not fits:
        highest = f", up to {labels.max()}" if labels.ndim == 1 and labels.size else ""
        raise ConfigError(
            f"Expected {expected.task.value} of {', '.join(expected.labels)}, received labels of "
            f"shape {list(labels.shape)}{highest}. Give data with the labels of the training."
        )

    if not split.is_known.any() and len(split):
        raise ConfigError("Expected labels that are known, received none. Give data with labels.")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)
