"""One tensor out of JSON, with TensorFlow Serving's checks and texts."""

import base64
import binascii
import json
import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2

from vcam_serving._status import StatusError, invalid_argument
from vcam_serving._tensors import array_dtype, type_name

# Messages quote what was received; a whole volume would help nobody.
_QUOTED_CHUNKS = 512
_QUOTED_CHARACTERS = 2048

# NumPy's limit before version 2; no signature has more than 5.
_MAX_RANK = 32

_FLOATS = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
_INTEGERS = {
    types_pb2.DT_INT8: np.int32,
    types_pb2.DT_UINT8: np.int32,
    types_pb2.DT_INT16: np.int32,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}
_JSON_TYPES = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def read_tensor(value: Any, data_type: int) -> np.ndarray:
    """An array from nested lists; strings also from {"b64": "…"}.

    Raises:
        StatusError: ragged lists, or a value that the type can't hold.
    """
    shape = _shape(value)
    if len(shape) > _MAX_RANK:
        raise invalid_argument(
            f"Expected at most {_MAX_RANK} lists in each other, received {len(shape)}."
        )
    leaves = _flattened(value, shape)
    if not _all_fit(leaves, data_type):
        # Value by value: slow, and finds the one to complain about.
        leaves = []
        _fill(value, 0, shape, data_type, leaves)
    wide = _INTEGERS.get(data_type, np.float64 if data_type in _FLOATS else array_dtype(data_type))
    # Narrow integers travel in 32 bits and are cut, as in TensorFlow's int_val.
    return np.array(leaves, dtype=wide).astype(array_dtype(data_type)).reshape(shape)


def quote(value: Any) -> str:
    """The value as indented JSON for a message, cut when long."""
    text = "".join(islice(_chunks(value), _QUOTED_CHUNKS))
    return text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…"


def is_base64(value: Any) -> bool:
    """Whether it is {"b64": "…"}: bytes, not an object of named tensors."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _chunks(value: Any) -> Iterator[str]:
    return json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value)


def _shape(value: Any) -> tuple[int, ...]:
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _flattened(value: Any, shape: tuple[int, ...]) -> list[Any]:
    """The leaves of lists that have this shape throughout; nothing when they don't."""
    items = [value]
    for size in shape:
        if set(map(type, items)) != {list} or set(map(len, items)) != {size}:
            return []
        items = list(chain.from_iterable(items))
    return items


def _fill(
    value: Any, level: int, shape: tuple[int, ...], data_type: int, leaves: list[Any]
) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        leaves.append(_leaf(value, data_type))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, data_type, leaves)


def _all_fit(leaves: list[Any], data_type: int) -> bool:
    """Whether they surely need no look at each of them."""
    types = set(map(type, leaves))
    if data_type in _INTEGERS and types == {int}:
        bounds = np.iinfo(_INTEGERS[data_type])
        return bounds.min <= min(leaves) and max(leaves) <= bounds.max
    if data_type in _FLOATS and types and types <= {int, float}:
        try:
            values = np.array(leaves, np.float64)
        except OverflowError:
            return False
        limit = _largest(data_type) if types == {float} else _largest_integer(data_type)
        return bool(np.all(~np.isfinite(values) | (abs(values) <= limit)))
    return False


def _leaf(value: Any, data_type: int) -> Any:
    kind = type(value)
    if data_type == types_pb2.DT_STRING:
        if kind is dict:
            return _decode_base64(value)
        if kind is str:
            return value.encode("utf-8", "surrogateescape")
    elif data_type in _FLOATS:
        if kind in (int, float):
            return _decimal(value, data_type)
    elif data_type in _INTEGERS:
        bounds = np.iinfo(_INTEGERS[data_type])
        if kind is int and bounds.min <= value <= bounds.max:
            return value
    elif data_type == types_pb2.DT_BOOL:
        if kind is bool:
            return value
    else:
        raise StatusError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {quote(value)} to type: {type_name(data_type)}",
        )
    named = str(value) if kind is bool else _JSON_TYPES[kind]
    raise invalid_argument(
        f"JSON Value: {quote(value)} Type: {named} is not of expected type: {type_name(data_type)}"
    )


def _decimal(value: float, data_type: int) -> float:
    limit = _largest_integer(data_type) if isinstance(value, int) else _largest(data_type)
    if abs(value) > limit and abs(value) != math.inf:
        raise invalid_argument(
            f"Cannot convert JSON value: {quote(value)} to {type_name(data_type)} "
            "without loss of precision."
        )
    return float(value)


def _largest(data_type: int) -> float:
    return float(np.finfo(_FLOATS[data_type]).max)


def _largest_integer(data_type: int) -> int:
    """The largest that is exact, as are all below it."""
    return int(2 ** (np.finfo(_FLOATS[data_type]).nmant + 1) - 1)


def _decode_base64(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid_argument(
            f"JSON Value: {quote(value)} not formatted correctly for base64 data"
        )
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error as error:
        raise invalid_argument("Unable to base64 decode") from error
