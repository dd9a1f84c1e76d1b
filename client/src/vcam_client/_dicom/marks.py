"""What distinguishes the frames of volumes that share a series: echo, phase, b-value, time, …

Numbers are compared as numbers: a SliceThickness of "1.0" is one of "1.000000".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from vcam_client._dicom.instance import Groups
from vcam_client._dicom.times import clock_time, moment

MARKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ImageType": (
        ("MRImageFrameTypeSequence", "FrameType"),
        ("CTImageFrameTypeSequence", "FrameType"),
        ("PETFrameTypeSequence", "FrameType"),
    ),
    "ComplexImageComponent": (("MRImageFrameTypeSequence", "ComplexImageComponent"),),
    "StackID": (("FrameContentSequence", "StackID"),),
    "EchoTime": (("MREchoSequence", "EffectiveEchoTime"),),
    "EchoNumbers": (),
    "TemporalPositionIdentifier": (("FrameContentSequence", "TemporalPositionIndex"),),
    "DiffusionBValue": (("MRDiffusionSequence", "DiffusionBValue"),),
    "DiffusionGradientOrientation": (
        (
            "MRDiffusionSequence",
            "DiffusionGradientDirectionSequence",
            "DiffusionGradientOrientation",
        ),
    ),
    "InversionTime": (("MRModifierSequence", "InversionTimes"),),
    "FlipAngle": (("MRTimingAndRelatedParametersSequence", "FlipAngle"),),
    "RepetitionTime": (("MRTimingAndRelatedParametersSequence", "RepetitionTime"),),
    "NominalPercentageOfCardiacPhase": (
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    ),
    "TriggerTime": (
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        ("CardiacSynchronizationSequence", "ActualCardiacTriggerDelayTime"),
    ),
    "CardiacCyclePosition": (("CardiacSynchronizationSequence", "CardiacCyclePosition"),),
    "NominalPercentageOfRespiratoryPhase": (
        ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase"),
    ),
    "RespiratoryCyclePosition": (
        ("RespiratorySynchronizationSequence", "RespiratoryCyclePosition"),
    ),
    "VelocityEncodingDirection": (("MRVelocityEncodingSequence", "VelocityEncodingDirection"),),
    "ReceiveCoilName": (("MRReceiveCoilSequence", "ReceiveCoilName"),),
    "ConvolutionKernel": (("CTReconstructionSequence", "ConvolutionKernel"),),
    "SliceThickness": (("PixelMeasuresSequence", "SliceThickness"),),
    "KVP": (("CTXRayDetailsSequence", "KVP"),),
    "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"),),
    "FrameReferenceTime": (("FrameContentSequence", "FrameReferenceDateTime"),),
    "AcquisitionTime": (("FrameContentSequence", "FrameAcquisitionDateTime"),),
    "AcquisitionDateTime": (),
    "ContentTime": (),
}
"""What distinguishes volumes that share a series and positions, the most certain first.

