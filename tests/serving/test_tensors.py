"""TensorProto to numpy: the same as TensorFlow's own parser."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from vcam_serving._tensors import decode, encode

DTYPES = [
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.bool_,
]
STRINGS = np.array([b"", b"a", b"\xff\x00 bytes", b"x" * 300], object)


def proto(data_type: int, shape: tuple[int, ...], **fields: object) -> tensor_pb2.TensorProto:
    message = tensor_pb2.TensorProto(dtype=data_type, **fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


def by_tensorflow(message: tensor_pb2.TensorProto) -> np.ndarray:
    return tf.io.parse_tensor(message.SerializeToString(), message.dtype).numpy()


@pytest.mark.parametrize("as_content", [False, True], ids=["typed", "content"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (1, 4, 100)], ids=str)
def test_round_trip(dtype: type, shape: tuple[int, ...], as_content: bool) -> None:
    array = np.asarray(np.random.default_rng(0).uniform(0, 100, shape)).astype(dtype)
    message = encode(array, as_content=as_content)
    assert bool(message.tensor_content) == (as_content and array.size > 0)
    for read in (decode(message), by_tensorflow(message)):
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("as_content", [False, True], ids=["typed", "content"])
def test_strings(as_content: bool) -> None:
    message = encode(STRINGS.reshape(2, 2), as_content=as_content)
    for read in (decode(message), by_tensorflow(message)):
        np.testing.assert_array_equal(read, STRINGS.reshape(2, 2))


def test_special_floats_survive() -> None:
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    for as_content in (False, True):
        assert decode(encode(array, as_content=as_content)).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "message",
    [
        proto(types_pb2.DT_FLOAT, (2, 2)),
        proto(types_pb2.DT_FLOAT, (2, 2), float_val=[1.0, 2.0]),
        proto(types_pb2.DT_FLOAT, (2, 2), float_val=[1.0, 2.0, 3.0, 4.0, 5.0]),
        proto(types_pb2.DT_FLOAT, (), float_val=[]),
        proto(types_pb2.DT_FLOAT, (0,), float_val=[1.0]),
        proto(types_pb2.DT_INT16, (2,), int_val=[70000]),
        proto(types_pb2.DT_HALF, (3,), half_val=[0x3C00]),
        proto(types_pb2.DT_STRING, (3,), string_val=[b"a", b"b"]),
        proto(types_pb2.DT_STRING, (2,)),
        proto(types_pb2.DT_BOOL, (2,), bool_val=[True]),
        tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT, tensor_shape={"unknown_rank": True}, float_val=[1.0]
        ),
    ],
)
def test_the_fill_rule(message: tensor_pb2.TensorProto) -> None:
    expected = by_tensorflow(message)
    received = decode(message)
    assert received.dtype == expected.dtype
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize(
    "message",
    [
        proto(types_pb2.DT_INVALID, (1,)),
        proto(types_pb2.DT_FLOAT, (-1,), float_val=[1.0]),
        proto(types_pb2.DT_FLOAT, (2,), tensor_content=b"1234"),
        proto(types_pb2.DT_FLOAT, (1,), tensor_content=b"12345678"),
        proto(types_pb2.DT_BOOL, (2,), tensor_content=b"\x01\x02"),
        proto(types_pb2.DT_STRING, (2,), tensor_content=b"\x01\x02a"),
        proto(types_pb2.DT_STRING, (1,), tensor_content=b"\xff\xff\xff\xff\xff\xff"),
    ],
)
def test_what_tensorflow_does_not_read_either(message: tensor_pb2.TensorProto) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(message)
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        by_tensorflow(message)
