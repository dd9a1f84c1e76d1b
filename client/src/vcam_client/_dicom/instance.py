"""What an instance is: part of a volume, or something that is left out for a reason."""

import re
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from vcam_client._dicom.elements import damaged, number, numbers, settle, whole
from vcam_client._dicom.header import Header
from vcam_client._limits import check_voxels
from vcam_client.errors import CorruptFileError

DIRECTORY_SOP_CLASS = "1.2.840.10008.1.3.10"
_CROSS_SECTIONS = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",  # enhanced
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "XA",  # X-ray 3-D angiographic
    "1.2.840.10008.5.1.4.1.1.13.1.2": "DX",  # X-ray 3-D craniofacial (cone beam)
    "1.2.840.10008.5.1.4.1.1.13.1.3": "MG",  # breast tomosynthesis
}
_RADIOGRAPHS = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.2": "MG",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "MG",
    "1.2.840.10008.5.1.4.1.1.1.3": "IO",
    "1.2.840.10008.5.1.4.1.1.1.3.1": "IO",
    "1.2.840.10008.5.1.4.1.1.12.1": "XA",
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CAPTURED_FRAMES = (f"{_SECONDARY_CAPTURE}.2", f"{_SECONDARY_CAPTURE}.3")
"""Multi-frame secondary captures, grey, of bytes and of words."""
_SLICED = ("CT", "MR", "PT")
"""Modalities whose images are slices."""
_RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "MG", "IO", "PX", "RG"})
_NO_VOLUME_TYPES = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "SCREEN SAVE": "screen save",
    "DOSE_INFO": "dose report",
    "DOSE REPORT": "dose report",
    "MOSAIC": "mosaic of slices in one image; convert it with dcm2niix",
}
"""Values of ImageType of images that are no slice of a volume, and what they are."""
_OVERRULED = frozenset(
    {
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
    }
)
"""Elements that multi-frame images state in functional groups; the others are looked at at once."""
_MOST_BITS = 32
_PADDING_BITS = 16
"""Of PixelPaddingValue, VR US or SS."""
_MODALITY = re.compile("[A-Z0-9_]{2,16}")
_LARGEST_MM = 1e6
_LEAST_FRAME_BYTES = 32
"""Of a compressed frame: no codec has smaller headers."""


class NoVolumeError(Exception):
    """Why an instance is left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """What all frames of one file share.

    Attributes:
        header: where the pixels are.
        modality: "CT", "MR", …
        radiograph: a projection; it makes a volume alone.
        unplaced: its frames have no place in space.
        rows, columns, frames: of the pixels.
        bits_allocated, bits_stored, high_bit, signed: of a stored value.
        monochrome1: whether low values are shown bright.
        padding: lowest and highest stored value that mean "not measured", or None.
        slice_distance: millimetres, as stated for all frames; 0 where it is not.
        stored_as: name of the SOP class where it is not one of `modality`, so that the rest
            of the header decides; else "".
    """

    header: Header
    modality: str
    radiograph: bool
    unplaced: bool
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    monochrome1: bool
    padding: tuple[int, int] | None
    slice_distance: float
    stored_as: str

    @property
    def dataset(self) -> Dataset:
        """The header's elements."""
        return self.header.dataset


