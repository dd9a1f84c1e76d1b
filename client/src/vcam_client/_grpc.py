"""The gRPC transport: calls TensorFlow Serving by its literal method paths."""

from typing import Any

import grpc

from vcam_client import _grpc_messages as messages
from vcam_client._calls import Answer, Call, Target, VersionStatus
from vcam_client._connection import Connection
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client.errors import VcamError


class GrpcTransport:
    """One channel to one address, until it is closed."""

    filters_outputs = True

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._headers = connection.headers
        self._patience = connection.timeout
        secret = messages.credentials(connection)
        self._channel = (
            grpc.insecure_channel(address, options=messages.OPTIONS)
            if secret is None
            else grpc.secure_channel(address, secret, options=messages.OPTIONS)
        )
        self._predict = self._method(messages.PREDICT, pb.PredictResponse)
        self._status = self._method(messages.STATUS, pb.GetModelStatusResponse)
        self._health = self._method(messages.HEALTH, pb.HealthCheckResponse)

    def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature.

        Raises:
            ServerUnavailableError, DeadlineExceededError, ModelNotFoundError,
            ServerError: as their names say.
            ContractError: the signature is missing, or the answer can't be read.
        """
        request = messages.predict_request(call)
        try:
            response = self._predict(request, timeout=timeout, metadata=self._headers)
        except grpc.RpcError as error:
            raise self._failed(error, call.target, call.signature) from error
        return messages.answer(response, request.ByteSize())

    def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first; errors as for `predict`."""
        try:
            response = self._status(
                messages.status_request(target), timeout=timeout, metadata=self._headers
            )
        except grpc.RpcError as error:
            raise messages.error_of(
                error, self.address, target, "status", self._patience
            ) from error
        return messages.statuses(response)

    def healthy(self, timeout: float) -> bool:
        """Whether the server says that it serves; a server without a health service answers too."""
        try:
            answer = self._health(pb.HealthCheckRequest(), timeout=timeout, metadata=self._headers)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return True
            raise messages.error_of(
                error, self.address, Target(), "health", self._patience
            ) from error
        return bool(answer.status == pb.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _failed(self, error: grpc.RpcError, target: Target, signature: str) -> VcamError:
        return messages.error_of(error, self.address, target, signature, self._patience)

    def _method(self, path: str, response: Any) -> Any:
        return self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