Element of a single frame → where enhanced images have it: functional group, then element.
"""
DIMENSION = "DimensionIndexValues"
"""With the number of the dimension, from 1: "DimensionIndexValues[2]"; enhanced images only."""
_DATES = {
    "AcquisitionTime": "AcquisitionDate",
    "AcquisitionDateTime": None,
    "ContentTime": "ContentDate",
}
"""Marks that are times, and where their date is; None where it is in the same element."""
CLOCKS = tuple(name for name, day in _DATES.items() if day)
"""Times that may be stated without a date."""
MEASURES = ("EchoTime", "InversionTime", "FlipAngle", "RepetitionTime", "SliceThickness", "KVP")
"""Marks that slices of one volume may state with more and with fewer digits."""
_CONTRASTS = frozenset(
    {
        "ImageType",
        "ComplexImageComponent",
        "StackID",
        "EchoTime",
        "EchoNumbers",
        "TemporalPositionIdentifier",
        "DiffusionBValue",
        "DiffusionGradientOrientation",
        "InversionTime",
        "FlipAngle",
        "NominalPercentageOfCardiacPhase",
        "CardiacCyclePosition",
        "NominalPercentageOfRespiratoryPhase",
        "RespiratoryCyclePosition",
        "VelocityEncodingDirection",
        "ConvolutionKernel",
        "KVP",
    }
)
"""Marks that are one throughout a volume; others may alternate as its slices are measured."""
_UNITS = {
    "EchoTime": " ms",
    "InversionTime": " ms",
    "RepetitionTime": " ms",
    "TriggerTime": " ms",
    "DiffusionBValue": " s/mm²",
    "FlipAngle": "°",
    "SliceThickness": " mm",
    "KVP": " kV",
    "NominalPercentageOfCardiacPhase": " %",
    "NominalPercentageOfRespiratoryPhase": " %",
}
_VALUES_SHOWN = frozenset(
    {
        *_UNITS,
        "DiffusionGradientOrientation",
        "EchoNumbers",
        "TemporalPositionIdentifier",
        "AcquisitionNumber",
    }
)
"""Numbers that identify nobody; of all others only their rank is shown."""
_MOST_SHOWN = 12
"""Characters of a number; a longer one is damaged."""


def marks_of(dataset: Dataset, look: Groups) -> dict[str, str]:
    """The marks of a frame by name; "" where it has none.

    Args:
        dataset: of its instance.
        look: its functional groups.
    """
    marks = {}
    for name, places in MARKS.items():
        value = next((v for place in places if (v := _inside(look, place)) is not None), None)
        if name in _DATES:
            marks[name] = _time(dataset, name, value)
        else:
            marks[name] = _canonical(dataset.get(name) if value is None else value)
    if not marks["DiffusionGradientOrientation"]:
        marks["DiffusionGradientOrientation"] = _canonical(_direction(dataset))
    for n, index in enumerate(_several(look("FrameContentSequence", DIMENSION)), 1):
        marks[f"{DIMENSION}[{n}]"] = _canonical(index)
    return marks


def names_of(frames_marks: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of all marks of some frames, the most certain first."""
    return list(dict.fromkeys(name for marks in frames_marks for name in marks))


def is_contrast(name: str) -> bool:
    """Whether slices with different values of a mark can't be next to each other in a volume."""
    return name in _CONTRASTS or name.startswith(DIMENSION)


def number_of(value: str) -> float | None:
    """A mark as a number, for order; None if it is not one."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def order_of(value: str) -> tuple[bool, float, str]:
    """Sorts marks: numbers by size, then texts."""
    number = number_of(value)
    return number is None, 0.0 if number is None else number, value


def shown(name: str, value: str, values: Sequence[str]) -> str:
    """A mark in words that identify nobody, such as "EchoTime 10 ms" or "AcquisitionTime 2 of 3".

    Args:
        values: of all volumes that it distinguishes.
    """
    if value == "":
        return f"no {name}"
    numbers = value.split("\\")
    known = name in _VALUES_SHOWN or name.startswith(DIMENSION)
    if known and all(_harmless(number) for number in numbers):
        listed = numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
        return f"{name} {listed}{_UNITS.get(name, '')}"
    distinct = sorted({v for v in values if v}, key=order_of)
    return f"{name} {distinct.index(value) + 1} of {len(distinct)}"


def _harmless(value: str) -> bool:
    return number_of(value) is not None and len(value) <= _MOST_SHOWN


def _inside(look: Groups, place: Sequence[str]) -> Any:
    value = look(place[0], place[1])
    for keyword in place[2:]:
        if not value:
            return None
        value = value[0].get(keyword)
    return value


def _direction(dataset: Dataset) -> Any:
    sequence = dataset.get("DiffusionGradientDirectionSequence")
    return sequence[0].get("DiffusionGradientOrientation") if sequence else None


def _time(dataset: Dataset, name: str, of_frame: Any) -> str:
    """Seconds, so that times are in order over midnight."""
    keyword = _DATES[name]
    if of_frame is not None:
        return moment(_text(of_frame))
    if keyword is None:
        return moment(_text(dataset.get(name)))
    return clock_time(_text(dataset.get(keyword)), _text(dataset.get(name)))


def _text(value: Any) -> str:
    return "\\".join(str(one).strip() for one in _several(value))


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]


def _canonical(value: Any) -> str:
    """One text for one value, however it is written."""
    return "\\".join(map(_one, _several(value)))


def _one(value: Any) -> str:
    text = str(value).strip()
    number = number_of(text) if len(text) <= 16 else None
    if number is None:
        # a date and time has more digits than a float
        return text.rstrip("0").rstrip(".") if "." in text and text[:1].isdigit() else text
    # digits beyond are noise of a conversion, but not those of a time or of a count
    return str(int(number)) if number == int(number) else f"{number + 0.0:.{_digits(number)}g}"


def _digits(number: float) -> int:
    return 7 if abs(number) < 1e4 else 15
