"""Writes small DICOM series for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
CR = "1.2.840.10008.5.1.4.1.1.1"


def write_slice(
    path: Path,
    pixels: np.ndarray,
    position: Sequence[float],
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (1.0, 1.0),
    **tags: Any,
) -> None:
    """Writes one instance.

    Args:
        pixels: int16 or uint16 [rows, columns], stored values.
        position, direction: ImagePositionPatient, ImageOrientationPatient (LPS+ mm).
        spacing: between rows, between columns (mm).
        tags: further elements by keyword; they win over the defaults.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    elements: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "PatientName": "Nobody^Private",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "PixelSpacing": list(spacing),
        "SliceThickness": 9,
        "ImagePositionPatient": [float(v) for v in position],
        "ImageOrientationPatient": [float(v) for v in direction],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype == np.int16),
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        **tags,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)


def write_series(
    folder: Path,
    volume: np.ndarray,
    origin: Sequence[float] = (-10.0, 20.0, 5.0),
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (0.7, 0.9, 2.5),
    step: Sequence[float] | None = None,
    **tags: Any,
) -> list[Path]:
    """Writes int16 [slices, rows, columns] as a series; names and numbers run backwards.

    Args:
        spacing: between columns, rows, slices (mm).
        step: from one slice to the next (LPS+ mm), default along the normal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if step is None:
        step = np.cross(direction[:3], direction[3:]) * spacing[2]
    paths = []
    for n, pixels in enumerate(volume):
        path = folder / f"IM{len(volume) - n:03d}"
        position = np.asarray(origin) + n * np.asarray(step)
        write_slice(
            path,
            pixels,
            [float(v) for v in position],
            direction,
            (spacing[1], spacing[0]),
            **{"InstanceNumber": len(volume) - n, **tags},
        )
        paths.append(path)
    return paths
