"""From stored values to physical ones: rescale, modality LUT, MONOCHROME1, pixel padding."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_modality_lut

from vcam_client._dicom.codec import decode
from vcam_client._dicom.frame import Frame
from vcam_client._dicom.instance import Instance
from vcam_client._dicom.threads import in_threads
from vcam_client._quiet import quiet, quietly
from vcam_client.errors import CorruptFileError, InputError, VcamError

_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = (b"OB", b"OW", b"UN")
_INT16 = np.iinfo(np.int16)
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Voxels:
    """Physical values.

    Attributes:
        data: int16, int32 or float32 [slices, rows, columns].
        padding: lowest and highest value that mean "not measured", or None.
    """

    data: NDArray[Any]
    padding: tuple[float, float] | None


def read_voxels(frames: Sequence[Frame]) -> Voxels:
    """Decodes frames into one array, in their order.

    int16 holds the values where they fit, int32 where they are whole, float32 else.

    Raises:
        CorruptFileError: pixels that are missing, damaged or of another size.
        UnsupportedFormatError: a transfer syntax that vcam does not decode.
    """
    first = frames[0].instance
    data: NDArray[Any] | None = None
    slot = {frame: n for n, frame in enumerate(frames)}
    by_instance: dict[Instance, list[Frame]] = {}
    for frame in frames:
        by_instance.setdefault(frame.instance, []).append(frame)
    padding = _Padding()
    for decoded in _all_stored(by_instance):
        for frame, stored in decoded:
            values = _physical(stored, frame)
            if data is None:
                # only now: a damaged header may have stated any size
                data = _room((len(frames), first.rows, first.columns))
            if not np.can_cast(values.dtype, data.dtype):
                data = data.astype(np.promote_types(data.dtype, values.dtype), copy=False)
                if data.dtype == np.float64:
                    data = data.astype(np.float32)
            plane = data[slot[frame]]
            plane[...] = values
            padding.note(plane, stored, frame)
    if data is None:
        raise CorruptFileError("No frame could be decoded. Copy the files again.")
    return Voxels(data=data, padding=padding.values)


def _room(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    try:
        return np.empty(shape, np.int16)
    except MemoryError as error:
        raise InputError(
            f"There is no memory for {'×'.join(map(str, shape[::-1]))} voxels. Crop or resample "
            "the scan first, or use a larger machine."
        ) from error


class _Padding:
    """The physical value of padding, the same one throughout the volume."""

    def __init__(self) -> None:
        self.values: tuple[float, float] | None = None
        self._first: tuple[object, ...] = ()

    def note(self, plane: NDArray[Any], stored: NDArray[Any], frame: Frame) -> None:
        """Remembers the padding of the first frame that has any; others are written as it."""
        padded = frame.instance.padding
        if padded is None:
            return
        hit = (stored >= padded[0]) & (stored <= padded[1])
        if not hit.any():
            return
        found = plane[hit]
        low, high = float(found.min()), float(found.max())
        how = (padded, frame.slope, frame.intercept, frame.instance.monochrome1)
        if self.values is None:
            self.values, self._first = (low, high), how
        elif how == self._first:
            self.values = min(low, self.values[0]), max(high, self.values[1])
        elif (low, high) != self.values or low != high:
            # with another padding or rescale, a range over both could hold measured values
            plane[hit] = self.values[0]


def _all_stored(
    by_instance: dict[Instance, list[Frame]],
) -> Iterator[Iterable[tuple[Frame, NDArray[Any]]]]:
    """Stored values of each instance; those of many compressed ones decoded side by side."""
    work = list(by_instance.items())
    if len(work) > 1 and work[0][0].header.transfer_syntax.is_encapsulated:
        yield from in_threads(lambda item: list(_stored_frames(*item)), work)
    else:
        for instance, wanted in work:
            yield _stored_frames(instance, wanted)


def _stored_frames(
    instance: Instance, frames: Sequence[Frame]
) -> Iterator[tuple[Frame, NDArray[Any]]]:
    """Decoded stored values [rows, columns] of some frames of one instance."""
    name = instance.header.source.name
    try:
        with instance.header.open() as stream:
            length = _to_pixels(stream, instance)
            reader = _compressed if length == _UNDEFINED else _native
            for frame, image in reader(stream, instance, frames, length):
                yield frame, _within_bits(image, instance)
    except VcamError as error:
        advice = "Copy the file again"
        if instance.header.transfer_syntax.is_encapsulated:
            advice += ", or convert it to an uncompressed transfer syntax"
        raise type(error)(f"The pixels of {name} can't be decoded: {error}. {advice}.") from error
    except Exception as error:
        # pydicom's reader of encapsulated pixels raises nearly anything on damaged fragments
        raise CorruptFileError(
            f"The pixels of {name} can't be decoded: their fragments are damaged. Copy the file "
            "again."
        ) from error


def _to_pixels(stream: Any, instance: Instance) -> int:
    """Moves to the first byte of the pixels; their stated length."""
    header = instance.header
    stream.seek(header.pixels_at)
    order = "<" if header.transfer_syntax.is_little_endian else ">"
    head = stream.read(8)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != _PIXEL_DATA:
        raise CorruptFileError("the file holds none")
    if header.transfer_syntax.is_implicit_VR:
        return int(struct.unpack(order + "I", head[4:])[0])
    if head[4:6] not in _LONG_VRS:
        raise CorruptFileError("they are of an unknown kind")
    return int(struct.unpack(order + "I", stream.read(4))[0])


def _native(
    stream: Any, instance: Instance, frames: Sequence[Frame], length: int
) -> Iterator[tuple[Frame, NDArray[Any]]]:
    if instance.header.transfer_syntax.is_encapsulated:
        raise CorruptFileError("a compressed image is expected, its length is not encapsulated")
    start, shape = stream.tell(), (instance.rows, instance.columns)
    size = instance.rows * instance.columns * instance.bits_allocated // 8
    order = "<" if instance.header.transfer_syntax.is_little_endian else ">"
    dtype = np.dtype(f"{order}{'i' if instance.signed else 'u'}{instance.bits_allocated // 8}")
    for frame in frames:
        stream.seek(start + frame.index * size)
        data = stream.read(size)
        if len(data) < size or (frame.index + 1) * size > length:
            held = min(length, frame.index * size + len(data))
            raise CorruptFileError(
                f"the header states {instance.frames * size} bytes, there are {held}"
            )
        yield frame, np.frombuffer(data, dtype).reshape(shape)


def _compressed(
    stream: Any, instance: Instance, frames: Sequence[Frame], length: int
) -> Iterator[tuple[Frame, NDArray[Any]]]:
    syntax = instance.header.transfer_syntax
    if not syntax.is_encapsulated:
        raise CorruptFileError("their length is not stated")
    with quiet():
        offsets = _offsets(instance)
    images = quietly(
        generate_frames(stream.read(), number_of_frames=instance.frames, extended_offsets=offsets)
    )
    by_index = {frame.index: frame for frame in frames}
    wanted = ((by_index[n], data) for n, data in enumerate(images) if n in by_index)
    found = 0

    def decoded(item: tuple[Frame, bytes]) -> tuple[Frame, NDArray[Any]]:
        frame, data = item
        rows, columns = instance.rows, instance.columns
        with quiet():
            return frame, decode(data, syntax, rows, columns, instance.bits_allocated)

    for result in in_threads(decoded, wanted) if instance.frames > 1 else map(decoded, wanted):
        found += 1
        yield result
    if found < len(by_index):
        raise CorruptFileError(f"the header states {instance.frames} frames, there are {found}")


def _offsets(instance: Instance) -> tuple[bytes, bytes] | None:
    offsets = instance.dataset.get("ExtendedOffsetTable")
    lengths = instance.dataset.get("ExtendedOffsetTableLengths")
    return (offsets, lengths) if offsets and lengths else None


def _within_bits(image: NDArray[Any], instance: Instance) -> NDArray[Any]:
    """Stored values as the header's bits and sign have them.

    Overlays in unused high bits are cut off, and the sign is the header's where a
    compressed stream contradicts it. Padding may lie beyond the bits; it stays.
    """
    bits, high, signed = instance.bits_stored, instance.high_bit, instance.signed
    size = 8 * image.dtype.itemsize
    kind = np.dtype(f"{'i' if signed else 'u'}{image.dtype.itemsize}")
    low, top = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    native = image.astype(image.dtype.newbyteorder("="), copy=False)
    plain = high == bits - 1
    if plain and native.dtype.kind == kind.kind:
        if bits == size or (int(native.min()) >= low and int(native.max()) <= top):
            return native
    elif plain and int(native.min()) >= 0 and int(native.max()) <= top:
        return native.astype(kind)
    raw = native.view(f"u{image.dtype.itemsize}")
    shifted = (raw << (size - 1 - high)).view(kind)
    values: NDArray[Any] = shifted >> (size - bits)
    if instance.padding is not None:
        wanted = native.view(kind)
        padded = (wanted >= instance.padding[0]) & (wanted <= instance.padding[1])
        values[padded] = wanted[padded]
    return values


def _physical(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Physical values of stored ones, MONOCHROME1 inverted; int16, int32 or float32."""
    instance = frame.instance
    if frame.slope is None and instance.dataset.get("ModalityLUTSequence"):
        return _looked_up(stored, instance)
    slope, intercept = frame.slope or 1.0, frame.intercept or 0.0
    if instance.monochrome1:
        # the grey scale runs the other way: lowest and highest stored value change places
        bits = instance.bits_stored
        span = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if instance.signed else (0, 2**bits - 1)
        intercept, slope = slope * sum(span) + intercept, -slope
    if not (slope.is_integer() and intercept.is_integer()):
        return (stored * np.float64(slope) + intercept).astype(np.float32)
    ends = sorted((slope * int(stored.min()) + intercept, slope * int(stored.max()) + intercept))
    if ends[0] >= _INT16.min and ends[1] <= _INT16.max:
        if slope == 1 and stored.dtype.itemsize == 2:
            # sums wrap around in 16 bits; the results are known to fit
            return stored.view(np.int16) + np.array(int(intercept) & 0xFFFF, np.uint16).view(
                np.int16
            )
        kind: Any = np.int16
    elif ends[0] >= _INT32.min and ends[1] <= _INT32.max:
        kind = np.int32
    else:
        return (stored * np.float64(slope) + intercept).astype(np.float32)
    return (stored.astype(np.int64) * int(slope) + int(intercept)).astype(kind)


def _looked_up(stored: NDArray[Any], instance: Instance) -> NDArray[Any]:
    try:
        with quiet():
            values: NDArray[Any] = apply_modality_lut(stored, instance.dataset)
            if not instance.monochrome1:
                return _smallest(values)
            table = np.asarray(instance.dataset.ModalityLUTSequence[0].LUTData)
        return _smallest(int(table.min()) + int(table.max()) - values.astype(np.int64))
    except Exception as error:  # pydicom raises nearly anything on a damaged table
        raise CorruptFileError(
            f"The modality table of {instance.header.source.name} is damaged. Copy the file again."
        ) from error


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    fits = int(values.min()) >= _INT16.min and int(values.max()) <= _INT16.max
    return values.astype(np.int16 if fits else np.int32)
