"""TensorProto and arrays, without TensorFlow.

An answer may come as `tensor_content` or as typed fields, depending on how the
server was started; both are read.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.errors import ContractError

_DTYPE_OF: dict[int, Any] = {
    pb.DT_FLOAT: np.float32,
    pb.DT_DOUBLE: np.float64,
    pb.DT_INT32: np.int32,
    pb.DT_INT16: np.int16,
    pb.DT_INT64: np.int64,
}
_CODE_OF = {np.dtype(dtype): code for code, dtype in _DTYPE_OF.items()}
_FIELD_OF = {
    pb.DT_FLOAT: "float_val",
    pb.DT_DOUBLE: "double_val",
    pb.DT_INT32: "int_val",
    pb.DT_INT16: "int_val",
    pb.DT_INT64: "int64_val",
}


def to_tensor(array: NDArray[Any]) -> pb.TensorProto:
    """An array as a TensorProto with little-endian `tensor_content`."""
    dtype = array.dtype.newbyteorder("=")
    little = np.ascontiguousarray(array, dtype.newbyteorder("<"))
    return pb.TensorProto(
        dtype=pb.DataType.Name(_CODE_OF[dtype]),
        tensor_shape=_shape(array.shape),
        tensor_content=little.tobytes(),
    )


def to_string_tensor(values: Sequence[bytes]) -> pb.TensorProto:
    """Byte strings as a TensorProto of rank 1."""
    return pb.TensorProto(
        dtype=pb.DT_STRING, tensor_shape=_shape((len(values),)), string_val=values
    )


def from_tensor(proto: pb.TensorProto, name: str) -> NDArray[Any]:
    """The array in a TensorProto; byte strings come as an object array.

    Raises:
        ContractError: a dtype that no vcam output has, or a wrong number of values.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(n < 0 for n in shape):
        raise _wrong_count(name, shape, "no whole number of values")
    count = math.prod(shape)
    if proto.dtype == pb.DT_STRING:
        packed = proto.tensor_content
        strings = _unpack_strings(packed, name, shape) if packed else list(proto.string_val)
        values: NDArray[Any] = np.array(strings, object)
    elif proto.dtype in _DTYPE_OF:
        values = _numbers(proto, name, shape)
        if values.size == 1:
            # the fill rule of TensorProto: one value stands for all; a view, whatever the shape
            return _filled(values, name, shape)
    else:
        raise ContractError(
            f"The server answered {name!r} with dtype {_dtype_name(proto.dtype)}, which no vcam "
            "output has. Is this model exported by vcam?"
        )
    if values.size != count:
        raise _wrong_count(name, shape, f"{values.size} values")
    try:
        return values.reshape(shape)
    except ValueError as error:  # more axes, or beside a 0 larger ones, than an array can have
        raise _wrong_count(name, shape, f"{values.size} values") from error


def _numbers(proto: pb.TensorProto, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(_DTYPE_OF[proto.dtype])
    if not proto.tensor_content:
        field = _FIELD_OF[proto.dtype]
        stated = np.array(getattr(proto, field), np.int32 if field == "int_val" else dtype)
        values = stated.astype(dtype, copy=False)
        if stated.dtype != dtype and not np.array_equal(values, stated):
            raise _wrong_count(name, shape, f"values beyond {dtype}")
        return values
    if len(proto.tensor_content) % dtype.itemsize:
        raise _wrong_count(name, shape, "a broken number of bytes")
    values = np.frombuffer(proto.tensor_content, dtype.newbyteorder("<")).astype(dtype)
    if values.size != math.prod(shape):  # no fill rule here
        raise _wrong_count(name, shape, f"{values.size} values")
    return values


def _filled(values: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return np.broadcast_to(values.reshape(()), shape)
    except ValueError as error:  # more values or axes than an array can have
        raise _wrong_count(name, shape, "one value") from error


def _dtype_name(code: int) -> str:
    return pb.DataType.Name(code) if code in pb.DataType.values() else str(code)


def _unpack_strings(content: bytes, name: str, shape: tuple[int, ...]) -> list[bytes]:
    """Byte strings in `tensor_content`: all lengths as varints, then all bytes.

    Source: `EncodeStringList` in TensorFlow's tensor_coding.cc.
    """
    lengths, at = [], 0
    for _ in range(math.prod(shape)):
        length = shift = 0
        while True:
            if at == len(content) or shift > 28:  # lengths are 32-bit varints
                raise _wrong_count(name, shape, "broken lengths of strings")
            byte, at = content[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise _wrong_count(name, shape, f"{len(content) - at} bytes of strings")
    ends = at + np.cumsum(lengths)
    return [content[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _shape(shape: tuple[int, ...]) -> pb.TensorShapeProto:
    return pb.TensorShapeProto(dim=[pb.TensorShapeProto.Dim(size=n) for n in shape])


def _wrong_count(name: str, shape: tuple[int, ...], received: str) -> ContractError:
    return ContractError(
        f"The server's {name!r} states shape {shape} and holds {received}. "
        "Something between server and client damages answers."
    )
