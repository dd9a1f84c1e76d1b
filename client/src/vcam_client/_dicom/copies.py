"""The same instance twice: copies are dropped, and counted."""

from collections.abc import Iterable, Sequence

import numpy as np

from vcam_client._dicom.frame import Frame
from vcam_client._dicom.instance import Instance
from vcam_client._dicom.pixels import read_voxels
from vcam_client.errors import VcamError

_ELEMENTS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "InstanceNumber",
)
"""Of an instance that has to be the same in a copy, beside all that decides its voxels."""


def without_copies(frames: Iterable[Frame]) -> tuple[list[Frame], dict[Instance, list[Instance]]]:
    """Leaves one of each instance, and gives the copies of it that were dropped.

    A copy has the same SOPInstanceUID, the same elements as far as vcam reads them, and
    the same pixels. Instances that share a SOPInstanceUID and differ are all kept.
    """
    instances: dict[Instance, list[Frame]] = {}
    for frame in frames:
        instances.setdefault(frame.instance, []).append(frame)
    kept: dict[object, list[Instance]] = {}
    dropped: dict[Instance, list[Instance]] = {}
    for instance, own in instances.items():
        uid = str(instance.dataset.get("SOPInstanceUID") or "").strip()
        others = kept.setdefault(uid or instance, [])
        first = next((o for o in others if _equal(instances[o], own)), None)
        if first is None:
            others.append(instance)
        else:
            dropped.setdefault(first, []).append(instance)
    left = {instance for group in kept.values() for instance in group}
    return [f for i, own in instances.items() if i in left for f in own], dropped


def _equal(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    if len(one) != len(other) or _facts(one[0].instance) != _facts(other[0].instance):
        return False
    if not all(_same_frame(a, b) for a, b in zip(one, other, strict=True)):
        return False
    a, b = one[0].instance.header, other[0].instance.header
    if a.transfer_syntax == b.transfer_syntax and _bytes(one[0]) == _bytes(other[0]):
        return True
    try:
        return np.array_equal(read_voxels(one).data, read_voxels(other).data)
    except VcamError:  # one of them is damaged: not known to be the same
        return False


def _facts(instance: Instance) -> tuple[object, ...]:
    elements = [str(instance.dataset.get(keyword) or "") for keyword in _ELEMENTS]
    return *elements, *(value for name, value in vars(instance).items() if name != "header")


def _same_frame(one: Frame, other: Frame) -> bool:
    return (
        np.array_equal(one.position, other.position)
        and np.array_equal(one.direction, other.direction)
        and (one.spacing, one.thickness) == (other.spacing, other.thickness)
        and (one.slope, one.intercept) == (other.slope, other.intercept)
        and one.rescale_type == other.rescale_type
        and one.marks == other.marks
    )


def _bytes(frame: Frame) -> bytes:
    header = frame.instance.header
    with header.open() as stream:
        stream.seek(header.pixels_at)
        return stream.read()
