"""Values of elements: what a header states in another way than DICOM says, where it is plain.

pydicom converts elements when they are first read. Here this is done once, and what it can't
convert is either unambiguous (a decimal comma, a wrong value representation) or is refused by
name. A value is shown only if it is a number gone wrong: anything else may be a patient's name.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from vcam_client.errors import CorruptFileError

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H"}
"""Value representations of numbers in binary, as struct has them (PS3.5 6.2)."""
_TEXT = ("DS", "IS")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
"""What a decimal comma and a separator of thousands look alike in."""
_TEXT_BYTES = re.compile(rb"[0-9+\-.,eE\\ \0]*")
_SHOWN = re.compile(r"([0-9+\-.,eE\\ ]|nan|inf|mm|hu|n/?a|none|null|unknown){1,64}", re.IGNORECASE)
"""Values that can't be a name."""
_LARGEST = {
    "PixelSpacing": 1e3,
    "ImagerPixelSpacing": 1e3,
    "NominalScannedPixelSpacing": 1e3,
    "SliceThickness": 1e3,
    "SpacingBetweenSlices": 1e3,
    "ImageOrientationPatient": 1e3,
    "ImagePositionPatient": 1e4,
}
"""Beyond these no scanner states a number (of millimetres): a comma is then a decimal one."""
NUMBERS = frozenset(
    Tag(keyword)
    for keyword in (
        *_LARGEST,
        "Rows",
        "Columns",
        "NumberOfFrames",
        "SamplesPerPixel",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "RescaleSlope",
        "RescaleIntercept",
        "GridFrameOffsetVector",
    )
)
"""Elements that a volume can't be read without, or would be wrong with another number in them."""


class _DoubtfulError(Exception):
    """A comma that may separate decimals or thousands."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What was unusual about elements, by keyword.

    Attributes:
        decimal_commas: elements whose numbers have them.
        damage: elements of no kind that says what they mean, and why; they were taken out.
    """

    decimal_commas: tuple[str, ...] = ()
    damage: Mapping[str, CorruptFileError] = field(default_factory=dict)


def settle(dataset: pydicom.Dataset, tags: Iterable[BaseTag], *, decimal: bool = False) -> Settled:
    """Converts elements of a data set, in place.

    Args:
        dataset: its elements may still be raw.
        tags: those that are wanted, all present.
        decimal: whether commas are known to be decimal ones.
    """
    commas, doubtful = list[str](), list[BaseTag]()
    damage: dict[str, CorruptFileError] = {}
    for tag in tags:
        try:
            commas += _settle(dataset, tag, decimal=decimal)
        except _DoubtfulError:
            doubtful.append(tag)
        except CorruptFileError as error:
            damage[keyword_for_tag(tag)] = error
    for tag in doubtful:
        try:
            # one writer wrote them all
            commas += _settle(dataset, tag, decimal=bool(commas))
        except _DoubtfulError as doubt:
            what = f"is {doubt}; its comma may separate decimals or thousands"
            damage[keyword_for_tag(tag)] = damaged(keyword_for_tag(tag), what)
    for keyword in damage:
        del dataset[keyword]
    return Settled(decimal_commas=tuple(commas), damage=damage)


def numbers(value: Any, keyword: str, count: int | None = None) -> list[float]:
    """Numbers of a settled element; [] where it is empty.

    Raises:
        CorruptFileError: something else, or not as many.
    """
    several = not isinstance(value, str | bytes) and hasattr(value, "__len__")
    found = [v for v in (value if several else [value]) if v is not None and v != ""]
    if not all(isinstance(v, Real) for v in found):
        raise damaged(keyword, _no_number(found))
    if count is not None and found and len(found) != count:
        raise damaged(keyword, f"has {len(found)} values, not {count}")
    return [float(v) for v in found]


def number(value: Any, keyword: str) -> float | None:
    """The one number of a settled element; None where it is empty."""
    found = numbers(value, keyword, 1)
    return found[0] if found else None


def whole(dataset: pydicom.Dataset, keyword: str, default: int | None = None) -> int:
    """The whole number of a settled element; `default` where it is missing, empty or 0.

    Raises:
        CorruptFileError: something else; or nothing, and no default.
    """
    value = number(dataset.get(keyword), keyword)
    if value is None and default is None:
        raise damaged(keyword, "is missing")
    if not value and default is not None:
        return default
    if value is None or not value.is_integer():
        raise damaged(keyword, f"is {value:g}, not a whole number")
    return int(value)


def damaged(keyword: str, what: str) -> CorruptFileError:
    """An error that names an element: "damaged header: Rows (0028,0010) is missing"."""
    tag = Tag(keyword)
    return CorruptFileError(f"damaged header: {keyword} ({tag.group:04X},{tag.element:04X}) {what}")


