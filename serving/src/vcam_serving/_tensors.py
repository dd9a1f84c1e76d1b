"""Tensors on the wire: TensorProto to numpy and back, by TensorFlow's rules."""

from dataclasses import dataclass

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

_LENGTH_DELIMITED = 2  # wire type of packed fields
_VARINT_BITS = 7
_VARINT_MAX_BYTES = 5  # lengths of strings are 32-bit
# Fields whose packed values have the bytes of a little-endian array.
_ARRAY_FIELDS = {"float_val": 5, "double_val": 6}


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How one DataType travels.

    Attributes:
        name: TensorFlow's name of it, as its messages print it.
        field: the typed field of its values.
        values: dtype of the values in that field.
        array: dtype of the array.
    """

    name: str
    field: str
    values: np.dtype
    array: np.dtype


def _kind(name: str, field: str, values: type, array: type | None = None) -> _Kind:
    return _Kind(name=name, field=field, values=np.dtype(values), array=np.dtype(array or values))


_KINDS = {
    types_pb2.DT_FLOAT: _kind("float", "float_val", np.float32),
    types_pb2.DT_DOUBLE: _kind("double", "double_val", np.float64),
    types_pb2.DT_HALF: _kind("half", "half_val", np.int32, np.float16),
    types_pb2.DT_INT8: _kind("int8", "int_val", np.int32, np.int8),
    types_pb2.DT_UINT8: _kind("uint8", "int_val", np.int32, np.uint8),
    types_pb2.DT_INT16: _kind("int16", "int_val", np.int32, np.int16),
    types_pb2.DT_UINT16: _kind("uint16", "int_val", np.int32, np.uint16),
    types_pb2.DT_INT32: _kind("int32", "int_val", np.int32),
    types_pb2.DT_UINT32: _kind("uint32", "uint32_val", np.uint32),
    types_pb2.DT_INT64: _kind("int64", "int64_val", np.int64),
    types_pb2.DT_UINT64: _kind("uint64", "uint64_val", np.uint64),
    types_pb2.DT_BOOL: _kind("bool", "bool_val", np.bool_),
    types_pb2.DT_STRING: _kind("string", "string_val", object),
}
_TYPES = {kind.array: number for number, kind in _KINDS.items()}


def type_name(data_type: int) -> str:
    """TensorFlow's name of a DataType: "float", "int16", "string"."""
    if data_type in _KINDS:
        return _KINDS[data_type].name
    return types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()


def type_of(array: np.ndarray) -> int:
    """The DataType of an array."""
    return _TYPES[array.dtype]


def array_dtype(data_type: int) -> np.dtype:
    """The numpy dtype of a DataType.

    Raises:
        KeyError: no such type travels here.
    """
    return _KINDS[data_type].array


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Reads a tensor.

    `tensor_content` must have exactly the bytes of the shape. Without it the
    typed field counts: no value means zeros, the last value is repeated for
    those that are missing, surplus values are dropped.

    Raises:
        ValueError: TensorFlow would not read it.
    """
    kind = _KINDS.get(proto.dtype)
    sizes = tuple(dim.size for dim in proto.tensor_shape.dim)
    if kind is None or any(size < 0 for size in sizes):
        raise ValueError("no tensor of a known type and shape")
    count = 1
    for size in sizes:
        count *= size
    if count and proto.tensor_content:
        return _from_content(proto.tensor_content, kind, count).reshape(sizes)
    return _from_field(getattr(proto, kind.field), kind, count).reshape(sizes)


def encode(array: np.ndarray, *, as_content: bool) -> tensor_pb2.TensorProto:
    """Writes a tensor: as `tensor_content`, or as typed fields (TensorFlow Serving's default)."""
    data_type = type_of(array)
    kind = _KINDS[data_type]
    proto = tensor_pb2.TensorProto(dtype=data_type)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    if as_content:
        proto.tensor_content = _strings_content(flat) if kind.array.hasobject else flat.tobytes()
    elif kind.field in _ARRAY_FIELDS:
        # A million values one by one would take as long as the model.
        payload = flat.astype(kind.array.newbyteorder("<"), copy=False).tobytes()
        tag = bytes([_ARRAY_FIELDS[kind.field] << 3 | _LENGTH_DELIMITED])
        proto.MergeFromString(tag + _varint(len(payload)) + payload)
    else:
        values = flat.view(np.uint16) if kind.name == "half" else flat
        getattr(proto, kind.field).extend(values.tolist())
    return proto


def _from_content(content: bytes, kind: _Kind, count: int) -> np.ndarray:
    if kind.array.hasobject:
        return _strings_of(content, count)
    if len(content) != count * kind.array.itemsize:
        raise ValueError(f"{len(content)} bytes for {count} values")
    if kind.name == "bool" and max(content) > 1:
        raise ValueError("a truth value other than 0 and 1")
    return np.frombuffer(content, kind.array.newbyteorder("<")).astype(kind.array, copy=False)


def _from_field(field: object, kind: _Kind, count: int) -> np.ndarray:
    values = np.array(field, dtype=kind.values)[:count]
    if values.size < count:
        filling = values[-1] if values.size else (b"" if kind.array.hasobject else 0)
        rest = np.full(count - values.size, filling, dtype=kind.values)
        values = np.concatenate([values, rest])
    if kind.name == "half":
        return values.astype(np.uint16).view(np.float16)
    return values.astype(kind.array, copy=False)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 1 << _VARINT_BITS:
        encoded.append(number & 0x7F | 0x80)
        number >>= _VARINT_BITS
    encoded.append(number)
    return bytes(encoded)


def _strings_content(strings: np.ndarray) -> bytes:
    """All lengths, then all strings: how TensorFlow puts strings into tensor_content."""
    return b"".join([*(_varint(len(text)) for text in strings), *strings])


def _strings_of(content: bytes, count: int) -> np.ndarray:
    lengths, position = [], 0
    for _ in range(count):
        length, shift = 0, 0
        while True:
            if position >= len(content) or shift >= _VARINT_MAX_BYTES * _VARINT_BITS:
                raise ValueError("broken lengths of strings")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += _VARINT_BITS
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError("strings and lengths differ")
    strings = np.empty(count, dtype=object)
    for index, length in enumerate(lengths):
        strings[index] = content[position : position + length]
        position += length
    return strings
