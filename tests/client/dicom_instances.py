"""Builds DICOM instances in memory: compressed, enhanced multi-frame, deflated, DICOMDIR."""

import gc
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from client.dicom_files import write_slice
from pydicom import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def instance(
    pixels: np.ndarray, position: Sequence[float] = (0.0, 0.0, 0.0), *args: Any, **tags: Any
) -> Dataset:
    """One instance; arguments as of `write_slice`. 8-bit pixels are declared as such."""
    if pixels.dtype.itemsize == 1:
        signed = int(pixels.dtype.kind == "i")
        bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": signed}
        tags = {**bits, **tags}
    stream = io.BytesIO()
    write_slice(stream, pixels, position, *args, **tags)  # type: ignore[arg-type]
    stream.seek(0)
    return pydicom.dcmread(stream)


def to_bytes(dataset: Dataset) -> bytes:
    """The instance as a file."""
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def in_syntax(dataset: Dataset, syntax: str, dtype: str = "<u2") -> bytes:
    """An uncompressed instance written anew in another uncompressed transfer syntax."""
    uid = UID(syntax)
    if not uid.is_little_endian:
        pixels = np.frombuffer(dataset.PixelData, dtype)
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    dataset.file_meta.TransferSyntaxUID = uid
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def compress(
    dataset: Dataset,
    frames: Sequence[bytes],
    syntax: str,
    *,
    fragments: int = 1,
    table: str = "basic",
) -> Dataset:
    """Puts compressed frames in the place of the pixels.

    Args:
        dataset: changed and returned.
        frames: one codestream each.
        syntax: transfer syntax UID.
        fragments: of each frame.
        table: of offsets, "basic", "extended" or "none".
    """
    if table == "extended":
        encoded, offsets, lengths = encapsulate_extended(list(frames))
        dataset.PixelData = encoded
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    else:
        pieces = [f if len(f) % 2 == 0 else f + b"\0" for f in frames]
        dataset.PixelData = encapsulate(
            pieces, fragments_per_frame=fragments, has_bot=table == "basic"
        )
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    return dataset


def item(**tags: Any) -> Dataset:
    """A sequence item."""
    result = Dataset()
    for keyword, value in tags.items():
        setattr(result, keyword, Items([value]) if isinstance(value, Dataset) else value)
    return result


def enhanced(
    volume: np.ndarray,
    *,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (1.0, 1.0, 2.0),
    order: Sequence[int] | None = None,
    rescale: tuple[float, float] | None = None,
    shared: bool = True,
    **tags: Any,
) -> Dataset:
    """Enhanced CT whose geometry is in functional groups only.

    Args:
        volume: int16 or uint16 [slices, rows, columns].
        spacing: between columns, rows, slices (mm).
        order: in which slices are stored.
        rescale: slope and intercept, in functional groups.
        shared: whether orientation and spacing are shared by frames, or said for each.
    """
    order = list(order if order is not None else range(len(volume)))
    normal = np.cross(direction[:3], direction[3:])
    common = {
        "PlaneOrientationSequence": item(ImageOrientationPatient=[float(v) for v in direction]),
        "PixelMeasuresSequence": item(
            PixelSpacing=[spacing[1], spacing[0]], SliceThickness=spacing[2]
        ),
    }
    if rescale is not None:
        common["PixelValueTransformationSequence"] = item(
            RescaleSlope=rescale[0], RescaleIntercept=rescale[1], RescaleType="HU"
        )
    frames = []
    for n in order:
        position = np.asarray(origin) + n * spacing[2] * normal
        place = item(ImagePositionPatient=[round(float(v), 9) for v in position])
        frames.append(item(PlanePositionSequence=place, **({} if shared else common)))
    dataset = instance(
        np.ascontiguousarray(volume[order]).reshape(-1, volume.shape[2]),
        **{
            "SOPClassUID": ENHANCED_CT,
            "Rows": volume.shape[1],
            "Columns": volume.shape[2],
            "NumberOfFrames": len(volume),
            **dict.fromkeys(
                (
                    "ImagePositionPatient",
                    "ImageOrientationPatient",
                    "PixelSpacing",
                    "SliceThickness",
                    "RescaleSlope",
                    "RescaleIntercept",
                )
            ),
            **tags,
        },
    )
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    if shared:
        dataset.SharedFunctionalGroupsSequence = Items([item(**common)])
    return dataset


def directory(instances: Sequence[Path], folder: Path) -> Path:
    """Copies instances to a folder under a DICOMDIR, as media have it."""
    files = FileSet()
    for path in instances:
        dataset = pydicom.dcmread(path)
        for keyword, value in _NEEDED.items():
            if not dataset.get(keyword):
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        files.add(dataset)
    files.write(folder)
    with warnings.catch_warnings():
        # pydicom leaves its temporary folders to the collector, and that warns
        warnings.simplefilter("ignore", ResourceWarning)
        del files
        gc.collect()
    return folder / "DICOMDIR"


_NEEDED = {
    "PatientID": "1",
    "PatientName": "Nobody^Private",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20200101",
    "StudyTime": "120000",
    "StudyID": "1",
    "SeriesNumber": 1,
}