def shown(values: Iterable[float]) -> str:
    """Numbers as a header has them."""
    return "\\".join(f"{value:g}" for value in values)


def _settle(dataset: pydicom.Dataset, tag: BaseTag, *, decimal: bool) -> list[str]:
    raw = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement):
        return []
    try:
        expected = dictionary_VR(tag)
    except KeyError:  # private, or unknown to this pydicom: nothing that is looked at
        return []
    if raw.length != _UNDEFINED_LENGTH and len(raw.value or b"") < raw.length:
        raise damaged(
            keyword_for_tag(tag), f"states {raw.length} bytes, more than the file has left"
        )
    stated = raw.VR if raw.VR not in (None, "UN") else expected
    if (stated == "SQ") != (expected == "SQ"):
        kind = "is no sequence" if expected == "SQ" else "is a sequence, not a value"
        raise damaged(keyword_for_tag(tag), kind)
    if tag in NUMBERS and not _as_written(dataset, raw, expected):
        dataset[tag] = raw  # what pydicom makes of it is text
        return _numbers_of(dataset, raw, stated, expected, decimal=decimal)
    try:
        dataset[tag]
    except Exception:  # pydicom raises nearly anything on damaged bytes
        try:
            dataset[tag] = raw._replace(VR=expected)
            dataset[tag]
        except Exception as error:
            raise damaged(keyword_for_tag(tag), "can't be parsed") from error
    return []


def _as_written(dataset: pydicom.Dataset, raw: RawDataElement, expected: str) -> bool:
    """Whether pydicom makes numbers of an element that is of the kind it should be."""
    if raw.VR not in (None, expected, "US" if expected == "US or SS" else None):
        return expected == "US or SS" and raw.VR == "SS"
    try:
        value = dataset[raw.tag].value
    except Exception:  # pydicom raises nearly anything; its bytes are looked at next
        return False
    if isinstance(value, bytes):  # "US or SS" without a stated kind: its user knows the sign
        return expected == "US or SS" and len(value) in (0, 2)
    several = not isinstance(value, str) and hasattr(value, "__len__")
    return all(v is None or v == "" or isinstance(v, Real) for v in (value if several else [value]))


def _numbers_of(
    dataset: pydicom.Dataset, raw: RawDataElement, stated: str, expected: str, *, decimal: bool
) -> list[str]:
    """Puts the numbers that the bytes of an element mean in its place."""
    data = bytes(raw.value or b"")
    text = data.decode("latin-1").strip(" \0")
    is_text = stated not in _BINARY if expected not in _TEXT else bool(_TEXT_BYTES.fullmatch(data))
    keyword = keyword_for_tag(raw.tag)
    words = text.isascii() and text.isprintable()
    found: list[float] | None = None
    commas = False
    if is_text:
        found, commas = _from_text(text, keyword, decimal=decimal)
    for kind in (stated, expected):
        if found is None and kind in _BINARY and (kind == stated or not words):
            found = _from_binary(data, kind, little=raw.is_little_endian)
    if found is None:
        raise damaged(keyword_for_tag(raw.tag), _no_number([text]))
    value = found[0] if len(found) == 1 else found
    dataset[raw.tag] = pydicom.DataElement(raw.tag, "FD", value if found else None)
    return [keyword] if commas else []


def _from_text(text: str, keyword: str, *, decimal: bool) -> tuple[list[float] | None, bool]:
    """Numbers, and whether they have decimal commas; None where it is other text."""
    parts = [part.strip(" \0") for part in text.split("\\")]
    if not any(parts):
        return [], False
    with_comma = [part for part in parts if "," in part]
    if not with_comma:
        if all(_NUMBER.fullmatch(part) for part in parts):
            return [float(part) for part in parts], False
        return None, False
    if any("." in part for part in parts) or not all(
        (_COMMA if "," in part else _NUMBER).fullmatch(part) for part in parts
    ):
        return None, False
    most = _LARGEST.get(keyword, float("inf"))
    certain = any(
        not _THOUSANDS.fullmatch(part) or abs(float(part.replace(",", ""))) >= most
        for part in with_comma
    )
    if not (certain or decimal):
        raise _DoubtfulError(_shown(text))
    return [float(part.replace(",", ".")) for part in parts], True


def _from_binary(data: bytes, kind: str, *, little: bool) -> list[float] | None:
    code = _BINARY[kind]
    count, rest = divmod(len(data), struct.calcsize(f"<{code}"))
    if rest:
        return None
    return [float(v) for v in struct.unpack(f"{'<' if little else '>'}{count}{code}", data)]


def _no_number(values: list[Any]) -> str:
    text = "\\".join(v if isinstance(v, str) else "" for v in values)
    return f"is {_shown(text)}, not a number" if _SHOWN.fullmatch(text) else "holds no number"


def _shown(text: str) -> str:
    return f"'{text}'"
