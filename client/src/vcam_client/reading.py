"""Reads a scan, whatever it is stored as."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._foreign import ForeignKind, foreign_kind, refusal
from vcam_client._missing import Nan, check_nan, unmasked, without_nan
from vcam_client._options import ReadOptions
from vcam_client._paths import given_path, require_content, unreadable, why_unreadable, with_name
from vcam_client.errors import (
    CorruptFileError,
    InputError,
    ScanNotFoundError,
    UnsupportedFormatError,
    VcamError,
)
from vcam_client.volume import Volume

_ZIP_MAGIC = b"PK\x03\x04"
_DICOM_PREFIX = 128
"""Bytes before the marker "DICM" of a DICOM file."""
_HEAD_BYTES = 133
_DATA_SET_STARTS = tuple(bytes((8, 0, element, 0)) for element in (0, 5, 8, 0x16))
"""How DICOM without a preamble begins: length, character set, image type or SOP class."""
_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_BY_NAME: dict[str, tuple[str, ...]] = {
    "nifti": (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
    "metaimage": (".mha", ".mhd"),
    "mgh": (".mgh", ".mgz", ".mgh.gz"),
}
"""Kinds that are known by the ends of their names."""
_KINDS: dict[str, tuple[tuple[bytes, ...], tuple[str, ...]]] = {
    "tiff": (
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        (".tif", ".tiff", ".btf", ".tf8"),
    ),
    "npy": ((b"\x93NUMPY",), (".npy",)),
    "picture": ((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"), (".png", ".jpg", ".jpeg")),
    "nrrd": ((b"NRRD000",), (".nrrd", ".nhdr")),
}
"""How files of each kind begin, and the ends of names that promise it."""
_READERS = {
    "nifti": ("_nifti", "read_nifti"),
    "metaimage": ("_metaimage", "read_metaimage"),
    "mgh": ("_mgh", "read_mgh"),
    "nrrd": ("_nrrd", "read_nrrd"),
    "tiff": ("_tiff", "read_tiff"),
    "npy": ("_npy", "read_npy"),
    "picture": ("_pictures", "read_picture"),
}
"""Modules, which bring nibabel, tifffile, …: imported when a file needs them."""

_DETACHED = {".mhd": "_metaimage_header", ".nhdr": "_nrrd_header"}
"""Headers whose voxels may be in a file beside them, and the modules that know which."""


def read_volume(
    path: Path | str,
    *,
    series: str | int | None = None,
    volume_index: int | None = None,
    spacing: float | Sequence[float] | None = None,
    strict: bool = False,
    nan: Nan | None = None,
) -> Volume:
    """Reads one volume: NIfTI, DICOM (file, folder, zip, DICOMDIR), NRRD, TIFF, PNG, ….

    What a file is follows from how it begins; NIfTI, MetaImage and MGH from their names, unless
    DICOM's marker is in it. docs/formats.md says what of each kind is read, and how axes, spacing
    and units are taken.

    Args:
        path: the file or folder.
        series, volume_index, spacing, strict, nan: see `ReadOptions`.

    Raises:
        ScanNotFoundError: nothing is there, or its content was not fetched (git-annex).
        UnsupportedFormatError: not a kind of file that vcam reads.
        CorruptFileError: damaged, or not to be opened.
        InconsistentSeriesError: DICOM slices that make no volume, or several series.
        InputError: an option that does not fit, an empty path, or more voxels than the limit.
    """
    path = with_name(given_path(path))
    options = read_options(
        series=series, volume_index=volume_index, spacing=spacing, strict=strict, nan=nan
    )
    problem = why_unreadable(path)
    if problem is not None:
        raise problem
    try:
        return without_nan(_read(path, options), options.nan)
    except OSError as error:
        if isinstance(error, ScanNotFoundError):
            raise
        raise unreadable(path, error) from error


def as_volume(
    scan: Path | str | Volume | NDArray[Any],
    *,
    series: str | int | None = None,
    volume_index: int | None = None,
    spacing: float | Sequence[float] | None = None,
    strict: bool = False,
    nan: Nan | None = None,
) -> Volume:
    """A volume from whatever a scan is given as.

    Args:
        scan: a path for `read_volume`, a volume, or an array [slices, rows, columns], or
            [rows, columns] of one image, which becomes a single slice. Maps come back in
            the array's own order of axes. What a masked array hides is padding: kept out
            of resampling, statistics and what the model sees.
        series, volume_index, strict: see `ReadOptions`; for paths.
        nan: see `ReadOptions`; for all of them.
        spacing: see `ReadOptions`; for paths and arrays. An array without has an unknown one.

    Raises:
        InputError: an array of the wrong kind, or an option that does not fit; else as
            `read_volume`.
    """
    if isinstance(scan, Volume):
        if spacing is not None or series is not None or volume_index is not None:
            raise InputError("Expected reading options with a path only, received a volume.")
        return without_nan(scan, check_nan(nan))
    if not isinstance(scan, np.ndarray | str | Path):
        raise InputError(
            f"Expected a path, a Volume or a NumPy array as a scan, received {type(scan).__name__}."
        )
    if not isinstance(scan, np.ndarray):
        return read_volume(
            scan, series=series, volume_index=volume_index, spacing=spacing, strict=strict, nan=nan
        )
    if scan.ndim not in (2, 3):
        raise InputError(
            f"Expected an array [slices, rows, columns] or [rows, columns], received {scan.shape}."
        )
    known = _spacing(spacing)
    columns, rows, slices = known or (1.0, 1.0, 1.0)
    # slices run to S (those of one image to P), rows to P (to I), columns to L
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[0, 2] = -columns
    if scan.ndim == 3:
        affine[2, 0], affine[1, 1] = slices, -rows
    else:
        affine[1, 0], affine[2, 1] = -slices, -rows
    nan = check_nan(nan)
    data, padding = unmasked(scan, "The array", nan)
    volume = Volume(
        data=data if data.ndim == 3 else data[None],
        affine=affine,
        name="array",
        padding=padding,
        spacing_known=known is not None,
        anatomical=False,
        slowest_first=True,
    )
    return without_nan(volume, nan)


def read_options(
    *,
    series: str | int | None = None,
    volume_index: int | None = None,
    spacing: float | Sequence[float] | None = None,
    strict: bool = False,
    nan: Nan | None = None,
) -> ReadOptions:
    """The options of `read_volume`, checked.

    Raises:
        InputError: an option of the wrong kind.
    """
    return ReadOptions(
        series=None if series is None else str(series),
        volume_index=volume_index,
        spacing=_spacing(spacing),
        strict=strict,
        nan=check_nan(nan),
    )


def kind_of(path: Path) -> str:
    """What `read_volume` takes a file for, from its name and first bytes; it is not read further.

    "nifti", "metaimage", "mgh", "nrrd", "tiff", "npy", "picture" or "zip"; "foreign" where
    vcam doesn't read what the name says; "misnamed" where the name promises what the bytes
    are not; else "dicom", which may turn out to be nothing that vcam reads.

    Raises:
        OSError: it can't be opened.
    """
    kind = _kind(path)
    if kind is None and _misnamed(path):
        return "misnamed"
    if kind is None and _foreign(path) is not None:
        return "foreign"
    return kind or ("zip" if _head(path).startswith(_ZIP_MAGIC) else "dicom")


def holds_dicom(path: Path) -> bool:
    """Whether `read_volume` takes a file or folder as DICOM; so for all it doesn't recognise."""
    if path.is_dir():
        return not _slices_in(path)
    if not path.is_file() or path.stat().st_size == 0:
        return False
    return _kind(path) is None and not _misnamed(path) and _foreign(path) is None