def instance_of(header: Header) -> Instance:
    """What an instance holds.

    Raises:
        NoVolumeError: it holds no part of a volume.
        CorruptFileError: its header contradicts itself.
        InputError: more voxels than the limit.
    """
    dataset = header.dataset
    if not _is_of_other_class(dataset):
        _refuse_damage(header)
    modality, radiograph = _kind(header)
    kinds = [*_texts(dataset.get("ImageType")), *_frame_type(header)]
    for kind, reason in _NO_VOLUME_TYPES.items():
        if any(kind in text for text in kinds):
            raise NoVolumeError(reason)
    _refuse_damage(header)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise NoVolumeError("no pixels")
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2")).upper()
    if whole(dataset, "SamplesPerPixel", 1) != 1 or not photometric.startswith("MONOCHROME"):
        raise NoVolumeError("colour")
    frames = whole(dataset, "NumberOfFrames", 1)
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    allocated = whole(dataset, "BitsAllocated")
    stored = whole(dataset, "BitsStored", allocated)
    high = whole(dataset, "HighBit", stored - 1)
    if min(rows, columns, frames) < 1 or allocated not in (8, 16, _MOST_BITS):
        raise CorruptFileError(
            f"damaged header ({frames} frames of {columns}×{rows} pixels of {allocated} bits)"
        )
    if not 0 < stored <= allocated or not stored - 1 <= high < allocated:
        raise CorruptFileError(f"damaged header (bits {stored} of {allocated}, highest {high})")
    check_voxels((columns, rows, frames), header.source.name)
    compressed = header.transfer_syntax.is_encapsulated
    least = _LEAST_FRAME_BYTES if compressed else rows * columns * allocated // 8
    if frames > 1 and header.pixel_bytes < frames * least:
        raise CorruptFileError(f"breaks off: {frames} frames in {header.pixel_bytes} bytes")
    if radiograph and frames > 1:
        raise NoVolumeError("a sequence over time")
    signed = bool(whole(dataset, "PixelRepresentation", 0))
    return Instance(
        header=header,
        modality=modality,
        radiograph=radiograph,
        unplaced=not radiograph and _is_unplaced(header, frames),
        rows=rows,
        columns=columns,
        frames=frames,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=signed,
        monochrome1=photometric == "MONOCHROME1",
        padding=_padding(dataset, allocated, signed),
        slice_distance=_slice_distance(dataset),
        stored_as="" if radiograph else _other_class(dataset),
    )


def _slice_distance(dataset: Dataset) -> float:
    stated = number(dataset.get("SpacingBetweenSlices"), "SpacingBetweenSlices")
    distance = abs(stated or 0.0)
    if not distance < _LARGEST_MM:
        raise damaged("SpacingBetweenSlices", f"is {distance:g} mm")
    return distance


class Groups:
    """Looks elements up in a frame's functional groups, then in the shared ones.

    Attributes:
        decimal_commas: keywords of elements whose numbers have them, of those looked up.
    """

    def __init__(self, header: Header, n: int) -> None:
        frames = header.dataset.get("PerFrameFunctionalGroupsSequence") or ()
        shared = header.dataset.get("SharedFunctionalGroupsSequence") or ()
        self._items = [*frames[n : n + 1], *shared[:1]]
        self._decimal = bool(header.settled.decimal_commas)
        self.decimal_commas = list[str]()

    def __call__(self, group: str, keyword: str) -> Any:
        for item in self._items:
            sequence = self._value(item, group)
            if sequence:
                value = self._value(sequence[0], keyword)
                if value is not None and value != "":
                    return value
        return None

    def _value(self, item: Dataset, keyword: str) -> Any:
        if keyword not in item:
            return None
        settled = settle(item, [Tag(keyword)], decimal=self._decimal)
        self.decimal_commas += settled.decimal_commas
        if settled.damage:
            raise settled.damage[keyword]
        return item[keyword].value


def _is_unplaced(header: Header, frames: int) -> bool:
    dataset, look = header.dataset, Groups(header, 0)
    direction = look("PlaneOrientationSequence", "ImageOrientationPatient")
    if not (direction or header.value("ImageOrientationPatient")):
        return True
    if look("PlanePositionSequence", "ImagePositionPatient"):
        return False
    if not header.value("ImagePositionPatient"):
        return True
    placed = dataset.get("GridFrameOffsetVector") or dataset.get("SpacingBetweenSlices")
    return frames > 1 and not placed


def _refuse_damage(header: Header) -> None:
    """Refuses damaged elements, but for those that functional groups may state instead."""
    for keyword, error in header.settled.damage.items():
        if keyword not in _OVERRULED:
            raise error


def _is_of_other_class(dataset: Dataset) -> bool:
    """Whether it is known to be something else than slices and radiographs."""
    sop_class = str(dataset.get("SOPClassUID") or "")
    ours = sop_class in _CROSS_SECTIONS or sop_class in _RADIOGRAPHS
    return not ours and UID(sop_class).name != sop_class


