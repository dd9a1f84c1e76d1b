"""The gRPC transport for asyncio."""

import asyncio
import contextlib

import grpc
import grpc.aio

from vcam_client import _grpc_messages as messages
from vcam_client._calls import Answer, Call, Target, VersionStatus
from vcam_client._connection import Connection
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client._refusals import UnknownMethodError
from vcam_client._retry import Deadline
from vcam_client._tls import why_refused
from vcam_client.errors import ModelNotFoundError, VcamError


class AsyncGrpcTransport:
    """One channel to one address, until it is closed; made within a running event loop.

    Attributes:
        address: HOST:PORT.
    """

    filters_outputs = True

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._to = connection
        self._answered = False
        secret = messages.credentials(connection)
        options = messages.options(address)
        self._channel = (
            grpc.aio.insecure_channel(address, options=options)
            if secret is None
            else grpc.aio.secure_channel(address, secret, options=options)
        )
        self._methods = {
            path: self._channel.unary_unary(path)
            for path in (messages.PREDICT, messages.STATUS, messages.HEALTH)
        }

    async def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `GrpcTransport.predict`."""
        request = messages.predict_request(call).SerializeToString()
        content = await self._call(messages.PREDICT, request, timeout, call.target, call.signature)
        return messages.answer(content, len(request))

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first; errors as for `predict`."""
        request = messages.status_request(target).SerializeToString()
        content = await self._call(messages.STATUS, request, timeout, target, "status")
        return messages.statuses(content)

    async def healthy(self, timeout: float) -> bool:
        """Whether the server says that it serves; one without a health service answers too."""
        request = pb.HealthCheckRequest().SerializeToString()
        try:
            content = await self._call(messages.HEALTH, request, timeout, Target(), "health")
        except UnknownMethodError:
            with contextlib.suppress(ModelNotFoundError):
                await self.status(Target(), timeout)
            return True
        return messages.is_serving(content)

    async def close(self) -> None:
        """Closes the channel; calls in flight are cancelled."""
        await self._channel.close()

    async def _call(
        self, path: str, request: bytes, timeout: float, target: Target, signature: str
    ) -> bytes:
        deadline = Deadline(timeout)
        try:
            content: bytes = await self._methods[path](
                request, timeout=timeout, metadata=self._to.headers
            )
        except grpc.RpcError as error:
            code, details = messages.code_and_details(error)
            broken = path == messages.PREDICT and messages.is_broken(code, details)
            if not self._answered and messages.without_reason(code, details):
                reason = await asyncio.to_thread(
                    why_refused, self.address, self._to.tls, deadline.left
                )
                details = reason or details
            raise self._failed(code, details, target, signature, broken) from error
        self._answered = True
        return content

    def _failed(
        self, code: str, details: str, target: Target, signature: str, broken: bool
    ) -> VcamError:
        return messages.error_of(
            code,
            details,
            address=self.address,
            to=self._to,
            target=target,
            signature=signature,
            broken=broken,
        )
