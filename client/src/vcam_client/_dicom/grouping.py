"""Puts frames together that make a volume, and keeps volumes of one series apart.

In this order: identifiers, patient, pixel spacing and orientation; frames of reference; straight
lines of positions; and, where positions meet, what distinguishes echoes, phases, times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.alike import by_spacing, with_marks_alike
from vcam_client._dicom.apart import text
from vcam_client._dicom.frame import Frame
from vcam_client._dicom.lines import (
    along,
    by_line,
    evenly_spaced,
    levels,
    makes_a_stack,
    same_positions,
    straight,
)
from vcam_client._dicom.marks import CLOCKS, is_contrast, names_of, number_of
from vcam_client._dicom.times import is_ordered

_SAME_DIRECTION = 2.5e-3
"""Largest difference of a direction cosine within one volume: two steps of three decimals."""
_PERPENDICULAR = 2e-5, 4e-3
"""Products of row and column direction between which rounding to few decimals explains them."""
_RECONSTRUCTIONS = ("ConvolutionKernel", "SliceThickness")
"""What is one throughout a reconstruction; scanners change it along the patient at most."""
_COVERED = 0.9
"""Share of the positions from which a part counts as a whole volume that lacks slices."""
_FEWEST = 3
"""Slices from which equal spacing says something."""
_FEWEST_IN_TURN = 2
"""Slices of each volume from which contrasts that follow each other in a cycle say something."""
_AS_STATED = 0.1
"""Largest relative deviation of a distance of slices from the stated, or typical, one."""


def groups_of(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Volumes, in no order."""
    buckets: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        instance = frame.instance
        alone = instance if instance.radiograph or instance.unplaced else None
        key = (
            *(text(frame, k) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")),
            instance.modality,
            (instance.rows, instance.columns),
            alone,
        )
        buckets.setdefault(key, []).append(frame)
    return [
        volume
        for bucket in buckets.values()
        for patient in _by_patient(bucket)
        for spaced in by_spacing(with_marks_alike(patient))
        for oriented in _by_direction(spaced)
        for referred in _by_reference(oriented)
        for volume in _volumes(referred)
    ]


def _by_patient(frames: list[Frame]) -> list[list[Frame]]:
    """Frames by PatientID; those without one stay with a lone patient."""
    parts: dict[str, list[Frame]] = {}
    for frame in frames:
        parts.setdefault(text(frame, "PatientID"), []).append(frame)
    return list(parts.values()) if len(parts.keys() - {""}) > 1 else [frames]


def _by_direction(frames: list[Frame]) -> list[list[Frame]]:
    """Frames of one orientation about the most frequent one; they get their mean direction."""
    directions = np.array([frame.direction for frame in frames])
    unique, member, counts = np.unique(directions, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    group = np.full(len(unique), -1)
    for number, centre in enumerate(np.argsort(-counts, kind="stable")):
        if group[centre] < 0:
            near = np.abs(unique - unique[centre]).max(axis=1) <= _SAME_DIRECTION
            group[near & (group < 0)] = number
    parts: dict[int, list[Frame]] = {}
    for frame, of in zip(frames, group[member], strict=True):
        parts.setdefault(int(of), []).append(frame)
    return [_with_one_direction(part) for part in parts.values()]


def _with_one_direction(frames: list[Frame]) -> list[Frame]:
    directions = np.array([frame.direction for frame in frames])
    mean = directions[0] if (directions == directions[0]).all() else directions.mean(0)
    least, most = _PERPENDICULAR
    if mean is directions[0] or (mean == directions[0]).all():
        product = abs(float(mean[:3] @ mean[3:]))
        if not least < product < most:
            return frames
    mean = _perpendicular(mean)
    return [replace(frame, direction=mean) for frame in frames]


def _perpendicular(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest pair of perpendicular unit vectors."""
    u, _, v = np.linalg.svd(direction.reshape(2, 3), full_matrices=False)
    nearest: NDArray[np.float64] = (u @ v).reshape(6)
    return nearest


def _by_reference(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes by frame of reference; slices that each have another one stay together.

    A frame of reference that only one slice has says nothing where the series is known
    by its UID and all slices are on one straight line.
    """
    parts: dict[str, list[Frame]] = {}
    for frame in frames:
        parts.setdefault(text(frame, "FrameOfReferenceUID"), []).append(frame)
    groups = list(parts.values())
    if len(groups) == 1 or not text(frames[0], "SeriesInstanceUID"):
        return groups
    sizes = sorted(map(len, groups))
    if sizes[-1] == 1 or (sizes[-1] == 2 and len(groups) > sizes[-1]):
        together = _mostly_even(frames) if len(frames) >= _FEWEST else _as_far_as_stated(frames)
    else:
        together = sizes[-2] == 1 and makes_a_stack(frames)
    return [frames] if together else groups


def _mostly_even(frames: Sequence[Frame]) -> bool:
    """Whether slices are on one line, most of them equally far apart; some may be missing."""
    _, first = np.unique(levels(frames), return_index=True)
    gaps = np.diff(along(frames)[first])
    if not gaps.size or not straight(frames):
        return False
    near = np.abs(gaps - np.median(gaps)) <= _AS_STATED * np.median(gaps)
    return 2 * int(near.sum()) >= gaps.size


def _as_far_as_stated(frames: Sequence[Frame]) -> bool:
    stated = frames[0].instance.slice_distance or frames[0].thickness
    gap = float(np.ptp(along(frames)))
    return stated > 0 and abs(gap - stated) <= _AS_STATED * stated and straight(frames)


def _volumes(frames: list[Frame]) -> list[list[Frame]]:
    if frames[0].instance.radiograph or frames[0].instance.unplaced:
        return [frames]
    parts = [p for line in by_line(frames) for p in _by_marks(line)]
    for mark in _RECONSTRUCTIONS:
        parts = [p for part in parts for p in _interleaved(part, mark)]
    return [p for part in parts for line in by_line(part) for p in _woven(line)]


def _by_marks(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes at the same positions, each complete; others stay together."""
    if not same_positions(frames):
        return [frames]
    names = names_of([frame.marks for frame in frames])
    at = levels(frames)
    for whole in (_cover, _mostly_stacks):
        for name in names:
            parts = _by(frames, name)
            if len(parts) > 1 and whole(parts, frames, at):
                return [p for part in parts for p in _by_marks(part)]
        if whole is _cover:
            for name in names:
                passes = _passes(frames, name, at)
                if passes is not None:
                    return passes
    return [frames]


def _cover(parts: list[list[Frame]], frames: list[Frame], at: NDArray[np.int64]) -> bool:
    """Whether most frames are in parts that have a slice at nearly every position."""
    number = dict(zip(frames, at.tolist(), strict=True))
    positions = int(at.max()) + 1
    covering = 0
    for part in parts:
        own = len({number[frame] for frame in part})
        if own >= _COVERED * positions or _runs_through(part, number):
            covering += len(part)
    return 2 * covering >= len(frames)


def _runs_through(part: list[Frame], number: dict[Frame, int]) -> bool:
    """Whether a part is a stack that skips no position in its range."""
    own = sorted(number[frame] for frame in part)
    in_turn = all(b - a == 1 for a, b in pairwise(own))
    return len(part) >= _FEWEST and in_turn and makes_a_stack(part)


def _mostly_stacks(parts: list[list[Frame]], frames: list[Frame], _at: NDArray[np.int64]) -> bool:
    """Whether most frames are in parts of several slices, none at one position."""
    good = [part for part in parts if len(part) >= _FEWEST and not same_positions(part)]
    return 2 * sum(map(len, good)) >= len(frames)


def _passes(frames: list[Frame], name: str, at: NDArray[np.int64]) -> list[list[Frame]] | None:
    """Volumes measured one after the other, where each slice has another time (or phase).

    Only where every position has as many frames, and every pass over all positions has
    ended before the next begins; anything else would be a guess.
    """
    numbers = [number_of(frame.marks.get(name, "")) for frame in frames]
    if any(number is None for number in numbers):
        return None
    values = np.array(numbers, dtype=np.float64)
    if name in CLOCKS and not is_ordered(values.tolist()):
        return None
    positions = int(at.max()) + 1
    count, rest = divmod(len(frames), positions)
    if rest or count < 2 or positions < 2:
        return None
    order = np.argsort(values, kind="stable")
    passes = order.reshape(count, positions)
    ends = values[passes]
    apart = bool((ends[:-1].max(axis=1) < ends[1:].min(axis=1)).all())
    complete = all(len(set(at[one].tolist())) == positions for one in passes)
    return [[frames[i] for i in one] for one in passes] if apart and complete else None


def _interleaved(frames: list[Frame], mark: str) -> list[list[Frame]]:
    """Reconstructions whose slices are between each other's; parts side by side stay whole."""
    parts = _by(frames, mark)
    if len(parts) == 1 or min(map(len, parts)) == 1 or not _overlapping(parts, frames):
        return [frames]
    return parts


def _woven(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes between each other's slices: by contrasts in turn, or any mark of an uneven whole."""
    if len(frames) < 2 * _FEWEST_IN_TURN or same_positions(frames):
        return [frames]
    in_turn = _in_turn(frames)
    if in_turn is not None:
        return [volume for part in in_turn for volume in _woven(part)]
    places = np.sort(along(frames))
    if len(frames) < 2 * _FEWEST or evenly_spaced(places):
        return [frames]
    for name in names_of([frame.marks for frame in frames]):
        parts = _by(frames, name)
        stacks = all(len(part) >= _FEWEST and makes_a_stack(part) for part in parts)
        if len(parts) > 1 and stacks and _overlapping(parts, frames):
            return parts
    return [frames]


def _in_turn(frames: list[Frame]) -> list[list[Frame]] | None:
    """Volumes whose contrasts follow each other in a cycle along the stack; None without one."""
    ordered = [frames[i] for i in np.argsort(along(frames), kind="stable")]
    names = [
        name
        for name in names_of([frame.marks for frame in frames])
        if is_contrast(name) and _cycles([frame.marks.get(name, "") for frame in ordered])
    ]
    for chosen in [*((name,) for name in names), tuple(names)]:
        parts = _by(ordered, *chosen)
        whole = all(len(part) >= _FEWEST_IN_TURN and makes_a_stack(part) for part in parts)
        if len(parts) > 1 and whole:
            return parts
    return None


def _cycles(values: Sequence[str]) -> bool:
    """Whether a few values repeat in the same order, at least twice."""
    return len(set(values)) > 1 and any(
        list(values[period:]) == list(values[:-period]) for period in range(2, len(values) // 2 + 1)
    )


def _overlapping(parts: list[list[Frame]], frames: list[Frame]) -> bool:
    normal = frames[0].normal
    spans = []
    for part in parts:
        places = [float(frame.position @ normal) for frame in part]
        spans.append((min(places), max(places)))
    spans.sort()
    return not all(one[1] < other[0] for one, other in pairwise(spans))


def _by(frames: list[Frame], *marks: str) -> list[list[Frame]]:
    parts: dict[tuple[str, ...], list[Frame]] = {}
    for frame in frames:
        parts.setdefault(tuple(frame.marks.get(mark, "") for mark in marks), []).append(frame)
    return list(parts.values())
