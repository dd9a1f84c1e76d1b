"""Predict over gRPC: what is accepted, and the texts of what is refused."""

import re

import grpc
import numpy as np
import pytest
from served.calls import Caller, arrays, request
from served.server import ServedModel
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

NO_VERSION = 99
FILLING = 50
ALL_OUTPUTS = ["cam", "class_index", "heatmap", "scores"]


def refused(caller: Caller, message: predict_pb2.PredictRequest) -> tuple[str, str]:
    """(code, text) of the refusal."""
    with pytest.raises(grpc.RpcError) as info:
        caller.predict(message)
    return info.value.code().name, info.value.details()


def scores_of(caller: Caller, model: ServedModel, volume: object) -> np.ndarray:
    message = request(model.name, {"volume": volume}, signature="scores", outputs=["scores"])
    return arrays(caller.predict(message))["scores"]


def shaped(model: ServedModel, **fields: object) -> tensor_pb2.TensorProto:
    """A volume's shape, with only these values."""
    number = types_pb2.DT_INT16 if model.spec.intensity.dtype == "int16" else types_pb2.DT_FLOAT
    proto = tensor_pb2.TensorProto(**{"dtype": number, **fields})
    for size in (1, *model.spec.grid.shape, 1):
        proto.tensor_shape.dim.add(size=size)
    return proto


def brackets(shape: tuple[int, ...]) -> str:
    return "[?," + ",".join(map(str, shape)) + ",1]"


def test_the_reply_names_version_and_signature(caller: Caller, subject: ServedModel) -> None:
    spec = caller.predict(request(subject.name, {"volume": subject.volume()})).model_spec
    assert (spec.name, spec.version.value) == (subject.name, subject.version)
    assert spec.signature_name == "serving_default"
    assert not spec.version_label


def test_an_empty_signature_name_means_serving_default(
    caller: Caller, subject: ServedModel
) -> None:
    inputs = {"volume": subject.volume()}
    unnamed = arrays(caller.predict(request(subject.name, inputs)))
    named = arrays(caller.predict(request(subject.name, inputs, signature="serving_default")))
    assert sorted(unnamed) == sorted(named) == ALL_OUTPUTS
    np.testing.assert_array_equal(unnamed["cam"], named["cam"])


def test_a_version_can_be_named(caller: Caller, subject: ServedModel) -> None:
    inputs = {"volume": subject.volume()}
    response = caller.predict(request(subject.name, inputs, version=subject.version))
    assert response.model_spec.version.value == subject.version


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            ["volume"],
            "1!=2 len({volume}) != len({class_index,volume}). Sent extra: {}. "
            "Missing but required: {class_index}.",
        ),
        (
            [],
            "0!=2 len({}) != len({class_index,volume}). Sent extra: {}. "
            "Missing but required: {class_index,volume}.",
        ),
        (
            ["volume", "class_index", "more"],
            "3!=2 len({class_index,more,volume}) != len({class_index,volume}). "
            "Sent extra: {more}. Missing but required: {}.",
        ),
    ],
    ids=["missing", "none", "extra"],
)
def test_wrong_number_of_inputs(
    caller: Caller, subject: ServedModel, inputs: list[str], text: str
) -> None:
    sent = {name: subject.volume() if name == "volume" else np.int32([0]) for name in inputs}
    code, details = refused(caller, request(subject.name, sent, signature="gradcam"))
    assert (code, details) == (
        "INVALID_ARGUMENT",
        f"input size does not match signature: {text}",
    )


def test_wrong_input_name(caller: Caller, subject: ServedModel) -> None:
    code, details = refused(caller, request(subject.name, {"vol": subject.volume()}))
    assert code == "INVALID_ARGUMENT"
    assert re.match(
        r"Signature input alias: volume\(feed name: .+\) not found in request and no default "
        r"value provided\. Inputs expected to be in the request \{vol\}",
        details,
    )


def test_wrong_dtype(caller: Caller, subject: ServedModel) -> None:
    sent = {"volume": subject.volume().astype(np.float64)}
    code, details = refused(caller, request(subject.name, sent))
    expected = {"float32": "float"}.get(subject.spec.intensity.dtype, "int16")
    assert code == "INVALID_ARGUMENT"
    assert re.search(rf"Expects arg\[\d+\] to be {expected} but double is provided", details)


@pytest.mark.parametrize("batch", [1, 3])
def test_wrong_shape(caller: Caller, subject: ServedModel, batch: int) -> None:
    sent = {"volume": subject.volume(batch).ravel()[:5]}
    code, details = refused(caller, request(subject.name, sent))
    assert code == "INVALID_ARGUMENT"
    assert re.search(
        r"Shape of tensor .* \[5\] is not compatible with expected shape "
        + re.escape(brackets(subject.spec.grid.shape)),
        details,
    )


