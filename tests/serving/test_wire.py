"""Our protos and codec against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from vcam_client import _wire
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.errors import ContractError

DTYPES = ["float32", "float64", "int16", "int32", "int64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_we_write_tensorflow_reads(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for given in (array, array.astype(array.dtype.newbyteorder(">")), array.transpose(2, 0, 1)):
        proto = tf.make_tensor_proto(0)
        proto.ParseFromString(_wire.to_tensor(given).SerializeToString())
        np.testing.assert_array_equal(tf.make_ndarray(proto), given)


@pytest.mark.parametrize("dtype", DTYPES)
def test_we_read_typed_fields_and_tensor_content(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = tf.make_tensor_proto(array)
    typed = predict_pb2.PredictResponse().outputs["x"]
    typed.CopyFrom(content)
    typed.ClearField("tensor_content")
    field = {"float32": "float_val", "float64": "double_val", "int64": "int64_val"}
    getattr(typed, field.get(dtype, "int_val")).extend(array.ravel().tolist())
    for proto in (content, typed):
        assert proto.tensor_content or proto is typed
        ours = pb.TensorProto.FromString(proto.SerializeToString())
        read = _wire.from_tensor(ours, "x")
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype


def test_one_value_stands_for_all() -> None:
    proto = tf.make_tensor_proto(7.0, shape=(2, 3), dtype=tf.float32)
    read = _wire.from_tensor(pb.TensorProto.FromString(proto.SerializeToString()), "x")
    np.testing.assert_array_equal(read, np.full((2, 3), 7.0))


@pytest.mark.parametrize("texts", [[b"{}"], [b"", b"a" * 300, b"\xff\x80"], []])
def test_strings_in_tensor_content_are_read(texts: list[bytes]) -> None:
    from vcam_serving._tensors import encode

    packed = encode(np.array(texts, object), as_content=True)
    ours = pb.TensorProto.FromString(packed.SerializeToString())
    assert not ours.string_val
    assert _wire.from_tensor(ours, "x").tolist() == texts


@pytest.mark.parametrize("content", [b"\x05abc", b"\xff\xff\xff\xff\xff\xff", b"\x01ab"])
def test_broken_strings_are_refused(content: bytes) -> None:
    proto = _wire.to_string_tensor([b""])
    proto.ClearField("string_val")
    proto.tensor_content = content
    with pytest.raises(ContractError, match="states shape"):
        _wire.from_tensor(proto, "x")


@pytest.mark.parametrize("cut", [1, 4])
def test_a_wrong_number_of_bytes_is_refused(cut: int) -> None:
    proto = _wire.to_tensor(np.zeros((2, 3), np.float32))
    proto.tensor_content = proto.tensor_content[:-cut]
    with pytest.raises(ContractError, match="states shape"):
        _wire.from_tensor(proto, "x")


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ContractError, match="no vcam output"):
        _wire.from_tensor(pb.TensorProto(dtype=pb.DT_BOOL), "x")


def test_our_messages_have_the_bytes_of_the_official_ones() -> None:
    pairs = {
        pb.PredictRequest: predict_pb2.PredictRequest,
        pb.PredictResponse: predict_pb2.PredictResponse,
        pb.GetModelMetadataRequest: get_model_metadata_pb2.GetModelMetadataRequest,
        pb.GetModelMetadataResponse: get_model_metadata_pb2.GetModelMetadataResponse,
        pb.SignatureDefMap: get_model_metadata_pb2.SignatureDefMap,
        pb.GetModelStatusRequest: get_model_status_pb2.GetModelStatusRequest,
        pb.GetModelStatusResponse: get_model_status_pb2.GetModelStatusResponse,
    }
    for ours, theirs in pairs.items():
        assert_same_fields(ours.DESCRIPTOR, theirs.DESCRIPTOR, set())


def assert_same_fields(ours: object, theirs: object, seen: set[str]) -> None:
    if ours.full_name in seen:  # type: ignore[attr-defined]
        return
    seen.add(ours.full_name)  # type: ignore[attr-defined]
    official = {f.number: f for f in theirs.fields}  # type: ignore[attr-defined]
    for mine in ours.fields:  # type: ignore[attr-defined]
        other = official[mine.number]
        assert (mine.name, mine.is_repeated) == (other.name, other.is_repeated)
        if mine.message_type is not None:
            assert_same_fields(mine.message_type, other.message_type, seen)
        elif mine.enum_type is not None:
            for value in mine.enum_type.values:
                assert other.enum_type.values_by_number[value.number].name == value.name
        else:
            # StatusProto.error_code: an enum there, its number here; the same varint
            assert mine.type == other.type or (mine.cpp_type, other.cpp_type) == (1, 8)
