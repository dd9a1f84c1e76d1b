"""TIFF: stacks of slices, and single pictures.

tifffile finds the axes and decodes the pages, one at a time into the volume, so that
a stack is never held twice. Slices run along Z, or along the pages where the file names
no axes; whatever else there is (time, channels) makes further volumes.
"""

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from vcam_client._laboratory import no_spacing, picture, stack, upright
from vcam_client._limits import check_bytes, check_voxels
from vcam_client._options import ReadOptions, chosen_volume
from vcam_client._tiff_pages import count_pages
from vcam_client._tiff_spacing import stated_spacing
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError
from vcam_client.volume import Volume

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")

_SLICE_AXES = ("Z", "I", "Q")
"""Depth; pages without a name; an axis that tifffile was not told the name of."""
_AXIS_NAMES = {"T": "time", "C": "channels", "Q": "an axis without a name"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3
"""PhotometricInterpretation."""
_PHOTOMETRIC, _ORIENTATION, _COLOUR_MAP = 262, 274, 320
_OTHER_FORMATS = ("mmstack", "ndtiff", "svs", "scn", "qpi", "ndpi", "bif", "avs", "eer", "philips")
"""Slide scanners, and formats spread over several files, that tifffile would follow."""

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ElementTree.ParseError,
    LookupError,
    MemoryError,
    RuntimeError,  # all of imagecodecs, NotImplementedError and RecursionError
    TypeError,
    ValueError,  # TiffFileError
    struct.error,
)
"""What tifffile and imagecodecs raise on damaged files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """One volume of a file, before it is read.

    Attributes:
        first: tifffile's first page, which stands for all.
        pages: its pages, one for each slice; empty where `offsets` are known.
        offsets: where each slice begins that is stored as it is; ImageJ has no pages for those.
        shape: slices, rows and columns.
        dtype: of the values, native byte order.
    """

    first: Any
    pages: list[Any]
    offsets: list[int]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


def read_tiff(path: Path, options: ReadOptions) -> Volume:
    """Reads a stack (multi-page, BigTIFF, ImageJ, OME, tiled), or one slice as a picture.

    The spacing is the one in `options`, else what OME or ImageJ metadata state with a
    unit of length; a picture may have none. Dots per inch are those of a screen or of
    paper, and not taken.

    Returns:
        A volume in the file's own type; see `_laboratory` for its axes.

    Raises:
        UnsupportedFormatError: colours, or images of different kinds.
        CorruptFileError: truncated or damaged.
        InputError: no spacing, or several volumes and no index.
    """
    with _opened(path) as file:
        layout = _layout(file, path, options.volume_index)
        single = layout.shape[0] == 1
        spacing = options.spacing or stated_spacing(file, single=single)
        if single:
            return picture(_decoded(layout, file, path)[0], spacing, stem(path))
        if spacing is None:
            raise no_spacing(path.name, _without_spacing(file))
        return stack(_decoded(layout, file, path), spacing, stem(path))


def read_slice(path: Path) -> tuple[NDArray[Any], tuple[float, float, float] | None]:
    """One slice of a folder of slices: [rows, columns], and the spacing that it states.

    Raises:
        InputError: as `read_tiff`; also a file of several images.
    """
    with _opened(path) as file:
        layout = _layout(file, path, None)
        if layout.shape[0] != 1:
            raise UnsupportedFormatError(
                f"Expected one slice in each file of a folder, received {layout.shape[0]} in "
                f"{path.name}. Give the path of that file alone, or export one file for each slice."
            )
        return _decoded(layout, file, path)[0], stated_spacing(file, single=False)


def stem(path: Path) -> str:
    """The file name without its suffix, `.ome.tif` counting as one."""
    name = path.stem
    return name[: -len(".ome")] if name.lower().endswith(".ome") else name


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file, what goes wrong with it turned into an error of vcam, and no talk of it."""
    pages = count_pages(path)
    logger = logging.getLogger("tifffile")

    def silent(record: logging.LogRecord) -> bool:  # one of its own for each thread
        return False

    logger.addFilter(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags: dict[str, Any] = {f"is_{kind}": False for kind in _OTHER_FORMATS}
            with tifffile.TiffFile(path, _multifile=False, **flags) as file:
                _check_series(file, pages, path)
                yield file
    except (InputError, OSError):
        raise
    except _DAMAGE as error:
        raise CorruptFileError(
            f"{path.name} can't be decoded (damaged, or compressed in a way that vcam does not "
            "know). Export it again, uncompressed for example."
        ) from error
    finally:
        logger.removeFilter(silent)


def _check_series(file: tifffile.TiffFile, pages: int, path: Path) -> None:
    series = file.series
    if len(series) != 1:
        shapes = ", ".join("×".join(map(str, s.shape)) for s in series[:4])
        raise UnsupportedFormatError(
            f"Expected one stack in {path.name}, received {len(series)} images of shape {shapes}. "
            "Export the one wanted into a file of its own."
        )
    if file.is_ome and series[0].kind != "ome":
        raise UnsupportedFormatError(
            f"{path.name} is one of several files of an OME data set. Export it as a single file."
        )
    if "S" in series[0].axes:
        raise _colours(path)
    stated, held = int(np.prod(series[0].shape[:-2])), len(series[0].pages)
    # where ImageJ's own reckoning does not fit the file, tifffile falls back on its pages
    lost = file.is_imagej and series[0].kind not in ("imagej", "ome")
    contiguous = held == 1 and series[0].dataoffset is not None
    if lost or stated < pages or (held < stated and not contiguous) or None in series[0].pages:
        raise CorruptFileError(
            f"{path.name} does not hold all {max(stated, pages)} slices that it states. "
            "Copy it again, or export it anew."
        )


def _without_spacing(file: tifffile.TiffFile) -> str:
    if file.is_ome:
        return "OME metadata without three physical sizes"
    if file.is_imagej:
        return "ImageJ metadata without a unit of length or a slice spacing"
    return "a TIFF file that states none"


def _layout(file: tifffile.TiffFile, path: Path, index: int | None) -> _Layout:
    series: Any = file.series[0]
    first = series.pages[0].keyframe
    axes = series.axes
    _refuse_colours(first, axes, path)
    dtype = np.dtype(series.dtype)
    if axes[-2:] != "YX" or first.ndim != 2 or dtype.kind not in "iufb":
        raise UnsupportedFormatError(
            f"Expected slices of grey values in {path.name}, received axes {axes} of {dtype}. "
            "Export it as a plain stack of slices."
        )
    planes = np.arange(np.prod(series.shape[:-2], dtype=np.int64)).reshape(series.shape[:-2])
    depth = next((n for a in _SLICE_AXES if (n := axes.rfind(a)) >= 0), None)
    chosen = planes.reshape(-1, 1)
    further = axes[:-2]
    if depth is not None:
        chosen = np.moveaxis(planes, depth, -1).reshape(-1, series.shape[depth])
        further = axes[:depth] + axes[depth + 1 : -2]
    names = " and ".join(_AXIS_NAMES.get(axis, axis) for axis in further)
    rows, columns = series.shape[-2:]
    shape = (chosen.shape[1], rows, columns)
    what = f"({names}) of {columns}×{rows}×{shape[0]} voxels"
    row = chosen[chosen_volume(index, len(chosen), what if names else what[3:], path.name)]
    check_voxels(shape, path.name)
    kept = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
    start, stride = series.dataoffset, rows * columns * dtype.itemsize
    layout = _Layout(
        first=first,
        pages=[series.pages[int(n)] for n in row] if start is None else [],
        offsets=[] if start is None else [start + int(n) * stride for n in row],
        shape=shape,
        dtype=kept,
    )
    _check_segments(layout, file.filehandle.size, path)
    return layout


def _decoded(layout: _Layout, file: tifffile.TiffFile, path: Path) -> NDArray[Any]:
    """Values [slices, rows, columns]."""
    first, handle = layout.first, file.filehandle
    data = np.empty(layout.shape, layout.dtype)
    for page, plane in zip(layout.pages, data, strict=False):
        page.asarray(out=plane)
    for offset, plane in zip(layout.offsets, data, strict=False):
        handle.seek(offset)
        handle.read_array(file.byteorder + layout.dtype.char, plane.size, out=plane)
    if first.tags.valueof(_PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
        _invert(data, first.bitspersample, path)
    return upright(data, int(first.tags.valueof(_ORIENTATION, 1)))


def _refuse_colours(page: Any, axes: str, path: Path) -> None:
    kind = int(page.tags.valueof(_PHOTOMETRIC, _BLACK_IS_ZERO))
    grey = kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    if kind == _PALETTE:
        colours = np.asarray(page.tags.valueof(_COLOUR_MAP, ())).reshape(3, -1)
        ramp = np.linspace(0, np.iinfo(np.uint16).max, colours.shape[1])
        # ramps are written as 256·n or 257·n
        grey = bool(colours.size) and bool((np.abs(colours - ramp) < 2**8).all())
    if "S" in axes or not grey:
        raise _colours(path)


def _colours(path: Path) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"Expected grey values, received colours in {path.name}: a model takes one value for "
        "each voxel. Export one channel, or convert it to grey."
    )


def _check_segments(layout: _Layout, size: int, path: Path) -> None:
    """Raises unless all strips or tiles are there; before anything is allocated."""
    first = layout.first
    plane = layout.shape[1] * layout.shape[2] * layout.dtype.itemsize
    check_bytes(plane * layout.shape[0], path.name)
    check_voxels(tuple(first.chunks), path.name)
    segments = int(np.prod(first.chunked))
    sound = [offset > 0 and offset + plane <= size for offset in layout.offsets]
    for page in layout.pages:
        offsets, counts = page.dataoffsets, page.databytecounts
        if page.keyframe.is_contiguous:
            sound.append(bool(offsets) and offsets[0] > 0 and offsets[0] + plane <= size)
        else:
            sound.append(
                len(offsets) == len(counts) == segments
                and all(
                    min(offset, count) > 0 and offset + count <= size
                    for offset, count in zip(offsets, counts, strict=True)
                )
            )
    if not all(sound):
        raise CorruptFileError(
            f"{path.name} breaks off or is damaged: slice {sound.index(False)} of {len(sound)} is "
            "not wholly in the file. Copy it again, or export it anew."
        )


def _invert(data: NDArray[Any], bits: int, path: Path) -> None:
    if data.dtype.kind != "u":
        raise UnsupportedFormatError(
            f"{path.name} states that 0 is white, which says nothing of {data.dtype} values. "
            "Export it with black as 0."
        )
    np.subtract(data.dtype.type(2**bits - 1), data, out=data)
