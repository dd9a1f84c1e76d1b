"""What slices of one volume state a little differently: sizes, contrasts, clocks over midnight.

A number that some slices state with more digits than others is one number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vcam_client._dicom.frame import Frame
from vcam_client._dicom.marks import CLOCKS, MEASURES, number_of
from vcam_client._dicom.times import over_midnight

_SAME = 1e-3
"""Largest relative difference of the pixel spacing, or of a measure, within one volume."""


def with_marks_alike(frames: Sequence[Frame]) -> list[Frame]:
    """The same frames; marks that are one have one text, and those after midnight say so."""
    settled = list(frames)
    for name in (*MEASURES, *CLOCKS):
        before = [frame.marks.get(name, "") for frame in settled]
        if len(set(before)) == 1:
            continue
        after = over_midnight(before) if name in CLOCKS else _alike(before)
        settled = [
            frame if new == old else replace(frame, marks={**frame.marks, name: new})
            for frame, old, new in zip(settled, before, after, strict=True)
        ]
    return settled


def by_spacing(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Frames of one pixel spacing; each group gets its median."""
    unknown = [frame for frame in frames if frame.spacing is None]
    groups = [unknown] if unknown else []
    known = [frame for frame in frames if frame.spacing is not None]
    for group in _near(known, 0):
        groups += [_with_one_spacing(own) for own in _near(group, 1)]
    return groups


def _near(frames: Sequence[Frame], axis: int) -> list[list[Frame]]:
    """Frames by their spacing along an axis of the pixels."""
    sizes = [frame.spacing[axis] if frame.spacing else 0.0 for frame in frames]
    first = _first_of_each(sizes)
    groups: dict[float, list[Frame]] = {}
    for frame, size in zip(frames, sizes, strict=True):
        groups.setdefault(first[size], []).append(frame)
    return list(groups.values())


def _with_one_spacing(frames: list[Frame]) -> list[Frame]:
    spacings = [frame.spacing for frame in frames if frame.spacing is not None]
    if len(set(spacings)) == 1:
        return frames
    down, across = np.median(spacings, axis=0).tolist()
    return [replace(frame, spacing=(down, across)) for frame in frames]


def _alike(values: Sequence[str]) -> list[str]:
    """Each number as the most frequent of those that are nearly the same; texts stay."""
    numbers = {value: number for value in values if (number := number_of(value)) is not None}
    first = _first_of_each(numbers.values())
    likely = sorted(numbers, key=lambda value: (-values.count(value), numbers[value]))
    chosen: dict[float, str] = {}
    for value in likely:
        chosen.setdefault(first[numbers[value]], value)
    return [chosen[first[numbers[value]]] if value in numbers else value for value in values]


def _first_of_each(numbers: Iterable[float]) -> Mapping[float, float]:
    """The least of those numbers that are nearly the same, for each."""
    first: dict[float, float] = {}
    least = -np.inf
    for number in sorted(set(numbers)):
        if number - least > _SAME * abs(number):
            least = number
        first[number] = least
    return first
