"""A stand-in model server that answers whatever a test wants, without TensorFlow."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np

from vcam_client import _wire
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.spec import (
    Activation,
    CamLayer,
    ExplainDefault,
    Grid,
    Intensity,
    ModelSpec,
)

SPEC = ModelSpec(
    name="stand-in",
    labels=("clear", "lesion"),
    activation=Activation.SOFTMAX,
    explain_default=ExplainDefault.POSITIVE_CLASS,
    grid=Grid(shape=(4, 6, 8), padding_value=-1000),
    intensity=Intensity(units="HU", dtype="int16", window=(-1000, 400), modalities=("CT",)),
    cam_layers=(CamLayer(name="conv", cells=(2, 3, 4), offset=(0.5, 0.5, 0.5), stride=(2, 2, 2)),),
)

Outputs = Mapping[str, np.ndarray]


class RefusalError(Exception):
    """Makes the stand-in answer with an error."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


@dataclass
class StandIn:
    """What the server answers, and what it was asked.

    Attributes:
        predict: outputs for a request.
        spec_json: what the signature `spec` answers.
        version: the version it says it is; a request for another is NOT_FOUND.
        requests: all requests, in order.
        address: "127.0.0.1:PORT".
        token: the bearer token without which it is UNAUTHENTICATED, or None.
        metadata: of the last call.
        content: where it is set, the bytes that every call is answered with.
    """

    predict: Callable[[pb.PredictRequest], Outputs] = lambda request: answer()
    spec_json: str = SPEC.to_json()
    version: int = 1
    requests: list[pb.PredictRequest] = field(default_factory=list)
    address: str = ""
    token: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def reply(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> bytes:
        self.admit(context)
        response = self.handle(request, context)
        return response.SerializeToString() if self.content is None else self.content

    def admit(self, context: grpc.ServicerContext) -> None:
        self.metadata = {str(name): str(value) for name, value in context.invocation_metadata()}
        if self.token and self.metadata.get("authorization") != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")

    def statuses(self, context: grpc.ServicerContext) -> bytes:
        self.admit(context)
        response = pb.GetModelStatusResponse()
        response.model_version_status.add(version=self.version, state="AVAILABLE")
        return response.SerializeToString()

    def handle(
        self, request: pb.PredictRequest, context: grpc.ServicerContext
    ) -> pb.PredictResponse:
        self.requests.append(request)
        asked = request.model_spec
        try:
            if asked.HasField("version") and asked.version.value != self.version:
                raise RefusalError(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
            response = pb.PredictResponse()
            response.model_spec.version.value = self.version
            if asked.signature_name == "spec":
                tensor = _wire.to_string_tensor([self.spec_json.encode()])
                response.outputs["model_spec"].CopyFrom(tensor)
            else:
                for name, value in self.predict(request).items():
                    response.outputs[name].CopyFrom(_wire.to_tensor(value))
            return response
        except RefusalError as refusal:
            context.abort(refusal.code, refusal.details)
            raise


def answer(
    scores: tuple[float, ...] = (0.25, 0.75), cam: np.ndarray | None = None, class_index: int = 1
) -> dict[str, np.ndarray]:
    """Outputs of `SPEC`'s serving_default."""
    if cam is None:
        cam = np.zeros((2, 3, 4), np.float32)
        cam[1, 2, 3] = 2
    return {
        "scores": np.array([scores], np.float32),
        "cam": cam[None].astype(np.float32),
        "class_index": np.array([class_index], np.int32),
    }


@contextmanager
def stand_in(credentials: grpc.ServerCredentials | None = None, port: int = 0) -> Iterator[StandIn]:
    """A running stand-in server, encrypted where it has credentials."""
    state = StandIn()
    server = grpc.server(
        ThreadPoolExecutor(64),
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    for service, name, request, answer_to in (
        (
            "tensorflow.serving.PredictionService",
            "Predict",
            pb.PredictRequest,
            lambda request, context: state.reply(request, context),
        ),
        (
            "tensorflow.serving.ModelService",
            "GetModelStatus",
            pb.GetModelStatusRequest,
            lambda _, context: state.statuses(context),
        ),
    ):
        handler = grpc.unary_unary_rpc_method_handler(
            answer_to, request_deserializer=request.FromString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {name: handler}),)
        )
    address = f"127.0.0.1:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    state.address = f"127.0.0.1:{port}"
    try:
        yield state
    finally:
        server.stop(None).wait()
