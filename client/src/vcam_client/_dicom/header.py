"""Reads the header of an instance: everything before its pixels, and nothing it doesn't need.

pydicom parses; here its reads are bounded, its warnings (which may quote patient
data) are kept off the terminal, and whatever a damaged header makes it raise
becomes one error.
"""

import io
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import pydicom
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from vcam_client._dicom.elements import Settled, damaged, settle
from vcam_client._dicom.sources import Source
from vcam_client._limits import MAX_UNPACKED_INSTANCE_BYTES
from vcam_client._quiet import quiet
from vcam_client.errors import CorruptFileError, InputError, VcamError

PREFIX_BYTES = 128
"""Bytes before the marker "DICM" of a DICOM file (PS3.10 7.1)."""
_MARKER = b"DICM"
_HEAD_BYTES = 4096
_FIRST_BYTE = b"\x08"
"""Of group 0008, with which data sets begin in little endian; of a preamble any byte will do."""
_FIRST_ELEMENTS = (b"\x05\0", b"\x08\0", b"\x16\0")
"""Elements of that group that come first: character set, image type, SOP class."""
_MOST_FIRST_BYTES = 256
"""Length of such an element's value, beyond which it is taken for none."""
_TRANSFER_SYNTAX = Tag("TransferSyntaxUID")
_TRANSFER_SYNTAX_UID = b"\x02\x00\x10\x00UI"

_TAGS = [
    Tag(keyword)
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "Modality",
        "ImageType",
        "PatientID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SeriesDescription",
        "FrameOfReferenceUID",
        "InstanceNumber",
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
        "EchoTime",
        "EchoNumbers",
        "TriggerTime",
        "DiffusionBValue",
        "DiffusionGradientOrientation",
        "DiffusionGradientDirectionSequence",
        "ComplexImageComponent",
        "StackID",
        "InversionTime",
        "FlipAngle",
        "RepetitionTime",
        "NominalPercentageOfCardiacPhase",
        "CardiacCyclePosition",
        "NominalPercentageOfRespiratoryPhase",
        "RespiratoryCyclePosition",
        "ReceiveCoilName",
        "KVP",
        "FrameReferenceTime",
        "AcquisitionDate",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "ContentDate",
        "ContentTime",
        "ConvolutionKernel",
        "ViewPosition",
        "PatientOrientation",
        "Rows",
        "Columns",
        "NumberOfFrames",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "LossyImageCompression",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ModalityLUTSequence",
        "Units",
        "SUVType",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "SliceThickness",
        "SpacingBetweenSlices",
        "FrameIncrementPointer",
        "GridFrameOffsetVector",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "DirectoryRecordSequence",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
    )
]


