"""Says in words why volumes of one series are apart, and finds those that go on in another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.frame import Frame
from vcam_client._dicom.lines import levels, makes_a_stack
from vcam_client._dicom.marks import names_of, order_of, shown

_MOST_NAMES = 3
_SAME_DIRECTION = 0.01
"""Largest difference of a direction cosine between parts of one volume, about half a degree."""
_SAME_SPACING = 1e-3
"""Largest relative difference of the pixel spacing between parts of one volume."""
_LIKE_DECIMALS = 3
"""Decimals of direction cosines and of mm to which similar volumes agree."""
_NAMED_DEG = 0.01
_NAMED_MM = 0.05
"""Least differences of orientation and of origin within the plane that are named."""
_RANKED = {
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "SeriesInstanceUID",
    "SeriesNumber": "SeriesNumber",
    "FrameOfReferenceUID": "frame of reference",
}
"""Elements of which only the rank is shown: their values may identify a patient."""


def text(frame: Frame, keyword: str) -> str:
    """An element of a frame's instance; "" where it has none."""
    return str(frame.instance.dataset.get(keyword) or "").strip()


def differences(volumes: Sequence[Sequence[Frame]]) -> list[tuple[str, ...]]:
    """For each volume: what distinguishes it from the others of its SeriesInstanceUID.

    Volumes without a UID, and slices that share theirs with no other, are compared with
    those of the same study, orientation and pixels: some programs give each slice of a
    series a UID.

    Returns:
        Phrases such as "EchoTime 10 ms", as few as distinguish all; () where there is
        nothing to compare a volume with.
    """
    rows: list[tuple[str, ...]] = [()] * len(volumes)
    uids = [text(volume[0], "SeriesInstanceUID") for volume in volumes]
    often = Counter(uids)
    groups: dict[tuple[object, ...], list[int]] = {}
    for n, (volume, uid) in enumerate(zip(volumes, uids, strict=True)):
        if uid and often[uid] > 1:
            groups.setdefault((uid,), []).append(n)
        elif (not uid or len(volume) == 1) and (key := _likeness(volume[0])):
            groups.setdefault(key, []).append(n)
    for members in groups.values():
        if len(members) > 1:
            phrases = _phrases([volumes[n] for n in members])
            for n, words in zip(members, phrases, strict=True):
                rows[n] = words
    return rows


def _likeness(frame: Frame) -> tuple[object, ...]:
    """What similar volumes share; () for those that have no place to compare."""
    instance = frame.instance
    if instance.radiograph or instance.unplaced:
        return ()
    return (
        text(frame, "StudyInstanceUID"),
        instance.modality,
        (instance.rows, instance.columns),
        tuple((frame.direction.round(_LIKE_DECIMALS) + 0.0).tolist()),
        frame.spacing and tuple(round(mm, _LIKE_DECIMALS) for mm in frame.spacing),
    )


