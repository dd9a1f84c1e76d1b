"""The gRPC transport: calls TensorFlow Serving by its literal method paths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from vcam_client import _wire
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.errors import (
    ContractError,
    DeadlineExceededError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
)

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_OPTIONS = [
    # a gRPC client refuses answers over 4 MiB by default; the server has no limit
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # calls over 256 KiB are silently never retried otherwise
    ("grpc.per_rpc_retry_buffer_size", 256 << 20),
]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Outputs by alias, and the model version that computed them."""

    outputs: Mapping[str, NDArray[Any]]
    version: int


class GrpcTransport:
    """One channel to one address, until it is closed."""

    def __init__(self, address: str, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._predict = self._channel.unary_unary(
            _PREDICT,
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )

    def predict(
        self,
        model: str,
        version: int | None,
        signature: str,
        inputs: Mapping[str, NDArray[Any] | Sequence[bytes]],
        outputs: Sequence[str] = (),
    ) -> Answer:
        """Calls a signature; asks for `outputs` only (none: for all).

        Raises:
            ServerUnavailableError, DeadlineExceededError, ModelNotFoundError,
            ServerError: as their names say.
            ContractError: the signature is missing, or the answer can't be read.
        """
        request = pb.PredictRequest(output_filter=outputs)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for alias, value in inputs.items():
            tensor = (
                _wire.to_tensor(value)
                if isinstance(value, np.ndarray)
                else _wire.to_string_tensor(value)
            )
            request.inputs[alias].CopyFrom(tensor)
        try:
            response = self._predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._error(error, model, version, signature) from error
        return Answer(
            outputs={k: _wire.from_tensor(t, k) for k, t in response.outputs.items()},
            version=response.model_spec.version.value,
        )

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _error(
        self, error: grpc.RpcError, model: str, version: int | None, signature: str
    ) -> ServerError | ContractError:
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.UNAVAILABLE:
            return ServerUnavailableError(
                f"No model server answers at {self.address} ({details}). Start one with "
                "`vcam-serve MODELS`, or name its address with --server HOST:PORT."
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceededError(
                f"The server at {self.address} did not answer within {self._timeout:g} s. "
                "Allow more with --timeout SECONDS."
            )
        if code is grpc.StatusCode.NOT_FOUND:
            wanted = f"{model!r}" if version is None else f"{model!r} version {version}"
            return ModelNotFoundError(
                f"The server at {self.address} serves no model {wanted} ({details}). Name one of "
                "its models with --model NAME, as its log and models folder tell them; a folder of "
                "versions is served as 'default'."
            )
        if code is grpc.StatusCode.FAILED_PRECONDITION and "signature" in details:
            return ContractError(
                f"Model {model!r} has no signature {signature!r} ({details}). "
                "Export it with `vcam-train export`."
            )
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ServerError(
                f"The server at {self.address} is busy ({details}). Try again, or start it with "
                "more threads (--grpc_max_threads)."
            )
        return ServerError(
            f"The server at {self.address} refused {signature!r} of model {model!r}: "
            f"{code.name}: {details}. `vcam-client info` shows what the model expects."
        )
