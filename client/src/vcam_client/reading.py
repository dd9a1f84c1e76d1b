"""Reads a scan, whatever it is stored as."""

from pathlib import Path

from vcam_client.errors import CorruptFileError, ScanNotFoundError, UnsupportedFormatError
from vcam_client.volume import Volume

_DICOM_PREFIX = 128
"""Bytes before the marker "DICM" of a DICOM file."""


def read_volume(path: Path | str) -> Volume:
    """Reads one volume: a NIfTI file, a DICOM file, or a folder with one DICOM series.

    Raises:
        ScanNotFoundError: nothing is there.
        UnsupportedFormatError: not a kind of file that vcam reads.
        CorruptFileError: damaged.
        InconsistentSeriesError: DICOM slices that make no volume.
    """
    path = Path(path)
    if not path.exists():
        raise ScanNotFoundError(
            f"There is no file or folder {str(path)!r}. Check the path; "
            "expected a .nii or .nii.gz file, a DICOM file or a folder with a DICOM series."
        )
    try:
        return _read(path)
    except OSError as error:
        if isinstance(error, ScanNotFoundError):
            raise
        raise CorruptFileError(
            f"{path.name} can't be read: {error.strerror or error}. Check its permissions, "
            "or copy it again."
        ) from error


def _read(path: Path) -> Volume:
    # nibabel and pydicom are imported when a file needs them
    from vcam_client import _dicom, _nifti

    if path.is_dir():
        return _dicom.read_dicom(path)
    if not path.is_file():
        raise UnsupportedFormatError(f"{path.name} is neither a file nor a folder.")
    if path.stat().st_size == 0:
        raise CorruptFileError(f"{path.name} is empty. Copy or download the file again.")
    if path.name.lower().endswith(_nifti.SUFFIXES):
        return _nifti.read_nifti(path)
    with path.open("rb") as stream:
        head = stream.read(_DICOM_PREFIX + 4)
    if head[_DICOM_PREFIX:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima", ".dicom"):
        return _dicom.read_dicom(path)
    raise UnsupportedFormatError(
        f"{path.name} is neither NIfTI nor DICOM. Give a .nii or .nii.gz file, a DICOM file "
        "or a folder with a DICOM series."
    )
