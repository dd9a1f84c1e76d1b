"""NIfTI: reading volumes, writing heatmaps.

The bytes are read by `_gzip` rather than by nibabel's array proxies: a gzip stream
is read to its end, so that its checksum is verified, and voxels are a view of
the decompressed bytes. Headers and affines are nibabel's.
"""

import io
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from vcam_client._deflate import gzip_bytes
from vcam_client._gzip import head_of, span_of
from vcam_client._limits import MAX_FILE_BYTES, check_voxels
from vcam_client._nifti_place import place_of
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")

_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_EXTENSION_BYTES = 12
"""What follows a header: whether there are extensions, then size and code of the first."""
_CIFTI_EXTENSION = 32
_CIFTI_INTENTS = range(3000, 3100)
"""NIFTI_INTENT_CONNECTIVITY_* of CIFTI-2."""
_RGB_DATATYPES = (128, 2304)
_TEXT_FIELDS = ("descrip", "db_name", "data_type", "aux_file", "intent_name")
_MAX_DIMENSIONS = 7
_DEFAULTS = ReadOptions()


def read_nifti(path: Path, options: ReadOptions = _DEFAULTS) -> Volume:
    """Reads `.nii`, `.nii.gz` and hdr/img pairs, NIfTI-1 and -2, any byte order.

    The affine is the sform where its code is 1 to 5, else the qform where its code is,
    else the voxel sizes alone, with i running to the left and the volume's centre at the
    origin: all as nibabel does, and with its repairs (see `_nifti_place`). A sheared
    affine stays as it is.

    scl_slope and scl_inter are applied; values stored in up to 16 bits, or as float32,
    become float32, wider ones float64. Without them voxels keep their type.

    Args:
        path: the file; either half of a pair.
        options: `volume_index` counts the volumes of more than three dimensions in the
            order in which they are stored. `strict` refuses a place that is assumed.

    Returns:
        A volume, data [I, J, K] in native byte order.

    Raises:
        UnsupportedFormatError: no NIfTI, or voxels that are no scalars on a grid.
        CorruptFileError: truncated, a checksum that is wrong, or a slope whose intercept is
            no number.
        InputError: several volumes and no index, an index out of range, or an option
            that NIfTI has no use for.
    """
    if options.spacing is not None:
        raise InputError(
            f"{path.name} is a NIfTI file, which states its own spacing. Leave out --spacing, "
            "or repair the file's pixdim and sform."
        )
    header_path, data_path = _files(path)
    head = head_of(header_path, _NIFTI2_BYTES + _EXTENSION_BYTES)
    header = _header(head, header_path)
    _refuse_cifti(header, head, path)
    shape, volumes = _shape(header, path)
    dtype = _voxel_dtype(header, path)
    voxels_each = f"of {'×'.join(map(str, shape))} voxels"
    index = chosen_volume(options.volume_index, volumes, voxels_each, path.name)
    place = place_of(header, path.name, strict=options.strict)
    first = _first_voxel(header, path, paired=data_path != header_path)
    rescale = _rescale(header, path)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    voxels = span_of(data_path, first + index * size, size, first + volumes * size)
    return Volume(
        data=_scaled(_native(voxels.view(dtype)).reshape(shape, order="F"), rescale),
        affine=place.affine,
        name=stem(path),
        warnings=place.warnings,
        nifti_header=_geometry_only(place.header),
    )


def stem(path: Path) -> str:
    """The file name without the suffixes of a NIfTI file."""
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def nifti_bytes(
    data: NDArray[np.uint8 | np.int8], volume: Volume, scale: float, largest: float = 1.0
) -> bytes:
    """A gzipped NIfTI of `data` with exactly the geometry of `volume`.

    Args:
        data: uint8 or int8 [I, J, K].
        volume: where it lies; a NIfTI source keeps its sform, qform and codes.
        scale: physical value of one step, written as scl_slope.
        largest: physical value up to which viewers should show it.
    """
    source = volume.nifti_header
    kind: Any = nib.Nifti2Image if isinstance(source, nib.Nifti2Header) else nib.Nifti1Image
    header = kind.header_class()
    if source is not None:
        for key in _GEOMETRY_FIELDS:
            header[key] = source[key]
        image = kind(data, None, header)
    else:
        image = kind(data, volume.affine, header)
        image.header.set_xyzt_units("mm")
    image.header.set_data_dtype(data.dtype)
    image.header.set_slope_inter(scale, 0)
    image.header["cal_min"] = -largest if data.dtype.kind == "i" else 0
    image.header["cal_max"] = largest
    image.header["vox_offset"] = image.header.single_vox_offset
    head = io.BytesIO()
    image.header.write_to(head)
    voxels = np.ascontiguousarray(data.transpose(2, 1, 0))  # the first index runs fastest
    head_bytes = head.getvalue().ljust(int(image.header["vox_offset"]), b"\0")
    return gzip_bytes(head_bytes, voxels.view(np.uint8))


_GEOMETRY_FIELDS = (
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)


