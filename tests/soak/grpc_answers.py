"""gRPC answers that are none: damaged messages, damaged frames, refusals of all kinds."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from client.gateway import frame, http2, http2_frames, listening, literal
from client.stand_in import SPEC, RefusalError, answer, stand_in
from soak.mutations import mutated

from vcam_client import _wire
from vcam_client._proto import prediction_service_pb2 as pb

_TEXTS = (
    "", "x", "OOM when allocating tensor", "Server Threadpool Exhausted", "upstream timeout",
    "Received message larger than max (9 vs. 4)", "\x1b[31m\n\n" * 40, "x" * 3000, "ünï©ode",
    "Serving signature key \"spec\" not found.", "Received http2 header with status: 502",
    "HTTP proxy returned response code 407", "certificate", "indices = 7 is not in [0, 3)",
)  # fmt: skip
_SIZES = (0, 1, 2, 3, 4, 24, -1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1)
_HTTP = (100, 200, 204, 301, 400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504, 599)
_DATA, _HEADERS = 0, 1
_END_STREAM, _END_HEADERS = 1, 4
_STATUS_200 = b"\x88"


@contextmanager
def grpc_server(rng: random.Random) -> Iterator[str]:
    """A gRPC server whose answers to spec or prediction are damaged; its address."""
    way = rng.choice((_message, _message, _tensor, _tensor, _refusal, _frames, _frames, _status))
    with way(rng) as address:
        yield address


@contextmanager
def _message(rng: random.Random) -> Iterator[str]:
    """Bytes of a sound message, damaged."""
    of_spec = rng.random() < 0.3
    content = mutated((_spec() if of_spec else _prediction()).SerializeToString(), "bytes", rng)
    with stand_in() as server:
        original = server.reply

        def reply(request: pb.PredictRequest, context: grpc.ServicerContext) -> bytes:
            is_spec = request.model_spec.signature_name == "spec"
            return content if is_spec == of_spec else original(request, context)

        server.reply = reply  # type: ignore[method-assign]
        yield server.address


@contextmanager
def _tensor(rng: random.Random) -> Iterator[str]:
    """A message that is one, with tensors of any shape, dtype and number of values."""
    made = _prediction()
    for _ in range(rng.choice((1, 2))):
        made.outputs[rng.choice(("scores", "cam", "class_index"))].CopyFrom(_any_tensor(rng))
    with stand_in() as server:
        server.content = None
        original, content = server.reply, made.SerializeToString()

        def reply(request: pb.PredictRequest, context: grpc.ServicerContext) -> bytes:
            is_spec = request.model_spec.signature_name == "spec"
            return original(request, context) if is_spec else content

        server.reply = reply  # type: ignore[method-assign]
        yield server.address


def _any_tensor(rng: random.Random) -> pb.TensorProto:
    sizes = [rng.choice(_SIZES) for _ in range(rng.choice((0, 1, 2, 4, 5, 40, 80)))]
    if rng.random() < 0.3:
        sizes = rng.choice(([0, 2**62, 2**62], [0] + [1] * 79, [2] + [1] * 79, [1] * 64 + [2]))
    tensor = pb.TensorProto(
        tensor_shape=pb.TensorShapeProto(dim=[pb.TensorShapeProto.Dim(size=n) for n in sizes])
    )
    # numbers that the enum does not have travel as well
    tensor.MergeFromString(bytes([8, rng.choice((0, 1, 2, 3, 5, 7, 9, 14, 19, 100))]))
    for _ in range(rng.choice((0, 1, 1, 2))):
        count = rng.choice((0, 1, 2, 24))
        match rng.randrange(6):
            case 0:
                tensor.float_val.extend([rng.choice((0.5, 1e38, float("nan")))] * count)
            case 1:
                tensor.int_val.extend([rng.choice((0, 1, 70_000, -1))] * count)
            case 2:
                tensor.double_val.extend([rng.choice((0.5, 1e300))] * count)
            case 3:
                tensor.string_val.extend([rng.randbytes(3)] * count)
            case 4:
                tensor.int64_val.extend([rng.choice((0, 2**62))] * count)
            case _:
                tensor.tensor_content = rng.randbytes(rng.choice((0, 1, 4, 8, 96, 97)))
    return tensor


@contextmanager
def _refusal(rng: random.Random) -> Iterator[str]:
    """Any status with any text."""
    code = rng.choice([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
    text = rng.choice(_TEXTS)

    def refuse(_: object) -> dict[str, object]:
        raise RefusalError(code, text)

    with stand_in() as server:
        server.predict = refuse  # type: ignore[assignment]
        yield server.address


@contextmanager
def _frames(rng: random.Random) -> Iterator[str]:
    """Frames of HTTP/2, damaged."""
    message = mutated(_spec().SerializeToString(), "bytes", rng) if rng.random() < 0.3 else b""
    message = message or _spec().SerializeToString()
    prefix = bytes([rng.choice((0, 0, 0, 1, 255))]) + len(message).to_bytes(4, "big")

    def reply(stream: int) -> bytes:
        header = _STATUS_200 + b"\0" + literal(b"content-type") + literal(b"application/grpc")
        trailer = b"\0" + literal(b"grpc-status") + literal(rng.choice((b"0", b"0", b"14", b"x")))
        frames = (
            frame(_HEADERS, _END_HEADERS, stream, header)
            + frame(_DATA, 0, stream, prefix + message)
            + frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, trailer)
        )
        return mutated(frames, "bytes", rng)

    with listening(http2_frames(reply)) as server:
        yield f"127.0.0.1:{server.port}"


@contextmanager
def _status(rng: random.Random) -> Iterator[str]:
    """A gateway's HTTP status, or no HTTP at all."""
    raw = rng.choice(
        (b"", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"\x15\x03\x01\0\2\2\x46", b"\0" * 500)
    )
    way = http2(rng.choice(_HTTP)) if rng.random() < 0.7 else lambda c, _: c.sendall(raw)
    with listening(way) as server:
        yield f"127.0.0.1:{server.port}"


def _spec() -> pb.PredictResponse:
    made = pb.PredictResponse()
    made.model_spec.version.value = 1
    made.outputs["model_spec"].CopyFrom(_wire.to_string_tensor([SPEC.to_json().encode()]))
    return made


def _prediction() -> pb.PredictResponse:
    made = pb.PredictResponse()
    made.model_spec.version.value = 1
    for name, value in answer().items():
        made.outputs[name].CopyFrom(_wire.to_tensor(value))
    return made
