"""Names of result files."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_client.errors import InputError
from vcam_client.prediction import Prediction

if TYPE_CHECKING:
    from vcam_client.results import Choices

_UNSAFE = re.compile(r"[^\w.-]+")
"""What is no letter, digit, underscore, dot or dash; of any script."""
_LONGEST_BYTES = 80
"""Of a label in a file name; file systems count bytes of UTF-8."""
_USUAL_LONGEST_NAME = 255
"""Bytes that a file name may have on the usual file systems."""
_SHOWN = 40
"""Characters of a name that is too long, in a message."""


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
        short = _UNSAFE.sub("_", label).strip("._").encode("utf-8", "replace")[:_LONGEST_BYTES]
        plain = short.decode("utf-8", "ignore") or "class"
        part, n = plain, 1
        while part.casefold() in taken:
            n += 1
            part = f"{plain}_{n}"
        taken.add(part.casefold())
        safe.append(part)
    return safe


def require_short(names: Iterable[str], stem: str, folder: Path) -> None:
    """Refuses names of result files that the folder can't hold, before anything is written.

    Args:
        names: of all files of one scan.
        stem: what they begin with.
        folder: where they are to be; it may not exist yet.

    Raises:
        InputError: one of them is too long.
    """
    longest = max(names, key=_bytes)
    allowed = _longest_name(folder)
    if _bytes(longest) <= allowed:
        return
    room = allowed - (_bytes(longest) - _bytes(stem))
    raise InputError(
        f"The name {stem[:_SHOWN]!r}… of {_bytes(stem)} bytes is too long for its results: at most "
        f"{allowed} fit a file name there, and they add {_bytes(longest) - _bytes(stem)}. Rename "
        f"the scan: at most {max(room, 0)} bytes before its suffix."
    )


def _bytes(name: str) -> int:
    return len(os.fsencode(name))


def _longest_name(folder: Path) -> int:
    """Bytes of a name in a folder, or where it will be made; encrypted ones take fewer."""
    for place in (folder, *folder.parents):
        try:
            return os.pathconf(place, "PC_NAME_MAX")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            break
    return _USUAL_LONGEST_NAME
