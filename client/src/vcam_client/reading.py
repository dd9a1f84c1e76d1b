"""Reads a scan, whatever it is stored as."""

from collections.abc import Sequence
from pathlib import Path

from vcam_client._options import ReadOptions
from vcam_client.errors import (
    CorruptFileError,
    InputError,
    ScanNotFoundError,
    UnsupportedFormatError,
)
from vcam_client.volume import Volume

_DICOM_PREFIX = 128
"""Bytes before the marker "DICM" of a DICOM file."""


def read_volume(
    path: Path | str,
    *,
    series: str | int | None = None,
    volume_index: int | None = None,
    spacing: float | Sequence[float] | None = None,
    strict: bool = False,
) -> Volume:
    """Reads one volume from a NIfTI file, DICOM (file, folder, zip, DICOMDIR), a TIFF stack, …

    Args:
        path: the file or folder.
        series, volume_index, spacing, strict: see `ReadOptions`.

    Raises:
        ScanNotFoundError: nothing is there.
        UnsupportedFormatError: not a kind of file that vcam reads.
        CorruptFileError: damaged.
        InconsistentSeriesError: DICOM slices that make no volume, or several series.
        InputError: an option that does not fit, or more voxels than the limit.
    """
    path = Path(path)
    options = ReadOptions(
        series=None if series is None else str(series),
        volume_index=volume_index,
        spacing=_spacing(spacing),
        strict=strict,
    )
    if not path.exists():
        raise ScanNotFoundError(
            f"There is no file or folder {str(path)!r}. Check the path; "
            "expected a .nii or .nii.gz file, a DICOM file or a folder with a DICOM series."
        )
    try:
        return _read(path, options)
    except OSError as error:
        if isinstance(error, ScanNotFoundError):
            raise
        raise CorruptFileError(
            f"{path.name} can't be read: {error.strerror or error}. Check its permissions, "
            "or copy it again."
        ) from error


def _spacing(given: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    values = tuple(float(v) for v in ([given] if isinstance(given, int | float) else given))
    if len(values) not in (1, 3) or not all(0 < v < float("inf") for v in values):
        raise InputError(
            f"Expected one spacing or three (columns, rows, slices) in mm above 0, received "
            f"{given!r}."
        )
    return values * 3 if len(values) == 1 else values


def _read(path: Path, options: ReadOptions) -> Volume:
    # nibabel and pydicom are imported when a file needs them
    from vcam_client import _dicom, _nifti

    if path.is_dir():
        return _dicom.read_dicom(path, options)
    if not path.is_file():
        raise UnsupportedFormatError(f"{path.name} is neither a file nor a folder.")
    if path.stat().st_size == 0:
        raise CorruptFileError(f"{path.name} is empty. Copy or download the file again.")
    if path.name.lower().endswith(_nifti.SUFFIXES):
        return _nifti.read_nifti(path, options)
    with path.open("rb") as stream:
        head = stream.read(_DICOM_PREFIX + 4)
    if head[_DICOM_PREFIX:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima", ".dicom"):
        return _dicom.read_dicom(path, options)
    raise UnsupportedFormatError(
        f"{path.name} is neither NIfTI nor DICOM. Give a .nii or .nii.gz file, a DICOM file "
        "or a folder with a DICOM series."
    )
