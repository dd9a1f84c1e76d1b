"""Which volumes of a split are shown when nobody names one."""

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.cams.grad_cam import class_logits
from vcam_training.data.dataset import Split
from vcam_training.inspecting.subject import Subject
from vcam_training.learning.pipeline import plain_batches
from vcam_training.task import Task

LOOKED_AT = 200
"""Volumes at most that are scored to find one that is answered wrongly."""
_BATCH = 8


def default_volumes(subject: Subject, split: Split) -> tuple[int, ...]:
    """The first that is answered rightly and, if there is one, the first answered wrongly.

    A right one that has a mask is taken where there is one: it shows what the answer
    rests on. A finding is right if the highest score is of one that is there. Of a
    regression: the answers that are nearest to the truth and furthest from it.

    Args:
        subject: the network.
        split: the first LOOKED_AT of it.
    """
    part = Split(
        volumes=split.volumes[:LOOKED_AT],
        labels=split.labels[:LOOKED_AT],
        masks=split.masks[:LOOKED_AT],
        known=None if split.known is None else split.known[:LOOKED_AT],
    )
    output = subject.model.predict(plain_batches(part, _BATCH), verbose=0)
    logits = class_logits(output).numpy() if subject.has_one_logit else output
    if subject.contract.task is Task.REGRESSION:
        spread = part.labels.std(axis=0)
        errors = (np.abs(logits - part.labels) / np.where(spread > 0, spread, 1)).mean(axis=1)
        return tuple(dict.fromkeys((int(errors.argmin()), int(errors.argmax()))))
    best, known = logits.argmax(axis=1), np.ones(len(part), bool)
    if subject.contract.task is Task.FINDINGS:
        right = part.labels[np.arange(len(part)), best]
        shows, known = right, part.is_known[np.arange(len(part)), best]
    else:
        right = best == part.labels
        shows = right & part.masks.reshape(len(part), -1).any(axis=1)
    found = [_first(shows if shows.any() else right), _first(~right & known)]
    return tuple(index for index in found if index is not None)


def volume_index(split: Split, asked: str, split_name: str) -> int:
    """The number of a volume in its split, asked for by number or by name.

    Raises:
        ConfigError: there is none.
    """
    if asked in split.names:
        return split.names.index(asked)
    number = asked.removeprefix("#")
    if number.isdecimal() and int(number) < len(split):
        return int(number)
    named = f", or a name such as {split.names[0]!r}" if split.names else ""
    raise ConfigError(
        f"Expected a volume of the {split_name} split from 0 to {len(split) - 1}{named}, received "
        f"{asked!r}. Set --volume."
    )


def class_index(subject: Subject, label: str) -> int:
    """The number of a class, finding or target.

    Raises:
        ConfigError: there is none of that name.
    """
    labels = subject.contract.labels
    if label not in labels:
        raise ConfigError(f"Expected one of {', '.join(labels)}, received {label!r}. Set --class.")
    return labels.index(label)


def _first(which: NDArray[np.bool_]) -> int | None:
    return int(which.argmax()) if which.any() else None
