"""Finds volumes that are twice in a data set, to the byte."""

import hashlib
from collections.abc import Mapping

from vcam_training.data.dataset import Report, Split

_NAMED = 10
"""Duplicates that a report names; of the others it says how many there are."""


def duplicates(splits: Mapping[str, Split]) -> list[tuple[str, str]]:
    """Pairs of names of equal volumes in different splits.

    Args:
        splits: by name; a split that is there by two names counts once.

    Returns:
        The name of each volume that an earlier split has too, and its first name there.
    """
    first: dict[bytes, tuple[str, str]] = {}
    seen: list[Split] = []
    found = []
    for name, split in splits.items():
        if any(split.volumes is other.volumes for other in seen):
            continue
        seen.append(split)
        for index, volume in enumerate(split.volumes):
            digest = hashlib.sha256(volume.tobytes()).digest()
            before, place = first.setdefault(digest, (name, split.name(index)))
            if before != name:
                found.append((split.name(index), place))
    return found


def report_duplicates(splits: Mapping[str, Split], report: Report) -> None:
    """Says which volumes are in two splits; they stay there."""
    found = duplicates(splits)
    if not found:
        return
    named = ", ".join(f"{one} = {other}" for one, other in found[:_NAMED])
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    report(f"{len(found)} volumes are in two splits, to the byte, and stay there: {named}{more}")