@pytest.mark.parametrize(
    "fields",
    [{"tensor_content": b"\x01\x02\x03\x04"}, {"dtype": types_pb2.DT_INVALID}],
    ids=["too short", "DT_INVALID"],
)
def test_a_tensor_that_cant_be_read(
    caller: Caller, subject: ServedModel, fields: dict[str, object]
) -> None:
    sent = {"volume": shaped(subject, **fields)}
    assert refused(caller, request(subject.name, sent)) == (
        "INVALID_ARGUMENT",
        "tensor parsing error: volume",
    )


def test_no_values_are_zeros(caller: Caller, subject: ServedModel) -> None:
    received = scores_of(caller, subject, shaped(subject))
    expected = scores_of(caller, subject, np.zeros_like(subject.volume()))
    np.testing.assert_array_equal(received, expected)


def test_one_value_is_broadcast(caller: Caller, subject: ServedModel) -> None:
    field = "int_val" if subject.spec.intensity.dtype == "int16" else "float_val"
    received = scores_of(caller, subject, shaped(subject, **{field: [FILLING]}))
    expected = scores_of(caller, subject, np.full_like(subject.volume(), FILLING))
    np.testing.assert_array_equal(received, expected)


def test_typed_values_and_tensor_content_are_the_same(caller: Caller, subject: ServedModel) -> None:
    volume = subject.volume()
    field = "int_val" if subject.spec.intensity.dtype == "int16" else "float_val"
    typed = shaped(subject, **{field: volume.ravel().tolist()})
    content = shaped(subject, tensor_content=volume.tobytes())
    np.testing.assert_array_equal(
        scores_of(caller, subject, typed), scores_of(caller, subject, content)
    )


def test_output_filter_chooses(caller: Caller, subject: ServedModel) -> None:
    inputs = {"volume": subject.volume()}
    response = caller.predict(request(subject.name, inputs, outputs=["scores", "cam"]))
    assert sorted(response.outputs) == ["cam", "scores"]


def test_unknown_output(caller: Caller, subject: ServedModel) -> None:
    message = request(subject.name, {"volume": subject.volume()}, outputs=["nope"])
    assert refused(caller, message) == (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: nope Outputs expected to be in the set "
        f"{{{','.join(ALL_OUTPUTS)}}}.",
    )


def test_duplicate_output(caller: Caller, subject: ServedModel) -> None:
    message = request(subject.name, {"volume": subject.volume()}, outputs=["scores", "scores"])
    assert refused(caller, message) == (
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: scores",
    )


def test_unknown_signature(caller: Caller, subject: ServedModel) -> None:
    message = request(subject.name, {"volume": subject.volume()}, signature="nope")
    assert refused(caller, message) == (
        "FAILED_PRECONDITION",
        'Serving signature key "nope" not found.',
    )


def test_unknown_model(caller: Caller) -> None:
    assert refused(caller, request("nope")) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nope)",
    )


def test_unknown_version(caller: Caller, subject: ServedModel) -> None:
    assert refused(caller, request(subject.name, version=NO_VERSION)) == (
        "NOT_FOUND",
        f"Servable not found for request: Specific({subject.name}, {NO_VERSION})",
    )


def test_unknown_label(caller: Caller, subject: ServedModel) -> None:
    assert refused(caller, request(subject.name, label="canary")) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: canary",
    )


def test_no_model_spec(caller: Caller) -> None:
    assert refused(caller, predict_pb2.PredictRequest()) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )


def test_no_model_name(caller: Caller) -> None:
    assert refused(caller, request("", signature="scores")) == (
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    )


@pytest.mark.parametrize("beyond", [0, 4])
def test_class_index_out_of_range(caller: Caller, subject: ServedModel, beyond: int) -> None:
    index = subject.classes + beyond
    inputs = {"volume": subject.volume(), "class_index": np.int32([index])}
    code, details = refused(caller, request(subject.name, inputs, signature="gradcam"))
    assert code == "INVALID_ARGUMENT"
    assert f"indices = {index} is not in [0, {subject.classes})" in details


def test_garbage_bytes(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as info:
        caller.raw("/tensorflow.serving.PredictionService/Predict", b"\xff\xff\xff")
    assert (info.value.code().name, info.value.details()) == ("INTERNAL", "")


@pytest.mark.parametrize("method", ["/tensorflow.serving.PredictionService/Nope", "/no.Such/Thing"])
def test_unknown_method(caller: Caller, method: str) -> None:
    with pytest.raises(grpc.RpcError) as info:
        caller.raw(method)
    assert (info.value.code().name, info.value.details()) == ("UNIMPLEMENTED", "")
