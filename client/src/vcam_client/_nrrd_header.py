"""The text header of an NRRD file; values are parsed by pynrrd."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._beside import beside
from vcam_client._coded import BZIP2, GZIP, RAW
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError

_MAX_BYTES = 1 << 20
_FIELDS = frozenset(
    {
        "dimension", "type", "encoding", "sizes", "endian", "kinds", "spacings", "units", "space",
        "space dimension", "space units", "space directions", "space origin", "data file",
        "line skip", "byte skip",
    }
)  # fmt: skip
"""What is read; all else, such as texts about the patient, is passed over."""
_TOGETHER = {field.replace(" ", ""): field for field in _FIELDS if " " in field}
_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: kind for kind, names in _TYPES.items() for name in names.split(", ")}
_CODINGS = {"raw": RAW, "gzip": GZIP, "gz": GZIP, "bzip2": BZIP2, "bz2": BZIP2}
_TEXT = ("ascii", "text", "txt", "hex")
_ENDS = {"little": "<", "big": ">"}
_BLANK = re.compile(rb"\n\r?\n")
_DAMAGE = (ValueError, TypeError, OverflowError, IndexError, KeyError, AttributeError)


@dataclass(frozen=True, kw_only=True, eq=False)
class NrrdHeader:
    """What an NRRD header states.

    Attributes:
        sizes: of the axes, the fastest first.
        dtype: of the voxels as they are stored.
        coding: RAW, GZIP or BZIP2.
        data_file: where the voxels are; the file itself, or the one that it names.
        at: byte of `data_file` at which they begin, before `skipped` and decoding.
        skipped: decoded bytes in front of the voxels; -1 where the voxels are the end of it.
        fields: kinds, spacings, units and space, as pynrrd parses them.
    """

    sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    coding: str
    data_file: Path
    at: int
    skipped: int
    fields: dict[str, Any]

    def directions(self) -> NDArray[np.float64] | None:
        """float64 [axes, space]: the step along each axis, NaN for those not in space."""
        stated = self.fields.get("space directions")
        if stated is None:
            return None
        rows = [np.full(1, np.nan) if row is None else np.atleast_1d(row) for row in stated]
        width = max((len(row) for row in rows), default=0)
        whole = [np.full(width, np.nan) if np.isnan(row).all() else row for row in rows]
        return np.array(whole, np.float64)


def data_file_named(path: Path) -> str | None:
    """The data file that a header names, as it stands there; None where it names none."""
    text, _ = _text(path)
    return next((v for n, v in _lines(text) if n == "data file"), None)


def read_nrrd_header(path: Path) -> NrrdHeader:
    """Reads and checks a header.

    Raises:
        UnsupportedFormatError: text, several data files, or no scalar voxels.
        CorruptFileError: no header, or one that contradicts itself.
        InputError: a data file outside of its folder.
    """
    import nrrd

    text, end = _text(path)
    lines = _lines(text)
    named = [value for name, value in lines if name == "data file"]
    if named and (named[0].startswith("LIST") or "%" in named[0]):
        raise UnsupportedFormatError(
            f"{path.name} spreads its voxels over several files. Save it as one file, with "
            "3D Slicer or `unu save` for example."
        )
    try:
        fields: dict[str, Any] = dict(
            nrrd.read_header(["NRRD0005", *(f"{name}: {value}" for name, value in lines)])
        )
        # pynrrd takes them through floats, and cuts off what follows a point
        sizes = tuple(int(n) for n in dict(lines)["sizes"].split())
        contradicts = len(sizes) != fields["dimension"] or any(n < 1 for n in sizes)
    except (nrrd.NRRDError, *_DAMAGE) as error:
        raise _damaged(path) from error
    if contradicts:
        raise _damaged(path)
    dtype = _dtype(fields, path)
    coding = _coding(fields, path)
    data_file, at = path, end
    if named:
        data_file, at = beside(path, named[0]), 0
    elif end < 0:
        raise CorruptFileError(
            f"{path.name} breaks off: its header has no end. Copy or download the file again."
        )
    skipped = int(fields.get("byte skip", 0))
    lines_skipped = int(fields.get("line skip", 0))
    if skipped < -1 or lines_skipped < 0 or (skipped == -1 and coding != RAW):
        raise _damaged(path)
    at = _after_lines(data_file, at, lines_skipped)
    if skipped > 0 and coding == RAW:
        at, skipped = at + skipped, 0
    return NrrdHeader(
        sizes=sizes,
        dtype=dtype,
        coding=coding,
        data_file=data_file,
        at=at,
        skipped=skipped,
        fields=fields,
    )


def _text(path: Path) -> tuple[str, int]:
    """The lines of the header, and where voxels begin behind it; -1 where it goes to the end."""
    with path.open("rb") as stream:
        head = stream.read(_MAX_BYTES)
    blank = _BLANK.search(head)
    if blank is None and len(head) == _MAX_BYTES:
        raise _damaged(path)
    text = head[: blank.start()] if blank else head
    return text.decode("utf-8", "replace"), blank.end() if blank else -1


def _lines(text: str) -> list[tuple[str, str]]:
    """Names and values of the fields that are read; comments and key/value pairs are not."""
    found = []
    for line in text.split("\n")[1:]:
        name, colon, value = line.partition(":")
        field = name.strip().lower()
        field = _TOGETHER.get(field, field)
        if colon and not value.startswith("=") and field in _FIELDS:
            found.append((field, value.strip()))
    return found


def _dtype(fields: dict[str, Any], path: Path) -> np.dtype[Any]:
    kind = _DTYPES.get(str(fields.get("type", "")).lower())
    if kind is None:
        raise UnsupportedFormatError(
            f"Expected voxels of a numeric type, {path.name} states another, or none. Save it "
            "again as a scalar volume."
        )
    if np.dtype(kind).itemsize == 1:
        return np.dtype(kind)
    end = _ENDS.get(str(fields.get("endian", "")).lower())
    if end is None:
        raise CorruptFileError(
            f"{path.name} doesn't state the byte order of its voxels (endian: little or big). "
            "Save it again."
        )
    return np.dtype(end + kind)


def _coding(fields: dict[str, Any], path: Path) -> str:
    encoding = str(fields.get("encoding", "")).lower()
    if encoding in _TEXT:
        raise UnsupportedFormatError(
            f"{path.name} holds its voxels as text. Save it with the encoding raw or gzip."
        )
    if encoding not in _CODINGS:
        raise _damaged(path)
    return _CODINGS[encoding]


def _after_lines(path: Path, at: int, count: int) -> int:
    """Where the voxels begin after `count` lines."""
    if not count:
        return at
    with path.open("rb") as stream:
        stream.seek(at)
        for _ in range(count):
            if not stream.readline(_MAX_BYTES).endswith(b"\n"):
                raise InputError(
                    f"{path.name} has fewer lines than its header says to skip. Copy it again."
                )
        return stream.tell()


def _damaged(path: Path) -> CorruptFileError:
    return CorruptFileError(
        f"The NRRD header of {path.name} can't be read: a field is missing, damaged or "
        "contradicts another. Save the scan again."
    )
