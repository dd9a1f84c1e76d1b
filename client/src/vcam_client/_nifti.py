"""NIfTI: reading volumes, writing heatmaps.

The bytes are read here rather than by nibabel's array proxies: a gzip stream
is read to its end, so that its checksum is verified, and voxels are a view of
the decompressed bytes. Headers and affines are nibabel's.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from vcam_client._limits import check_voxels
from vcam_client._options import ReadOptions
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 needs 348
_MAX_TRAILING_BYTES = 1 << 20
_DEFAULTS = ReadOptions()
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: Path, options: ReadOptions = _DEFAULTS) -> Volume:
    """Reads `.nii`, `.nii.gz` and hdr/img pairs, NIfTI-1 and -2, any byte order.

    The affine is the sform where its code is positive, else the qform, else
    voxel sizes alone. scl_slope and scl_inter are applied.

    Raises:
        UnsupportedFormatError: no NIfTI, or voxels that are no scalars.
        CorruptFileError: truncated, or a checksum that is wrong.
        InputError: more than three dimensions.
    """
    header_path, data_path = _files(path)
    with _open(header_path) as stream:
        head = _read(stream, _HEADER_BYTES, header_path)
        header = _header(head, header_path)
        shape = _shape(header, path)
        dtype = _voxel_dtype(header, path)
        count = int(np.prod(shape, dtype=np.int64))
        if data_path == header_path:
            start = max(int(header["vox_offset"]), int(header["sizeof_hdr"]))
            voxels = _voxels(stream, head, start, count * dtype.itemsize, path)
        else:
            with _open(data_path) as data_stream:
                start = int(header["vox_offset"])
                voxels = _voxels(data_stream, b"", start, count * dtype.itemsize, data_path)
    stored = np.frombuffer(voxels, dtype, count).reshape(shape, order="F")
    return Volume(
        data=_scaled(stored, header),
        affine=_affine(header, path),
        name=stem(path),
        nifti_header=header,
    )


def stem(path: Path) -> str:
    """The file name without the suffixes of a NIfTI file."""
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def nifti_bytes(data: NDArray[np.uint8], volume: Volume, scale: float) -> bytes:
    """A gzipped NIfTI of `data` with exactly the geometry of `volume`.

    Args:
        data: uint8 [I, J, K].
        volume: where it lies; a NIfTI source keeps its sform, qform and codes.
        scale: physical value of one step, written as scl_slope.
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
    image.header.set_data_dtype(np.uint8)
    image.header.set_slope_inter(scale, 0)
    image.header["cal_min"], image.header["cal_max"] = 0, 1
    stream = io.BytesIO()
    # fileobj without a name and a fixed time: the same heatmap gives the same bytes
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed:
        head = io.BytesIO()
        image.header["vox_offset"] = image.header.single_vox_offset
        image.header.write_to(head)
        packed.write(head.getvalue().ljust(int(image.header["vox_offset"]), b"\0"))
        for plane in data.transpose(2, 1, 0):
            packed.write(np.ascontiguousarray(plane).tobytes())
    return stream.getvalue()


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
                if not mate.exists():
                    raise CorruptFileError(
                        f"{path.name} is one half of a pair; {mate.name} is missing beside it. "
                        "Copy both files to the same folder."
                    )
                return (path, mate) if half == ".hdr" else (mate, path)
    return path, path


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where it is gzipped, whatever its name says."""
    with path.open("rb") as stream:
        magic = stream.read(2)
        stream.seek(0)
        if magic == _GZIP_MAGIC:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            yield stream


def _read(stream: IO[bytes], size: int, path: Path) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptFileError(
            f"{path.name} is damaged: its gzip stream breaks off or its checksum is wrong "
            f"({error}). Copy or download the file again."
        ) from error


def _header(head: bytes, path: Path) -> Any:
    kinds: tuple[tuple[Any, int], ...] = ((nib.Nifti1Header, 348), (nib.Nifti2Header, 540))
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


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    sizes = [int(n) for n in header["dim"][1 : 1 + max(0, min(7, int(header["dim"][0])))]]
    if not sizes or any(n < 1 for n in sizes) or int(header["dim"][0]) > 7:
        raise CorruptFileError(
            f"{path.name} states impossible dimensions {[int(n) for n in header['dim']]}. "
            "Convert the original scan again."
        )
    if any(n != 1 for n in sizes[3:]):
        raise InputError(
            f"Expected one 3-D volume, received {len(sizes)}-D data of shape "
            f"{'×'.join(map(str, sizes))} in {path.name}. Split it (fslsplit, nibabel's "
            "four_to_three) and give one volume."
        )
    i, j, k = (*sizes[:3], 1, 1)[:3]
    check_voxels((i, j, k), path.name)
    return i, j, k


def _voxel_dtype(header: Any, path: Path) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise CorruptFileError(
            f"{path.name} states the unknown voxel type {code}. Convert the original scan again."
        ) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kinds = {"c": "complex numbers", "V": "RGB colours", "f": "128-bit floats"}
        raise UnsupportedFormatError(
            f"Expected scalar voxels, {path.name} holds {kinds.get(dtype.kind, str(dtype))} "
            f"(NIfTI datatype {code}). Export the grey values or the magnitude as a scalar volume."
        )
    return dtype


def _voxels(stream: IO[bytes], head: bytes, start: int, size: int, path: Path) -> bytes:
    """The bytes of the voxels; reads the stream to its end, so that gzip verifies it."""
    skip = start - len(head)
    if skip < 0:
        lead, skip = head[start:], 0
    else:
        lead = b""
        while skip > 0:
            chunk = _read(stream, min(skip, _MAX_TRAILING_BYTES), path)
            if not chunk:
                break
            skip -= len(chunk)
    body = _read(stream, max(0, size - len(lead)), path)
    data = lead[:size] + body if lead else body
    if skip or len(data) < size:
        raise CorruptFileError(
            f"{path.name} breaks off: its header states {size} bytes of voxels, the file holds "
            f"{len(data)}. Copy or download the file again."
        )
    trailing = len(lead) - len(lead[:size])
    while chunk := _read(stream, _MAX_TRAILING_BYTES, path):
        trailing += len(chunk)
        if trailing > _MAX_TRAILING_BYTES:
            break
    if trailing > _MAX_TRAILING_BYTES:
        raise CorruptFileError(
            f"{path.name} holds more data than its header states. Convert the original scan again."
        )
    return data


def _scaled(stored: NDArray[Any], header: Any) -> NDArray[Any]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return stored
    inter = inter if np.isfinite(inter) else 0.0
    if (slope, inter) == (1.0, 0.0):
        return stored
    kind = np.float64 if stored.dtype.itemsize > 2 and stored.dtype != np.float32 else np.float32
    values: NDArray[Any] = stored.astype(kind)
    np.multiply(values, slope, out=values)
    np.add(values, inter, out=values)
    return values


def _affine(header: Any, path: Path) -> NDArray[np.float64]:
    try:
        affine = np.array(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError) as error:
        raise CorruptFileError(
            f"The orientation in {path.name} can't be read: {error}. Repair its qform."
        ) from error
    unit = header.get_xyzt_units()[0] if int(header["xyzt_units"]) & 7 in (0, 1, 2, 3) else "mm"
    affine[:3] *= _MM_PER_UNIT[unit]
    return affine