def _kind(header: Header) -> tuple[str, bool]:
    """Modality, and whether it is a projection."""
    dataset = header.dataset
    sop_class, modality = str(dataset.get("SOPClassUID") or ""), str(dataset.get("Modality") or "")
    if not _MODALITY.fullmatch(modality):
        modality = ""  # of a damaged header: it may run on into a patient's name
    if sop_class in _CROSS_SECTIONS:
        return modality or _CROSS_SECTIONS[sop_class], False
    if sop_class in _RADIOGRAPHS:
        return modality or _RADIOGRAPHS[sop_class], True
    # some anonymisers remove the SOP class; the modality then decides
    if not sop_class and modality in _SLICED:
        return modality, False
    known = UID(sop_class).name != sop_class
    # some software stores slices as captures, or in its own class, that state all that CT does;
    # a single capture may be any picture of the patient, with a place or without
    if modality in _SLICED and _is_placed(header):
        if not known:
            return modality, False
        if sop_class in _CAPTURED_FRAMES and modality == "CT" and _states_hu(header):
            return modality, False
    # archives of chest films hold radiographs as secondary captures, views and all
    captured = not known or sop_class in (_SECONDARY_CAPTURE, *_CAPTURED_FRAMES)
    if captured and modality in _RADIOGRAPH_MODALITIES and dataset.get("ViewPosition"):
        return modality, True
    if not sop_class:
        raise NoVolumeError(f"modality {modality}" if modality else "no image (no SOP class)")
    name = UID(sop_class).name.removesuffix(" Storage") if known else "unknown SOP class"
    if sop_class in _CAPTURED_FRAMES and modality == "CT":
        name += " without position, orientation, spacing and Hounsfield units"
    elif not known and modality in _SLICED:
        name += " without position, orientation and spacing"
    raise NoVolumeError(name)


def _other_class(dataset: Dataset) -> str:
    sop_class = str(dataset.get("SOPClassUID") or "")
    if not sop_class or sop_class in _CROSS_SECTIONS:
        return ""
    return UID(sop_class).name if sop_class in _CAPTURED_FRAMES else "an unknown SOP class"


def _is_placed(header: Header) -> bool:
    """Whether frames say where each of their pixels is."""
    dataset, look = header.dataset, Groups(header, 0)
    spacing = look("PixelMeasuresSequence", "PixelSpacing") or header.value("PixelSpacing")
    known = all(numbers(spacing, "PixelSpacing")) and spacing is not None
    return known and not _is_unplaced(header, whole(dataset, "NumberOfFrames", 1))


def _states_hu(header: Header) -> bool:
    """Whether values are Hounsfield units by a whole rescale that is not said to be another."""
    look = Groups(header, 0)
    group = "PixelValueTransformationSequence"
    values = {
        keyword: look(group, keyword) or header.value(keyword)
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType")
    }
    stated = all(values[k] not in (None, "") for k in ("RescaleSlope", "RescaleIntercept"))
    return stated and str(values["RescaleType"] or "HU").upper() == "HU"


def _frame_type(header: Header) -> list[str]:
    look = Groups(header, 0)
    for group in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
        value = look(group, "FrameType")
        if value is not None:
            return _texts(value)
    return []


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(v).upper() for v in ([value] if isinstance(value, str) else value)]


def _padding(dataset: Dataset, allocated: int, signed: bool) -> tuple[int, int] | None:
    """The stored values that mean "not measured", as the pixels' own sign has them."""
    value, limit = (
        _as_stored(dataset.get(keyword), keyword, allocated, signed)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    if value is None:
        return None
    ends = value, value if limit is None else limit
    lowest, highest = (
        (-(2 ** (allocated - 1)), 2 ** (allocated - 1) - 1)
        if signed
        else (
            0,
            2**allocated - 1,
        )
    )
    low, high = max(min(ends), lowest), min(max(ends), highest)
    return (low, high) if low <= high else None  # beyond what a pixel holds, none is padding


def _as_stored(value: Any, keyword: str, allocated: int, signed: bool) -> int | None:
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little") if value else None
    stated = number(value, keyword)
    if stated is None:
        return None
    if not stated.is_integer():
        raise damaged(keyword, f"is {stated:g}, not a whole number")
    stored = int(stated)
    # written as unsigned beside signed pixels, or the other way round; it has 16 bits itself
    if signed and allocated < _PADDING_BITS and stored >= 2 ** (_PADDING_BITS - 1):
        stored -= 2**_PADDING_BITS
    elif signed and 2 ** (allocated - 1) <= stored < 2**allocated:
        stored -= 2**allocated
    elif not signed and -(2 ** (allocated - 1)) <= stored < 0:
        stored += 2**allocated
    return stored
