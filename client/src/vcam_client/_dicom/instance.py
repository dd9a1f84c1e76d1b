"""What an instance is: part of a volume, or something that is left out for a reason."""

import re
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID

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
_MOST_BITS = 32
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
    modality, radiograph = _kind(dataset)
    kinds = [*_texts(dataset.get("ImageType")), *_frame_type(dataset)]
    for kind, reason in _NO_VOLUME_TYPES.items():
        if any(kind in text for text in kinds):
            raise NoVolumeError(reason)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise NoVolumeError("no pixels")
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2")).upper()
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or not photometric.startswith("MONOCHROME"):
        raise NoVolumeError("colour")
    frames = int(dataset.get("NumberOfFrames") or 1)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    high = int(dataset.get("HighBit") or stored - 1)
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
    signed = bool(dataset.get("PixelRepresentation") or 0)
    return Instance(
        header=header,
        modality=modality,
        radiograph=radiograph,
        unplaced=not radiograph and _is_unplaced(dataset, frames),
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
    )


def _slice_distance(dataset: Dataset) -> float:
    distance = abs(float(dataset.get("SpacingBetweenSlices") or 0))
    if not distance < _LARGEST_MM:
        raise CorruptFileError(f"damaged header (slices {distance:g} mm apart)")
    return distance


class Groups:
    """Looks elements up in a frame's functional groups, then in the shared ones."""

    def __init__(self, dataset: Dataset, n: int) -> None:
        frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        shared = dataset.get("SharedFunctionalGroupsSequence") or ()
        self._items = [*frames[n : n + 1], *shared[:1]]

    def __call__(self, group: str, keyword: str) -> Any:
        for item in self._items:
            sequence = item.get(group)
            if sequence:
                value = sequence[0].get(keyword)
                if value is not None and value != "":
                    return value
        return None


def _is_unplaced(dataset: Dataset, frames: int) -> bool:
    look = Groups(dataset, 0)
    direction = look("PlaneOrientationSequence", "ImageOrientationPatient")
    if not (direction or dataset.get("ImageOrientationPatient")):
        return True
    if look("PlanePositionSequence", "ImagePositionPatient"):
        return False
    if not dataset.get("ImagePositionPatient"):
        return True
    placed = dataset.get("GridFrameOffsetVector") or dataset.get("SpacingBetweenSlices")
    return frames > 1 and not placed


def _kind(dataset: Dataset) -> tuple[str, bool]:
    """Modality, and whether it is a projection."""
    sop_class, modality = str(dataset.get("SOPClassUID") or ""), str(dataset.get("Modality") or "")
    if not _MODALITY.fullmatch(modality):
        modality = ""  # of a damaged header: it may run on into a patient's name
    if sop_class in _CROSS_SECTIONS:
        return modality or _CROSS_SECTIONS[sop_class], False
    if sop_class in _RADIOGRAPHS:
        return modality or _RADIOGRAPHS[sop_class], True
    # some anonymisers remove the SOP class; the modality then decides
    if not sop_class and modality in ("CT", "MR", "PT"):
        return modality, False
    # archives of chest films hold radiographs as secondary captures, views and all
    captured = sop_class == _SECONDARY_CAPTURE or not sop_class
    if captured and modality in _RADIOGRAPH_MODALITIES and dataset.get("ViewPosition"):
        return modality, True
    if not sop_class:
        raise NoVolumeError(f"modality {modality}" if modality else "no image (no SOP class)")
    name = UID(sop_class).name
    known = name != sop_class
    raise NoVolumeError(name.removesuffix(" Storage") if known else "unknown SOP class")


def _frame_type(dataset: Dataset) -> list[str]:
    look = Groups(dataset, 0)
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
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    other = dataset.get("PixelPaddingRangeLimit")
    ends = [
        _as_stored(v, allocated, signed) for v in (value, value if other in (None, "") else other)
    ]
    return min(ends), max(ends)


def _as_stored(value: Any, allocated: int, signed: bool) -> int:
    number: int = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    # written as unsigned beside signed pixels, or the other way round
    number &= 2**allocated - 1
    return number - 2**allocated if signed and number >= 2 ** (allocated - 1) else number