def _phrases(volumes: Sequence[Sequence[Frame]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [()] * len(volumes)
    distinct = 1
    for column in _columns(volumes):
        longer = [(*row, word) for row, word in zip(rows, column, strict=True)]
        if len(set(longer)) > distinct:
            rows, distinct = longer, len(set(longer))
    return [tuple(word for word in row if word) for row in rows]


def _columns(volumes: Sequence[Sequence[Frame]]) -> list[list[str]]:
    """One phrase for each volume, for each thing that may distinguish them."""
    firsts = [volume[0] for volume in volumes]
    instances = [first.instance for first in firsts]
    columns = [_ranked(what, [text(f, k) for f in firsts]) for k, what in _RANKED.items()]
    columns.append([f"modality {i.modality or 'unknown'}" for i in instances])
    columns.append([f"{i.columns}×{i.rows} pixels" for i in instances])
    columns.append([_pixel(first) for first in firsts])
    if any(i.radiograph or i.unplaced for i in instances):
        kinds = ["radiograph" if i.radiograph else "file" for i in instances]
        return [*columns, [f"{kind} {n} of {len(kinds)}" for n, kind in enumerate(kinds, 1)]]
    columns.append(_orientations(firsts))
    columns += _marked(volumes)
    return [*columns, *_origins(volumes)]


def _ranked(what: str, values: Sequence[str]) -> list[str]:
    distinct = sorted({v for v in values if v}, key=order_of)
    words = {v: f"{what} {n} of {len(distinct)}" for n, v in enumerate(distinct, 1)}
    return [words.get(v, f"no {what}") for v in values]


def _pixel(frame: Frame) -> str:
    spacing = frame.spacing
    return f"pixels of {spacing[1]:.5g}×{spacing[0]:.5g} mm" if spacing else "no pixel spacing"


def _orientations(firsts: Sequence[Frame]) -> list[str]:
    """The angle by which each is turned against the first."""
    axes = [np.stack([f.direction[:3], f.direction[3:], f.normal]) for f in firsts]
    cosines = [float(np.clip((np.trace(a @ axes[0].T) - 1) / 2, -1, 1)) for a in axes]
    angles = np.degrees(np.arccos(cosines))
    angles = np.where(angles < _NAMED_DEG, 0, angles)
    return [f"turned by {angle:.3g}° against the first" if angle else "" for angle in angles]


def _marked(volumes: Sequence[Sequence[Frame]]) -> list[list[str]]:
    """Marks that have one value in each volume, then those that rise from one to the next."""
    one, rising = [], []
    spans = sorted(_span(volume, volumes[0][0].normal) for volume in volumes)
    beside = all(a[1] < b[0] for a, b in pairwise(spans))
    for name in names_of([volume[0].marks for volume in volumes]):
        values = [
            sorted({frame.marks.get(name, "") for frame in volume}, key=order_of)
            for volume in volumes
        ]
        if all(len(own) == 1 for own in values):
            each = [own[0] for own in values]
            one.append([shown(name, value, each) for value in each])
            continue
        order = sorted(range(len(volumes)), key=lambda n: order_of(values[n][0]))
        apart = all(order_of(values[a][-1]) < order_of(values[b][0]) for a, b in pairwise(order))
        if apart and not beside:
            ranks = [order.index(n) + 1 for n in range(len(volumes))]
            rising.append([f"{name} {rank} of {len(volumes)}" for rank in ranks])
    return [*one, *rising]


def _span(volume: Sequence[Frame], normal: NDArray[np.float64]) -> tuple[float, float]:
    places = [float(frame.position @ normal) for frame in volume]
    return min(places), max(places)


def _origins(volumes: Sequence[Sequence[Frame]]) -> list[list[str]]:
    """How far each is beside the first, within the plane; where each begins; its slices."""
    normal = volumes[0][0].normal
    middles = [np.mean([frame.position for frame in volume], axis=0) for volume in volumes]
    beside = []
    for middle in middles:
        away = middle - middles[0]
        beside.append(float(np.linalg.norm(away - (away @ normal) * normal)))
    shift = [f"{mm:.3g} mm beside the first" if mm > _NAMED_MM else "" for mm in beside]
    begin = [f"begins at {_span(v, normal)[0]:.2f} mm along its normal" for v in volumes]
    return [shift, begin, [f"{len(volume)} slices" for volume in volumes]]


def continued(volumes: Sequence[Sequence[Frame]]) -> Mapping[int, list[int]]:
    """Which volumes go on in others of their SeriesInstanceUID: together, they are one stack.

    Volumes that a mark distinguishes, such as two echoes, don't.
    """
    found: dict[int, list[int]] = {}
    buckets: dict[tuple[object, ...], list[int]] = {}
    for n, volume in enumerate(volumes):
        instance = volume[0].instance
        if not (instance.radiograph or instance.unplaced):
            key = (
                text(volume[0], "SeriesInstanceUID"),
                text(volume[0], "StudyInstanceUID"),
                instance.modality,
                (instance.rows, instance.columns),
            )
            buckets.setdefault(key, []).append(n)
    for members in buckets.values():
        if len(members) > 1:
            steady = {n: _steady(volumes[n]) for n in members}
            for a, b in combinations(members, 2):
                distinguished = any(
                    value != steady[b].get(name, value) for name, value in steady[a].items()
                )
                if not distinguished and _one_stack(volumes[a], volumes[b]):
                    found.setdefault(a, []).append(b)
                    found.setdefault(b, []).append(a)
    return found


def _steady(volume: Sequence[Frame]) -> dict[str, str]:
    """The marks that have one value throughout a volume."""
    first = volume[0].marks
    return {
        name: value
        for name, value in first.items()
        if all(frame.marks.get(name, "") == value for frame in volume)
    }


def _one_stack(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    if max(len(one), len(other)) == 1:
        return False
    a, b = one[0], other[0]
    if np.abs(a.direction - b.direction).max() > _SAME_DIRECTION:
        return False
    if a.spacing is None or b.spacing is None:
        return False
    return bool(np.allclose(a.spacing, b.spacing, rtol=_SAME_SPACING)) and makes_a_stack(
        [*one, *other]
    )


def why_same_positions(frames: Sequence[Frame]) -> str:
    """A sentence on frames at one position: what distinguishes them, and why that is too little."""
    at: dict[int, list[Frame]] = {}
    for frame, number in zip(frames, levels(frames).tolist(), strict=True):
        at.setdefault(number, []).append(frame)
    shared = [group for group in at.values() if len(group) > 1]
    uids = [[uid for frame in group if (uid := _instance_uid(frame))] for group in shared]
    if any(len(set(group)) < len(group) for group in uids):
        return "Some state that they are the same instance (SOPInstanceUID), but they differ."
    names = [
        name
        for name in names_of([frame.marks for frame in frames])
        if all(len({frame.marks.get(name, "") for frame in group}) > 1 for group in shared)
    ]
    if not names:
        return "Nothing in their headers that vcam compares distinguishes them."
    return f"They differ in {', '.join(names[:_MOST_NAMES])}, but not so that whole volumes result."


def _instance_uid(frame: Frame) -> str:
    # the frames of one file share it rightly
    return "" if frame.instance.frames > 1 else text(frame, "SOPInstanceUID")