def _files(path: Path) -> tuple[Path, Path]:
    """Header file and voxel file; the same for a single file."""
    name = path.name.lower()
    for half, other in ((".hdr", ".img"), (".img", ".hdr")):
        for packed in ("", ".gz"):
            if name.endswith(half + packed):
                mate = path.with_name(path.name[: -len(half + packed)] + other + packed)
                if not mate.is_file():  # a pipe is not opened
                    raise CorruptFileError(
                        f"{path.name} is one half of a pair; {mate.name} is missing beside it. "
                        "Copy both files to the same folder."
                    )
                return (path, mate) if half == ".hdr" else (mate, path)
    return path, path


def _header(head: bytes, path: Path) -> Any:
    kinds: tuple[tuple[Any, int], ...] = (
        (nib.Nifti1Header, _NIFTI1_BYTES),
        (nib.Nifti2Header, _NIFTI2_BYTES),
    )
    for kind, size in kinds:
        if len(head) < size:
            continue
        sizeof = head[:4]
        if size in (int.from_bytes(sizeof, "little"), int.from_bytes(sizeof, "big")):
            try:
                header = kind(head[:size], check=False)
                magic = header["magic"].item().rstrip(b"\0")
            except (HeaderDataError, ValueError) as error:
                raise CorruptFileError(
                    f"The NIfTI header of {path.name} can't be read: {error}. "
                    "Convert the original scan again."
                ) from error
            if magic[:1] == b"n":
                return header
            raise UnsupportedFormatError(
                f"{path.name} is an Analyze 7.5 file: it does not say left from right. "
                "Convert the original scan to NIfTI, with dcm2niix for example."
            )
    raise UnsupportedFormatError(
        f"{path.name} is not a NIfTI file: it has no NIfTI header. Give a .nii or .nii.gz file, "
        "or a DICOM folder."
    )


def _refuse_cifti(header: Any, head: bytes, path: Path) -> None:
    size = int(header["sizeof_hdr"])
    extension = head[size : size + _EXTENSION_BYTES].ljust(_EXTENSION_BYTES, b"\0")
    code = int(np.frombuffer(extension[-4:], header.endianness + "i4")[0])
    if int(header["intent_code"]) in _CIFTI_INTENTS or (extension[0] and code == _CIFTI_EXTENSION):
        raise UnsupportedFormatError(
            f"{path.name} is a CIFTI-2 file: a table over surface vertices and voxels, not a "
            "volume. Give the volume that it was made from."
        )


def _shape(header: Any, path: Path) -> tuple[tuple[int, int, int], int]:
    """Voxels along i, j, k, and how many such volumes the file holds."""
    dimensions = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : 1 + max(0, dimensions)]]
    if not sizes or any(n < 1 for n in sizes) or dimensions > _MAX_DIMENSIONS:
        raise CorruptFileError(
            f"{path.name} states impossible dimensions {[int(n) for n in header['dim']]}. "
            "Convert the original scan again."
        )
    i, j, k = (*sizes[:3], 1, 1)[:3]
    check_voxels((i, j, k), path.name)
    return (i, j, k), math.prod(sizes[3:])


def _first_voxel(header: Any, path: Path, *, paired: bool) -> int:
    """Byte at which the voxels of the first volume begin."""
    offset = float(header["vox_offset"])
    if not 0 <= offset < MAX_FILE_BYTES:
        raise CorruptFileError(
            f"{path.name} states that its voxels begin at byte {offset:g}. "
            "Convert the original scan again."
        )
    return int(offset) if paired else max(int(offset), header.single_vox_offset)


def _voxel_dtype(header: Any, path: Path) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise CorruptFileError(
            f"{path.name} states the unknown voxel type {code}. Convert the original scan again."
        ) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kinds = {
            "c": "complex numbers",
            "V": "RGB colours" if code in _RGB_DATATYPES else "voxels without a type",
            "f": "128-bit floats",
        }
        raise UnsupportedFormatError(
            f"Expected scalar voxels, {path.name} holds {kinds.get(dtype.kind, str(dtype))} "
            f"(NIfTI datatype {code}). Export the grey values or the magnitude as a scalar volume."
        )
    return dtype


def _native(stored: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in this machine's byte order, in place."""
    if stored.dtype.isnative:
        return stored
    return stored.byteswap(inplace=True).view(stored.dtype.newbyteorder())


def _rescale(header: Any, path: Path) -> tuple[float, float]:
    """Slope and intercept; a slope that is 0 or no number means that there is no rescale."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    if not np.isfinite(inter):
        raise CorruptFileError(
            f"{path.name} states the slope {slope:g} for its values, but its intercept (scl_inter) "
            f"is {inter:g}. Convert the original scan again, or repair the header."
        )
    return slope, inter


def _scaled(stored: NDArray[Any], rescale: tuple[float, float]) -> NDArray[Any]:
    slope, inter = rescale
    if rescale == (1.0, 0.0):
        return stored
    kind = np.float64 if stored.dtype.itemsize > 2 and stored.dtype != np.float32 else np.float32
    values: NDArray[Any] = stored.astype(kind)
    with np.errstate(all="ignore"):  # a model refuses what is not finite
        np.multiply(values, slope, out=values)
        np.add(values, inter, out=values)
    return values


def _geometry_only(header: Any) -> Any:
    """The header without its free texts, which may name a patient."""
    kept = header.copy()
    for field in _TEXT_FIELDS:
        if field in kept.keys():  # noqa: SIM118 - a header is no mapping
            kept[field] = b""
    return kept