def data_of_headers(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The data files that headers in a folder name, by the headers' names.

    Args:
        folder: where they are.
        names: of its files; those of .mhd and .nhdr headers are opened.
    """
    found = {}
    for name in names:
        module = _DETACHED.get(Path(name).suffix.lower())
        if module is None:
            continue
        try:
            named = import_module(f"vcam_client.{module}").data_file_named(folder / name)
        except (OSError, VcamError):
            continue  # a header that can't be read is a scan that fails
        if named:
            found[name] = named.replace("\\", "/")
    return found


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
    if path.is_dir():
        return _read_folder(path, options)
    if not path.is_file():
        raise UnsupportedFormatError(f"{path.name} is neither a file nor a folder.")
    if path.stat().st_size == 0:
        raise CorruptFileError(f"{path.name} is empty. Copy or download the file again.")
    kind = _kind(path)
    require_content(path, "NIfTI file" if kind == "nifti" else "scan")
    if kind is None and (promised := _misnamed(path)):
        raise CorruptFileError(
            f"{path.name} is named as a {promised} file, but does not begin as one. "
            "Copy or download the file again."
        )
    if kind is None:
        if (foreign := _foreign(path)) is not None:
            raise refusal(path, foreign)
        return _read_dicom(path, options)
    if options.series is not None:
        raise InputError(f"{path.name} is no DICOM file, it has no series. Leave out --series.")
    module, function = _READERS[kind]
    read: Any = getattr(import_module(f"vcam_client.{module}"), function)
    volume: Volume = read(path, options)
    return volume


def _read_dicom(path: Path, options: ReadOptions) -> Volume:
    from vcam_client import _dicom

    return _dicom.read_dicom(path, options)


def _read_folder(path: Path, options: ReadOptions) -> Volume:
    slices = _slices_in(path) if options.series is None else []
    if slices:
        from vcam_client._slice_folder import read_slices

        return read_slices(path, slices, options)
    return _read_dicom(path, options)


def _slices_in(folder: Path) -> list[Path]:
    """The TIFF slices directly in a folder, else its PNG slices; none where DICOM is about."""
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    for suffixes in (_KINDS["tiff"][1], (".png",)):
        slices = [p for p in files if p.name.lower().endswith(suffixes)]
        if slices:
            return [] if any(_is_dicom(p) for p in folder.rglob("*") if p.is_file()) else slices
    return []


def _is_dicom(path: Path) -> bool:
    return path.suffix.lower() in _DICOM_SUFFIXES or _marked(_head(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def _marked(head: bytes) -> bool:
    """Whether DICOM's marker is there, or a byte before or behind, as of files cut out badly."""
    return b"DICM" in head[_DICOM_PREFIX - 1 : _DICOM_PREFIX + 5]


def _kind(path: Path) -> str | None:
    """What a file is by its name, else the way it begins; None for DICOM and the unknown."""
    name = path.name.lower()
    named = next((kind for kind, suffixes in _BY_NAME.items() if name.endswith(suffixes)), None)
    try:
        head = _head(path)
    except OSError:
        if named is None:
            raise
        return named  # its reader says why it can't be opened
    if _marked(head):
        return None  # whatever its name, and though it may be a TIFF besides
    if named is not None:
        return None if _is_lone_data_set(path, head) else named
    return next((kind for kind, (magics, _) in _KINDS.items() if head.startswith(magics)), None)


def _foreign(path: Path) -> ForeignKind | None:
    """The kind that a file's name says, unless vcam reads it or it is DICOM."""
    kind = foreign_kind(path)
    return None if kind is None or _marked(_head(path)) else kind


def _is_lone_data_set(path: Path, head: bytes) -> bool:
    """Whether a file named .img is no half of a pair, but begins as DICOM without a preamble."""
    lone = path.suffix.lower() == ".img" and not any(
        path.with_suffix(suffix).exists() for suffix in (".hdr", ".HDR", ".hdr.gz")
    )
    return lone and head.startswith(_DATA_SET_STARTS)


def _misnamed(path: Path) -> str:
    """The kind that a file's name promises and its bytes don't; "" where there is none."""
    if _marked(_head(path)):
        return ""
    name = path.name.lower()
    return next((s for _, suffixes in _KINDS.values() for s in suffixes if name.endswith(s)), "")
