"""Calls and answers as gRPC messages of TensorFlow Serving, and its refusals as errors."""

from typing import Any, TypeVar, cast

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from vcam_client import _wire
from vcam_client._calls import Answer, Call, Target, Traffic, VersionStatus
from vcam_client._connection import Connection, is_loopback
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client._proxies import proxy_of, without_passwords
from vcam_client._refusals import refused
from vcam_client.errors import ContractError, VcamError

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
HEALTH = "/grpc.health.v1.Health/Check"

_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000
_RETRY_BUFFER_BYTES = 256 << 20
_CONNECT_MS = 5_000
_RECONNECT_MS = (100, 1_000)
_ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'

_MOST_ANSWER_BYTES = 2**29
"""More than any answer needs that is asked for; a server gone wild must not fill the memory."""

_CLOSED = ("socket closed", "connection reset", "broken pipe", "end of tcp stream", "eof")
_BROKEN = (*_CLOSED, "connection aborted", "goaway", "stream removed", "watchdog", "recvmsg")
_NEVER_OPEN = ("failed to connect", "connections to all backends failing", "name resolution")

_Message = TypeVar("_Message")

_OPTIONS: list[tuple[str, Any]] = [
    # a gRPC client refuses answers over 4 MiB by default; the server has no limit
    ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # gRPC's own (transparent) retries skip calls over 256 KiB otherwise
    ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
    # a name with several addresses is spread over all of them
    ("grpc.service_config", _ROUND_ROBIN),
    # connections that a firewall has silently dropped are noticed during a call
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    # connecting is given up after 5 s instead of 20; a restarted server is found again
    # within a second instead of two minutes, as our own attempts come with pauses
    ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS[0]),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS[1]),
]


def options(address: str) -> list[tuple[str, Any]]:
    """Channel options: what is sent to this machine is not sent through a proxy."""
    return [*_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(address)))]


def credentials(connection: Connection) -> grpc.ChannelCredentials | None:
    """TLS credentials, or None for an unencrypted channel.

    Raises:
        InputError: a certificate or key that can't be read.
    """
    tls = connection.tls
    if tls is None:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=tls.read("ca"),
        private_key=tls.read("key"),
        certificate_chain=tls.read("certificate"),
    )


def predict_request(call: Call) -> pb.PredictRequest:
    """The message of a call."""
    request = pb.PredictRequest(output_filter=call.outputs)
    _name(request.model_spec, call.target)
    request.model_spec.signature_name = call.signature
    for alias, value in call.inputs.items():
        tensor = (
            _wire.to_tensor(value)
            if isinstance(value, np.ndarray)
            else _wire.to_string_tensor(value)
        )
        request.inputs[alias].CopyFrom(tensor)
    return request


def answer(content: bytes, sent: int) -> Answer:
    """The outputs of a response; `sent` bytes went the other way.

    Raises:
        ContractError: outputs that can't be read.
    """
    response = parsed(content, pb.PredictResponse)
    if not response.model_spec.HasField("version"):
        raise ContractError(
            "Expected an answer that names the model's version, received one without. Something "
            "between server and client changes answers."
        )
    return Answer(
        outputs={k: _wire.from_tensor(t, k) for k, t in response.outputs.items()},
        version=response.model_spec.version.value,
        traffic=Traffic(sent=sent, received=len(content)),
    )


def parsed(content: bytes | None, message: type[_Message]) -> _Message:
    """A message from its bytes.

    Raises:
        ContractError: they are none, or gRPC got nothing though the call went well.
    """
    if content is None:
        raise ContractError(
            "Expected an answer of TensorFlow Serving, received a status without one. Check that "
            "--server names a model server, not something else with gRPC."
        )
    try:
        return cast(_Message, cast(Any, message).FromString(content))
    except DecodeError as error:
        raise ContractError(
            f"Expected an answer of TensorFlow Serving, received {len(content)} bytes that are "
            "none. Check that --server names a model server, not something else with gRPC."
        ) from error


def status_request(target: Target) -> pb.GetModelStatusRequest:
    """The message that asks for a model's versions."""
    request = pb.GetModelStatusRequest()
    _name(request.model_spec, target)
    return request


def statuses(content: bytes) -> list[VersionStatus]:
    """Versions, newest first.

    Raises:
        ContractError: the bytes are no such answer.
    """
    response = parsed(content, pb.GetModelStatusResponse)
    states = pb.ModelVersionStatus.State
    found = [
        VersionStatus(
            version=item.version,
            state=states.Name(item.state) if item.state in states.values() else "UNKNOWN",
            error=item.status.error_message,
        )
        for item in response.model_version_status
    ]
    return sorted(found, key=lambda status: -status.version)


def is_serving(content: bytes) -> bool:
    """Whether an answer of the health service says so.

    Raises:
        ContractError: the bytes are no such answer.
    """
    status = parsed(content, pb.HealthCheckResponse).status
    return bool(status == pb.HealthCheckResponse.SERVING)


def code_and_details(error: grpc.RpcError) -> tuple[str, str]:
    """Name of the status code, and the text."""
    call = cast(grpc.Call, error)
    return call.code().name, str(call.details() or "")


def without_reason(code: str, details: str) -> bool:
    """Whether a connection was closed without a word, so that TLS may be the reason."""
    return code == "UNAVAILABLE" and any(word in details.lower() for word in _CLOSED)


def is_broken(code: str, details: str) -> bool:
    """Whether a connection broke that was open, so that the server may have read the call."""
    text = details.lower()
    return (
        code == "UNAVAILABLE"
        and any(words in text for words in _BROKEN)
        and not any(words in text for words in _NEVER_OPEN)
    )


def error_of(
    code: str,
    details: str,
    *,
    address: str,
    to: Connection,
    target: Target,
    signature: str,
    broken: bool,
) -> VcamError:
    """What a failed call means; `broken` says whether its connection broke."""
    return refused(
        code,
        without_passwords(to.redacted(details)),
        address=address,
        target=target,
        signature=signature,
        timeout=to.timeout,
        encrypted=to.tls is not None,
        broken=broken,
        proxy=None if is_loopback(address) else proxy_of(address),
    )


def _name(spec: pb.ServableSpec, target: Target) -> None:
    spec.name = target.model
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label
