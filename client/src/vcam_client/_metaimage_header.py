"""The text header of a MetaImage file (.mha, .mhd), by MetaIO's own rules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vcam_client._beside import beside
from vcam_client._coded import RAW, coding_of
from vcam_client.errors import CorruptFileError, UnsupportedFormatError

_MAX_BYTES = 1 << 20
_MAX_DIMENSIONS = 10
"""Of MetaIO's images."""
_LAST = "elementdatafile"
_TRUE = ("true", "t", "1")
_TYPES = {
    "met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2", "met_int": "i4",
    "met_uint": "u4", "met_long": "i4", "met_ulong": "u4", "met_long_long": "i8",
    "met_ulong_long": "u8", "met_float": "f4", "met_double": "f8",
}  # fmt: skip
"""MetaIO's MET_LONG has 4 bytes on every machine."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MetaImageHeader:
    """What a MetaImage header states.

    Attributes:
        sizes: of the axes, the fastest first.
        channels: values of each voxel.
        dtype: of a value as it is stored.
        coding: RAW, GZIP or ZLIB.
        data_file: where the voxels are; the file itself, or the one that it names.
        at: byte of `data_file` at which they begin, or behind which, with `at_end`.
        at_end: whether they are the last bytes of `data_file`.
        fields: names in lower case, and their values as they stand there.
    """

    sizes: tuple[int, ...]
    channels: int
    dtype: np.dtype[Any]
    coding: str
    data_file: Path
    at: int
    at_end: bool
    fields: dict[str, str]

    def numbers(self, *names: str) -> tuple[float, ...] | None:
        """The values of the first of these fields that is stated.

        Raises:
            ValueError: not a number.
        """
        text = next((self.fields[name] for name in names if name in self.fields), None)
        return None if text is None else tuple(float(part) for part in text.split())


def data_file_named(path: Path) -> str | None:
    """The data file that a header names, as it stands there; None where it is the file itself."""
    fields, _ = _fields(path)
    named = fields.get(_LAST, "")
    return None if named.upper() == "LOCAL" else named or None


def read_metaimage_header(path: Path) -> MetaImageHeader:
    """Reads and checks a header.

    Raises:
        UnsupportedFormatError: not an image, text, several data files, or no scalar voxels.
        CorruptFileError: no header, or one that contradicts itself.
        InputError: a data file outside of its folder.
    """
    fields, end = _fields(path)
    if fields.get("objecttype", "image").lower() != "image":
        raise UnsupportedFormatError(
            f"{path.name} holds a MetaIO object that is not an image. Give the image."
        )
    try:
        dimensions = int(fields["ndims"])
        sizes = tuple(int(n) for n in fields["dimsize"].split())
        channels = int(fields.get("elementnumberofchannels", "1"))
        skipped = int(fields.get("headersize", "0"))
        kind = fields["elementtype"].lower()
        named = fields[_LAST]
    except (KeyError, ValueError) as error:
        raise _damaged(path) from error
    sound = len(sizes) == dimensions and 1 < dimensions <= _MAX_DIMENSIONS
    if not sound or min(sizes) < 1 or channels < 1 or skipped < -1:
        raise _damaged(path)
    if kind not in _TYPES:
        raise UnsupportedFormatError(
            f"Expected voxels of a numeric type, {path.name} states another. Save it again as a "
            "scalar volume."
        )
    if not _true(fields, "binarydata", default=True):
        raise UnsupportedFormatError(
            f"{path.name} holds its voxels as text. Save it with BinaryData = True."
        )
    words = named.split()
    if words and (words[0].upper() == "LIST" or "%" in words[0]):
        raise UnsupportedFormatError(
            f"{path.name} spreads its voxels over several files. Save it as one file, with "
            "SimpleITK or 3D Slicer for example."
        )
    data_file, at = path, end
    if named.upper() != "LOCAL":
        data_file, at = beside(path, named), max(0, skipped)
    elif skipped > 0:  # from the beginning of the file, as MetaIO counts
        if skipped < end:
            raise _damaged(path)
        at = skipped
    packed = _true(fields, "compresseddata", default=False)
    big = _true(fields, "binarydatabyteordermsb", "elementbyteordermsb", default=False)
    return MetaImageHeader(
        sizes=sizes,
        channels=channels,
        dtype=np.dtype((">" if big else "<") + _TYPES[kind]),
        coding=coding_of(data_file, at) if packed else RAW,
        data_file=data_file,
        at=at,
        at_end=skipped < 0 and not packed,
        fields=fields,
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields up to the last, and where that line ends; of one stated twice, the later."""
    with path.open("rb") as stream:
        head = stream.read(_MAX_BYTES)
    fields: dict[str, str] = {}
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        line = head[at : end if end >= 0 else len(head)].decode("utf-8", "replace")
        at = end + 1 if end >= 0 else len(head)
        name, equals, value = line.partition("=")
        name = name.strip().lower()
        if equals:
            fields[name] = value.strip()
        if equals and name == _LAST:
            return fields, at
        if not equals and line.strip():
            break  # the header is over
    if not {"ndims", "dimsize"} & set(fields):
        raise UnsupportedFormatError(
            f"{path.name} is not a MetaImage file: it has no header of one. Give a .mha file, or "
            "a .mhd file with its data beside it."
        )
    raise _damaged(path)


def _true(fields: dict[str, str], *names: str, default: bool) -> bool:
    text = next((fields[name] for name in names if name in fields), None)
    return default if text is None else text.lower() in _TRUE


def _damaged(path: Path) -> CorruptFileError:
    return CorruptFileError(
        f"The MetaImage header of {path.name} can't be read: a field is missing, damaged or "
        "contradicts another. Save the scan again."
    )
