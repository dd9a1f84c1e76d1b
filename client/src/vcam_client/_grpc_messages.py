"""Calls and answers as gRPC messages of TensorFlow Serving, and its refusals as errors."""

from typing import Any, cast

import grpc
import numpy as np

from vcam_client import _wire
from vcam_client._calls import Answer, Call, Target, Traffic, VersionStatus
from vcam_client._connection import Connection
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client._refusals import refused
from vcam_client.errors import VcamError

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
HEALTH = "/grpc.health.v1.Health/Check"

_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000
_RETRY_BUFFER_BYTES = 256 << 20
_ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'

OPTIONS: list[tuple[str, Any]] = [
    # a gRPC client refuses answers over 4 MiB by default; the server has no limit
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # gRPC's own (transparent) retries skip calls over 256 KiB otherwise
    ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
    # a name with several addresses is spread over all of them
    ("grpc.service_config", _ROUND_ROBIN),
    # connections that a firewall has silently dropped are noticed during a call
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
]


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


def answer(response: pb.PredictResponse, sent: int) -> Answer:
    """The outputs of a response; `sent` bytes went the other way.

    Raises:
        ContractError: outputs that can't be read.
    """
    return Answer(
        outputs={k: _wire.from_tensor(t, k) for k, t in response.outputs.items()},
        version=response.model_spec.version.value,
        traffic=Traffic(sent=sent, received=response.ByteSize()),
    )


def status_request(target: Target) -> pb.GetModelStatusRequest:
    """The message that asks for a model's versions."""
    request = pb.GetModelStatusRequest()
    _name(request.model_spec, target)
    return request


def statuses(response: pb.GetModelStatusResponse) -> list[VersionStatus]:
    """Versions, newest first."""
    found = [
        VersionStatus(
            version=item.version,
            state=pb.ModelVersionStatus.State.Name(item.state),
            error=item.status.error_message,
        )
        for item in response.model_version_status
    ]
    return sorted(found, key=lambda status: -status.version)


def error_of(
    error: grpc.RpcError, address: str, target: Target, signature: str, timeout: float
) -> VcamError:
    """What a failed call means."""
    call = cast(grpc.Call, error)
    return refused(
        call.code().name,
        str(call.details() or ""),
        address=address,
        target=target,
        signature=signature,
        timeout=timeout,
    )


def _name(spec: pb.ServableSpec, target: Target) -> None:
    spec.name = target.model
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label
