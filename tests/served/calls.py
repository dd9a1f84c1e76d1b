"""Calls with the official stubs and over REST."""

import http.client
import json
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TIMEOUT_SECONDS = 60
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Caller:
    """The official stubs on one channel."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=_UNLIMITED)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(request, timeout=TIMEOUT_SECONDS)

    def metadata(self, **fields: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
        request = get_model_metadata_pb2.GetModelMetadataRequest(**fields)
        return self.prediction.GetModelMetadata(request, timeout=TIMEOUT_SECONDS)

    def status(self, **fields: Any) -> get_model_status_pb2.GetModelStatusResponse:
        request = get_model_status_pb2.GetModelStatusRequest(**fields)
        return self.model.GetModelStatus(request, timeout=TIMEOUT_SECONDS)

    def raw(self, method: str, body: bytes = b"") -> bytes:
        return self.channel.unary_unary(method)(body, timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request(
    model: str,
    inputs: Mapping[str, np.ndarray | tensor_pb2.TensorProto] | None = None,
    *,
    signature: str = "",
    outputs: Iterable[str] = (),
    version: int | None = None,
    label: str = "",
) -> predict_pb2.PredictRequest:
    """A PredictRequest."""
    message = predict_pb2.PredictRequest(output_filter=outputs)
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    if label:
        message.model_spec.version_label = label
    for name, value in (inputs or {}).items():
        proto = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        message.inputs[name].CopyFrom(proto)
    return message


def arrays(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    """{output name: array}, read by TensorFlow: tensor_content or typed fields."""
    return {
        name: tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
        for name, proto in response.outputs.items()
    }


def rest(
    address: str, method: str, path: str, body: bytes | Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    """Calls and returns (HTTP status, the parsed answer)."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, sent)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except json.JSONDecodeError:
        return response.status, text.decode()