class NotDicomError(CorruptFileError):
    """The file is no DICOM instance; the message says what it looks like."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """A parsed header.

    Attributes:
        source: where it came from.
        dataset: elements of `_TAGS` that are there.
        transfer_syntax: as stated, or as the bytes look where nothing is stated;
            of a deflated instance what it is once inflated.
        deflated: whether `open` inflates it.
        pixels_at: offset of the element after the header, normally the pixels'.
        pixel_bytes: bytes from there to the end.
        stated: whether the file has a file meta header.
        settled: what was unusual about elements.
        shift: bytes that the file begins too early; -1 where its first byte is missing.
    """

    source: Source
    dataset: pydicom.Dataset
    transfer_syntax: UID
    deflated: bool
    pixels_at: int
    pixel_bytes: int
    stated: bool
    settled: Settled
    shift: int = 0

    def value(self, keyword: str) -> Any:
        """The value of an element; None where it is missing.

        Raises:
            CorruptFileError: the element is damaged.
        """
        if keyword in self.settled.damage:
            raise self.settled.damage[keyword]
        return self.dataset.get(keyword)

    def open(self) -> BinaryIO:
        """The bytes of the instance, inflated where they are deflated."""
        stream = _Bounded(self.source.open())
        if self.deflated:
            return _inflated(stream, self.source.name)
        return stream


def read_header(source: Source) -> Header:
    """Parses everything before the pixels.

    Raises:
        NotDicomError: it is something else; the message is a reason, not a sentence.
        CorruptFileError: damaged.
    """
    stream: BinaryIO = _Bounded(source.open())
    with stream:
        head = stream.read(_HEAD_BYTES)
        if shift := _shift(head):
            return replace(read_header(_shifted(source, shift)), shift=shift)
        stated = head[PREFIX_BYTES : PREFIX_BYTES + 4] == _MARKER
        if not stated and _syntax_without_meta(head) is None:
            raise NotDicomError(_looks_like(head))
        stream.seek(0)
        try:
            with quiet():
                deflated = stated and _stated_syntax(head) == DeflatedExplicitVRLittleEndian
                if deflated:
                    stream.seek(0)
                    stream = _inflated(stream, source.name)
                stream.seek(0)
                dataset = pydicom.dcmread(
                    stream,
                    stop_before_pixels=True,
                    force=not stated,
                    specific_tags=_TAGS,
                )
                _settle_syntax(dataset.file_meta)
                settled = settle(dataset, list(dataset.keys()))
                at = stream.tell()
                end = stream.seek(0, io.SEEK_END)
                syntax = dataset.file_meta.get("TransferSyntaxUID") or _syntax_without_meta(
                    b"" if stated else head
                )
                if syntax is not None:
                    syntax = UID(str(syntax))
        except VcamError:
            raise
        except Exception as error:  # pydicom raises nearly anything on damaged bytes
            raise CorruptFileError("damaged header (its elements can't be parsed)") from error
        if syntax is None:
            raise damaged("TransferSyntaxUID", "is missing")
        if not syntax.is_transfer_syntax or syntax.is_private:
            raise NotDicomError("in a transfer syntax that vcam does not know")
        return Header(
            source=source,
            dataset=dataset,
            transfer_syntax=syntax,
            deflated=deflated,
            pixels_at=at,
            pixel_bytes=end - at,
            stated=stated,
            settled=settled,
        )


def _settle_syntax(file_meta: pydicom.Dataset) -> None:
    """Of the file meta elements, this one is needed."""
    present = [_TRANSFER_SYNTAX] if _TRANSFER_SYNTAX in file_meta else []
    for error in settle(file_meta, present).damage.values():
        raise error


def _shift(head: bytes) -> int:
    """How many bytes too early a file begins: 1, or -1 where its first byte is missing.

    Files are cut out of streams and archives; the byte before is then there, or the first is not.
    """
    marker = head.find(_MARKER, PREFIX_BYTES - 1, PREFIX_BYTES + len(_MARKER) + 1)
    if marker >= 0:
        return marker - PREFIX_BYTES
    if head[:1] in (b" ", b"\0") and _syntax_without_meta(head[1:]) is not None:
        return 1  # the padding of the element before
    begins = _FIRST_BYTE + head
    length = int.from_bytes(begins[4:8], "little")
    likely = begins[4:6].isalpha() or (length % 2 == 0 and length <= _MOST_FIRST_BYTES)
    is_first = begins[2:4] in _FIRST_ELEMENTS and likely
    return -1 if is_first and _syntax_without_meta(begins) is not None else 0


def _shifted(source: Source, shift: int) -> Source:
    """The same file without the byte before it, or with its first byte."""

    def opened() -> BinaryIO:
        with _Bounded(source.open()) as stream:
            data = stream.read()
        return io.BytesIO(data[shift:] if shift > 0 else _FIRST_BYTE + data)

    return replace(source, open=opened)


class _Bounded(io.RawIOBase, BinaryIO):
    """A stream that never allocates more than the file holds, whatever length is asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        stream.seek(0)

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._stream.tell())
        return self._stream.read(left if size is None or size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:
        return self._stream.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()


def _stated_syntax(head: bytes) -> str:
    """TransferSyntaxUID of the file meta header, which is explicit little endian."""
    at = head.find(_TRANSFER_SYNTAX_UID)
    if at < 0:
        return ""
    start = at + len(_TRANSFER_SYNTAX_UID) + 2
    size = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + size].rstrip(b"\0 ").decode("ascii", "replace")


def _inflated(stream: BinaryIO, name: str) -> BinaryIO:
    """The same instance with its data set inflated (PS3.5 A.5)."""
    with stream:
        data = stream.read()
    group_length = data[PREFIX_BYTES + 4 : PREFIX_BYTES + 16]
    if group_length[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise CorruptFileError("damaged header (no length of the file meta group)")
    start = PREFIX_BYTES + 16 + struct.unpack("<I", group_length[8:])[0]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(data[start:], MAX_UNPACKED_INSTANCE_BYTES)
    except (zlib.error, MemoryError) as error:
        raise CorruptFileError(
            f"{name} is damaged: its deflated data can't be read ({error}). Copy the file again."
        ) from error
    if inflater.unconsumed_tail:
        raise InputError(
            f"{name} inflates to more than {MAX_UNPACKED_INSTANCE_BYTES} bytes, the limit. "
            "Inflate it yourself if you trust it."
        )
    # a data set that is read as what it is now, not inflated once more
    head = data[:start].replace(
        DeflatedExplicitVRLittleEndian.encode(), ExplicitVRLittleEndian.encode().ljust(22, b"\0")
    )
    return io.BytesIO(head + body)


def _syntax_without_meta(head: bytes) -> UID | None:
    """How a data set without file meta looks encoded; None where it looks like none.

    It begins with an element of group 0002 or 0008.
    """
    if len(head) < 8:
        return None
    if head[0] in (2, 8) and head[1] == 0 and head[3] == 0:
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        if explicit:
            return ExplicitVRLittleEndian
        return ImplicitVRLittleEndian if int.from_bytes(head[4:8], "little") < 2**16 else None
    if head[0] == 0 and head[1] in (2, 8) and head[2] == 0:
        return ExplicitVRBigEndian if head[4:6].isalpha() and head[4:6].isupper() else None
    return None


def _looks_like(head: bytes) -> str:
    """What a file that is no DICOM is, as far as its first bytes tell."""
    start = head.lstrip()[:64].lower()
    if not head:
        return "empty file"
    if start.startswith((b"<!doctype html", b"<html")):
        return "not DICOM but a web page"
    if start.startswith(b"version https://git-lfs"):
        return "not DICOM but a Git LFS pointer; fetch the file itself"
    if start.startswith(b"/annex/objects/"):
        return "not DICOM but a git-annex pointer; fetch the file itself"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "not DICOM but NIfTI"
    if head[:2] == b"\x1f\x8b":
        return "not DICOM but a gzip file"
    return "not DICOM"
