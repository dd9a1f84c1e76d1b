"""The gRPC side: PredictionService, ModelService and health, as TensorFlow Serving has them."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
)

from vcam_client.errors import ServerUnavailableError
from vcam_serving import _answers
from vcam_serving._models import Models
from vcam_serving._status import StatusError
from vcam_serving._tensors import encode

PREDICTION_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]
MODEL_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
# Texts travel in a header, and headers are limited; TensorFlow Serving cuts them here too.
_MESSAGE_LIMIT = 1024
# Threads beyond the limit: they only refuse.
_REFUSING_THREADS = 8
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Otherwise a second server would share the port without a word.
    ("grpc.so_reuseport", 0),
)


def build(models: Models, *, max_threads: int, tensor_content: bool) -> grpc.Server:
    """A server without a port, not started.

    Args:
        models: what it serves.
        max_threads: calls at once; more get RESOURCE_EXHAUSTED.
        tensor_content: answer with `tensor_content` instead of typed fields.
    """

    def predict(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        response, outputs = _answers.run(models, request)
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(encode(array, as_content=tensor_content))
        return response

    slots = threading.BoundedSemaphore(max_threads)

    def method(request: type[Message], answer: Callable[[Any], Message]) -> grpc.RpcMethodHandler:
        return _method(request, answer, slots)

    prediction = {
        "Predict": method(predict_pb2.PredictRequest, predict),
        "GetModelMetadata": method(
            get_model_metadata_pb2.GetModelMetadataRequest,
            lambda request: _answers.metadata(models, request),
        ),
    }
    model = {
        "GetModelStatus": method(
            get_model_status_pb2.GetModelStatusRequest,
            lambda request: _answers.status(models, request),
        )
    }
    pool = ThreadPoolExecutor(max_threads + _REFUSING_THREADS, thread_name_prefix="vcam-grpc")
    server = grpc.server(pool, options=_OPTIONS)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(PREDICTION_SERVICE.full_name, prediction),
            grpc.method_handlers_generic_handler(MODEL_SERVICE.full_name, model),
        )
    )
    servicer = health.HealthServicer()
    for service in ("", PREDICTION_SERVICE.full_name, MODEL_SERVICE.full_name):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((_Unimplemented(),))
    return server


def listen(server: grpc.Server, addresses: Iterable[str]) -> None:
    """Binds the addresses and starts.

    Raises:
        ServerUnavailableError: one of them is taken or not of this machine.
    """
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise ServerUnavailableError(
                f"Expected {address} to be free for gRPC, it can't be bound. "
                "Choose another port with --port, or 0 for any free one."
            ) from error
    server.start()


class _Unimplemented(grpc.GenericRpcHandler):
    """Answers every method that nobody else knows, with an empty text."""

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def refuse(_requests: Any, context: grpc.ServicerContext) -> Any:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

        return grpc.stream_stream_rpc_method_handler(refuse)


def _method(
    request_type: type[Message], answer: Callable[[Any], Message], slots: threading.Semaphore
) -> grpc.RpcMethodHandler:
    # Requests are parsed here: gRPC's own refusal of garbage carries a text.
    def handle(raw: bytes, context: grpc.ServicerContext) -> Message:
        if not slots.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        try:
            return answer(request_type.FromString(raw))
        except DecodeError:
            context.abort(grpc.StatusCode.INTERNAL, "")
        except StatusError as error:
            context.abort(error.code, _cut(error.message))
        finally:
            slots.release()
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(
        handle, response_serializer=lambda response: response.SerializeToString()
    )


def _cut(message: str) -> str:
    if len(message) <= _MESSAGE_LIMIT:
        return message
    return message[:_MESSAGE_LIMIT] + "...TRUNCATED"
