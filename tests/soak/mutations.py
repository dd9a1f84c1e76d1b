"""Damages files the way transfers, broken writers and attackers do."""

import random
import re
import struct
from collections.abc import Callable

_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_VRS = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB")
_VRS += (b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"TM", b"UI", b"UL", b"UN", b"US", b"UT")
_LENGTHS = (
    0,
    1,
    2,
    3,
    7,
    255,
    0x7FFF,
    0xFFFE,
    0xFFFF,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
)
_SHORTS = (0, 1, 2, 7, 8, 12, 16, 31, 32, 64, 255, 256, 1023, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_TEXTS = (
    b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-0", b"1E-320", b"99999999999", b"2147483648",
    b"a\\b", b"1\\2", b"1\\2\\3", b"1\\0\\0\\0\\1\\0", b"\\\\\\", b"\xff\xfe",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.3.10", b"..", b"1000000",
)  # fmt: skip
_TAGS = (
    (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0008), (0x0028, 0x0100), (0x0028, 0x0101),
    (0x0028, 0x0102), (0x0028, 0x0103), (0x0020, 0x0032), (0x0020, 0x0037), (0x5200, 0x9229),
    (0x5200, 0x9230), (0x0028, 0x3000), (0x7FE0, 0x0010), (0x0004, 0x1220), (0xFFFE, 0xE000),
    (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD), (0x0009, 0x0010), (0x3004, 0x000C), (0x7FE0, 0x0001),
)  # fmt: skip
_FIRST_ELEMENT = 132
_HEADER_LINES = 14
_HEADER_BYTES = 420
"""Of the text headers of seeds: NRRD and MetaImage."""
_WORDS = (
    b"none", b"???", b"vector", b"RGB-color", b"complex", b"gzip", b"bzip2", b"raw", b"hex", b"big",
    b"double", b"int64", b"block", b"MET_DOUBLE", b"MET_STRING", b"True", b"LIST", b"LOCAL",
    b"/dev/zero",    b"..", b"(1,2,3)", b"(", b")", b"4", b"2", b"0", b"\0", b"RAS", b"um", b'"',
)  # fmt: skip

Element = tuple[int, int, int, int, bytes]
"""Where its tag, its length and its value begin, how long the value is, and its VR."""


def mutated(data: bytes, kind: str, rng: random.Random) -> bytes:
    """`data` with one to four damages."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_bits, _cut, _insert, _remove]
    if kind == "nifti":
        ways += [_nifti_field] * 8
    elif kind == "dicom":
        ways += [_length, _vr, _tag, _value, _value, _value, _drop, _twice, _nest, _length]
    elif kind == "text":
        ways += [_line, _token] * 4
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        data = rng.choice(ways)(data, rng) if data else data
    return data


def _bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 32))):
        # headers come first: half of all flips hit the beginning
        most = len(data) if rng.random() < 0.5 else min(len(data), 700)
        changed[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    piece = bytes(
        rng.choice((0, 255, rng.randrange(256))) for _ in range(rng.choice((1, 2, 4, 40)))
    )
    return data[:at] + piece + data[at:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 4, 8, 100)) :]


def _nifti_field(data: bytes, rng: random.Random) -> bytes:
    """A field of the header; dimensions and offsets more often than others."""
    two = data[:4] == struct.pack("<i", 540)
    formats = {"dim": ("q", 16, 8, 8), "offset": ("q", 168, 1, 8)} if two else {}
    formats = formats or {"dim": ("h", 40, 8, 2), "offset": ("f", 108, 1, 4)}
    formats |= (
        {"type": ("h", 12, 2, 2), "scale": ("d", 176, 2, 8), "pixdim": ("d", 104, 8, 8)}
        if two
        else {"type": ("h", 70, 2, 2), "scale": ("f", 112, 2, 4), "pixdim": ("f", 76, 8, 4)}
    )
    formats |= (
        {"codes": ("i", 344, 2, 4), "quatern": ("d", 352, 6, 8), "srow": ("d", 400, 12, 8)}
        if two
        else {"codes": ("h", 252, 2, 2), "quatern": ("f", 256, 6, 4), "srow": ("f", 280, 12, 4)}
    )
    formats["size"] = ("i", 0, 1, 4)
    code, start, count, width = formats[rng.choice([*formats, "dim", "dim", "offset"])]
    at = start + rng.randrange(count) * width
    if code in "fd":
        value: float = rng.choice(
            (0.0, -1.0, 1e38, -1e38, 1e-45, float("nan"), float("inf"), 352.0, 353.5, 1e9, 4e9)
        )
    else:
        bits = 8 * width - 1
        value = rng.choice(
            (0, 1, -1, 2, 3, 4, 7, 8, 16, 128, 511, 1792, 2304, 2**bits - 1, -(2**bits))
        )
        value = rng.choice((value, rng.randrange(2**bits)))
    return data[:at] + struct.pack("<" + code, value) + data[at + width :]


def _line(data: bytes, rng: random.Random) -> bytes:
    """A line of a text header goes, comes twice, or changes places with another."""
    lines = data.split(b"\n", _HEADER_LINES)
    at, other = (rng.randrange(max(1, len(lines) - 1)) for _ in range(2))
    way = rng.randrange(4)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(at, lines[other])
    elif way == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines.insert(at, rng.choice((b"", b"x: y", b"x = y", b"data file: ../x", b"=", b":=")))
    return b"\n".join(lines)


def _token(data: bytes, rng: random.Random) -> bytes:
    """A word or number of a text header becomes another."""
    end = min(len(data), _HEADER_BYTES)
    found = list(re.finditer(rb"[^\s:=(),\"]+", data[:end]))
    if not found:
        return data
    at = rng.choice(found)
    new = rng.choice((*_TEXTS, *_WORDS, str(rng.randrange(2**20)).encode(), b"9" * 400))
    return data[: at.start()] + new + data[at.end() :]


def elements(data: bytes) -> list[Element]:
    """The elements of an explicit little endian instance, sequences entered."""
    found: list[Element] = []
    at = _FIRST_ELEMENT
    while at + 8 <= len(data):
        if data[at : at + 2] == b"\xfe\xff":  # items and their ends have no VR
            (length,) = struct.unpack("<I", data[at + 4 : at + 8])
            found.append((at, at + 4, at + 8, 0, b""))
            at += 8
            if (
                found
                and data[at - 8 + 2 : at - 8 + 4] == b"\x00\xe0"
                and _pixels_before(found, data)
            ):
                at += length
            continue
        vr = data[at + 4 : at + 6]
        if vr in _LONG:
            (length,) = struct.unpack("<I", data[at + 8 : at + 12].ljust(4, b"\0"))
            head, where = 12, at + 8
        else:
            (length,) = struct.unpack("<H", data[at + 6 : at + 8])
            head, where = 8, at + 6
        inside = vr == b"SQ" or length == 0xFFFFFFFF
        found.append((at, where, at + head, 0 if inside else length, vr))
        at += head + (0 if inside else length)
    return found


def _pixels_before(found: list[Element], data: bytes) -> bool:
    return any(data[e[0] : e[0] + 4] == b"\xe0\x7f\x10\x00" for e in found[-40:])


def _one(data: bytes, rng: random.Random) -> Element | None:
    found = elements(data)
    return rng.choice(found) if found else None


def _length(data: bytes, rng: random.Random) -> bytes:
    element = _one(data, rng)
    if element is None:
        return data
    _, where, value, length, _ = element
    width = value - where
    wanted = rng.choice(
        (*_LENGTHS, length + 1, length + 2, max(0, length - 2), rng.randrange(2**16))
    )
    return data[:where] + (wanted % 2 ** (8 * width)).to_bytes(width, "little") + data[value:]


def _vr(data: bytes, rng: random.Random) -> bytes:
    element = _one(data, rng)
    if element is None or not element[4]:
        return data
    at = element[0] + 4
    return (
        data[:at]
        + rng.choice((*_VRS, bytes(rng.randrange(256) for _ in range(2))))
        + data[at + 2 :]
    )


def _tag(data: bytes, rng: random.Random) -> bytes:
    element = _one(data, rng)
    if element is None:
        return data
    return data[: element[0]] + struct.pack("<HH", *rng.choice(_TAGS)) + data[element[0] + 4 :]


def _value(data: bytes, rng: random.Random) -> bytes:
    """Another value of a fitting kind, its length put right."""
    element = _one(data, rng)
    if element is None or element[4] in (b"SQ", b""):
        return data
    _, where, value, length, vr = element
    if vr in (b"US", b"SS"):
        new = struct.pack("<H", rng.choice(_SHORTS)) * rng.choice((1, 1, 1, 2, 0))
    elif vr in (b"UL", b"FL", b"FD", b"OB", b"OW", b"OV", b"UN"):
        new = bytearray(data[value : value + length])
        for _ in range(min(len(new), rng.choice((1, 4, 16)))):
            new[rng.randrange(len(new))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        new = bytes(new)
    else:
        new = rng.choice((*_TEXTS, b"9" * 400, bytes(rng.randrange(256) for _ in range(6))))
        new += b" " * (len(new) % 2)
    width = value - where
    size = len(new).to_bytes(width, "little") if length or vr in (b"US",) else data[where:value]
    return data[:where] + size + new + data[value + length :]


def _drop(data: bytes, rng: random.Random) -> bytes:
    element = _one(data, rng)
    return data if element is None else data[: element[0]] + data[element[2] + element[3] :]


def _twice(data: bytes, rng: random.Random) -> bytes:
    element = _one(data, rng)
    if element is None:
        return data
    piece = data[element[0] : element[2] + element[3]]
    return data[: element[0]] + piece * rng.choice((2, 3, 200)) + data[element[0] :]


def _nest(data: bytes, rng: random.Random) -> bytes:
    """Sequences within sequences within sequences."""
    element = _one(data, rng)
    if element is None:
        return data
    tag = struct.pack("<HH", *rng.choice(_TAGS))
    depth = rng.choice((2, 30, 400, 3000))
    opened = (tag + b"SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * depth
    closed = (b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)) * depth
    inside = b"" if rng.random() < 0.3 else closed
    return data[: element[0]] + opened + inside + data[element[0] :]
