"""Names of result files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcam_client.prediction import Prediction

if TYPE_CHECKING:
    from vcam_client.results import Choices

_UNSAFE = re.compile(r"[^\w.-]+")
"""What is no letter, digit, underscore, dot or dash; of any script."""
_LONGEST = 80
"""Characters of a label in a file name."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """File names of one prediction; None for what is not written."""

    heatmap: str | None
    overlay: str | None
    mask: str | None


def names_of(
    predictions: Sequence[Prediction], stem: str, choices: "Choices", suffix: str
) -> list[Names]:
    """Names for each prediction; with a label in them where all classes are explained."""
    stems = [stem]
    if choices.all_classes or len(predictions) > 1:
        stems = [f"{stem}_{part}" for part in safe_labels([p.label for p in predictions])]
    return [
        Names(
            heatmap=f"{own}_heatmap{suffix}" if choices.heatmap else None,
            overlay=f"{own}_overlay.png" if choices.writes_picture else None,
            mask=None if choices.threshold is None else f"{own}_mask{suffix}",
        )
        for own in stems
    ]


def safe_labels(labels: Sequence[str]) -> list[str]:
    """Labels as parts of file names, no two alike, upper and lower case taken as one."""
    taken: set[str] = set()
    safe = []
    for label in labels:
        plain = _UNSAFE.sub("_", label).strip("._")[:_LONGEST] or "class"
        part, n = plain, 1
        while part.casefold() in taken:
            n += 1
            part = f"{plain}_{n}"
        taken.add(part.casefold())
        safe.append(part)
    return safe
