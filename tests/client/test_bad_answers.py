"""Answers that break the contract, over gRPC and REST: one error that says what differs."""

import gc
import gzip
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from client.calling import run, spec
from client.gateway import frame, http2_frames, listening, literal
from client.rest_stand_in import every_class, rest_stand_in
from client.stand_in import SPEC, StandIn, answer, stand_in
from client.test_client import SCAN

from vcam_client import Client, VcamError, _wire
from vcam_client._calls import Call, Target
from vcam_client._proto import prediction_service_pb2 as pb
from vcam_client._rest_json import body_of
from vcam_client.errors import ContractError, ServerError, ServerUnavailableError

JSON = {"Content-Type": "application/json"}
HTML = b"<html><body>It works!</body></html>"


def asked_grpc(change: Callable[[StandIn], None]) -> Any:
    with stand_in() as server, Client(server.address, retries=1) as client:
        client.spec()
        change(server)
        return client.predict(SCAN)


def asked_rest(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None, retries: int = 1
) -> Any:
    with rest_stand_in() as server, Client(server.address, retries=retries) as client:
        client.spec()
        server.reply = (status, JSON if headers is None else headers, body)
        return client.predict(SCAN)


def response(**changes: pb.TensorProto) -> bytes:
    made = pb.PredictResponse()
    made.model_spec.version.value = 1
    for name, value in answer().items():
        made.outputs[name].CopyFrom(_wire.to_tensor(value))
    for name, proto in changes.items():
        made.outputs[name].CopyFrom(proto)
    return made.SerializeToString()


def tensor(dtype: int, shape: tuple[int, ...], **fields: Any) -> pb.TensorProto:
    dims = [pb.TensorShapeProto.Dim(size=n) for n in shape]
    return pb.TensorProto(
        dtype=pb.DataType.Name(dtype), tensor_shape=pb.TensorShapeProto(dim=dims), **fields
    )


CAM = (1, 2, 3, 4)
BAD_TENSORS = {
    "truncated content": tensor(pb.DT_FLOAT, CAM, tensor_content=b"\0" * 95),
    "short content": tensor(pb.DT_FLOAT, CAM, tensor_content=b"\0" * 4),
    "long content": tensor(pb.DT_FLOAT, CAM, tensor_content=b"\0" * 100),
    "too few values": tensor(pb.DT_FLOAT, CAM, float_val=[1, 2]),
    "no values": tensor(pb.DT_FLOAT, CAM),
    "values of another type": tensor(pb.DT_FLOAT, CAM, int_val=[1] * 24),
    "integers": tensor(pb.DT_INT32, CAM, int_val=[1] * 24),
    "a dtype of no vcam output": tensor(pb.DT_BOOL, CAM),
    "strings": tensor(pb.DT_STRING, CAM, string_val=[b"x"] * 24),
    "a negative size": tensor(pb.DT_FLOAT, (1, -2, 3, 4), float_val=[1]),
    "more than any memory": tensor(pb.DT_FLOAT, (1 << 40, 1 << 40), float_val=[1]),
    "more axes than an array has": tensor(pb.DT_FLOAT, (1,) * 80, float_val=[1]),
    "none, of any size": tensor(pb.DT_FLOAT, (0, 1 << 62, 1 << 62)),
    "two, of more axes than an array has": tensor(pb.DT_FLOAT, (2,) + (1,) * 79, float_val=[1, 2]),
    "out of int16": tensor(pb.DT_INT16, CAM, int_val=[70_000] * 24),
    "not finite": tensor(pb.DT_FLOAT, CAM, float_val=[float("nan")]),
    "infinite": tensor(pb.DT_DOUBLE, CAM, double_val=[float("-inf")] * 24),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_cam_that_is_none(name: str) -> None:
    content = response(cam=BAD_TENSORS[name])
    with pytest.raises(ContractError, match=r"cam'"):
        asked_grpc(lambda server: setattr(server, "content", content))


def test_one_value_stands_for_all() -> None:
    """The fill rule of TensorProto is no error."""
    content = response(cam=tensor(pb.DT_FLOAT, CAM, float_val=[0.5]))
    found = asked_grpc(lambda server: setattr(server, "content", content))
    np.testing.assert_array_equal(found.cam, np.full(CAM[1:], 0.5))


@pytest.mark.parametrize(
    "index",
    [
        tensor(pb.DT_INT32, (1,), int_val=[7]),
        tensor(pb.DT_INT32, (1,), int_val=[-1]),
        tensor(pb.DT_INT32, (2,), int_val=[1, 1]),
        tensor(pb.DT_FLOAT, (1,), float_val=[1.0]),
        tensor(pb.DT_STRING, (1,), string_val=[b"1"]),
    ],
    ids=["too large", "negative", "two", "float", "string"],
)
def test_a_class_index_that_is_none(index: pb.TensorProto) -> None:
    content = response(class_index=index)
    with pytest.raises(ContractError, match=r"class"):
        asked_grpc(lambda server: setattr(server, "content", content))


def test_another_class_than_the_one_asked_for() -> None:
    with stand_in() as server, Client(server.address) as client:
        with pytest.raises(ContractError, match="class 0, the server explained class 1"):
            client.predict(SCAN, target="clear")
        assert client.predict(SCAN, target="lesion").label == "lesion"


def test_an_output_that_is_missing() -> None:
    for missing in ("scores", "cam", "class_index"):
        outputs = {name: value for name, value in answer().items() if name != missing}
        with pytest.raises(ContractError, match=f"{missing}.*received nothing"):
            asked_grpc(lambda server, o=outputs: setattr(server, "predict", lambda _: o))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff" * 40, "40 bytes that are none"),
        (HTML, "bytes that are none"),
        (response()[:-10], "that are none"),
        (b"", "names the model's version"),
    ],
    ids=["garbage", "HTML", "truncated", "empty"],
)
def test_bytes_that_are_no_answer(content: bytes, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        asked_grpc(lambda server: setattr(server, "content", content))


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_status_without_an_answer(kind: str) -> None:
    """Trailers that say OK, and no message before them."""
    header = b"\x88\0" + literal(b"content-type") + literal(b"application/grpc")
    trailer = header + b"\0" + literal(b"grpc-status") + literal(b"0")
    with (
        listening(http2_frames(lambda stream: frame(1, 5, stream, trailer))) as server,
        pytest.raises(ContractError, match="received a status without one"),
    ):
        run(kind, f"127.0.0.1:{server.port}", [spec], retries=1)


def test_a_header_that_is_refused_leaves_no_socket_open() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5, 7\r\n\r\n{}"
    gc.disable()  # a socket that is left is found then, not in another test
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with listening(lambda connection, _: connection.sendall(said)) as server:
                address = f"http://127.0.0.1:{server.port}"
                with (
                    Client(address, retries=1) as client,
                    pytest.raises(ContractError, match="a header that can't be read"),
                ):
                    client.spec()
            gc.collect()
    finally:
        gc.enable()
    assert [str(warning.message) for warning in caught] == []


def test_a_contract_of_the_future() -> None:
    changed = json.dumps({**json.loads(SPEC.to_json()), "contract_version": 9})
    with stand_in() as server, Client(server.address) as client:
        server.spec_json = changed
        with pytest.raises(ContractError, match="speaks contract version 9"):
            client.spec()


def columns(**changes: Any) -> bytes:
    return json.dumps({"outputs": {**every_class(), **changes}}).encode()


NESTED = b"[" * 100_000
BODIES = {
    "HTML": (HTML, "no JSON"),
    "nothing": (b"", "no JSON"),
    "truncated JSON": (columns()[:-20], "no JSON"),
    "a list": (b"[1, 2]", r"\[1, 2\]"),
    "a number": (b"1", "received '1'"),
    "an error that says OK": (b'{"error": "x"}', "JSON without 'outputs'"),
    "rows instead of columns": (b'{"predictions": [1]}', "JSON without 'outputs'"),
    "outputs that are null": (b'{"outputs": null}', "received nothing"),
    "brackets without end": (NESTED, "no JSON"),
    "brackets": (b'{"outputs": {"scores": ' + b"[" * 90 + b"]" * 90 + b', "cam": 1}}', "scores"),
    "NaN": (columns(scores=[[float("nan"), 1.0]]), "'scores' is not finite"),
    "infinity": (columns(scores=[[float("inf"), 1.0]]), "'scores' is not finite"),
    "beyond float32": (columns(scores=[[1e300, 1.0]]), "'scores' is not finite"),
    "digits without end": (columns(scores=[[10**400, 1.0]]), "'scores'"),
    "words": (columns(scores=[["a", "b"]]), "'scores' of floating-point numbers"),
    "null": (columns(scores=[[None, 1.0]]), "'scores' of floating-point numbers"),
    "objects": (columns(cam={"a": 1}), "'cam' of shape"),
    "ragged": (columns(cam=[[1], [1, 2]]), "'cam' that is no array"),
    "another shape": (columns(cam=[[[1.0]]]), "'cam' of shape"),
    "an output left out": (
        b'{"outputs": {"scores": [[0.5, 0.5]]}}',
        "'cam' of shape .* received nothing",
    ),
    "not UTF-8": (b'{"outputs": "\xff\xfe"}', "no JSON"),
}


@pytest.mark.parametrize("name", BODIES)
def test_json_that_is_no_answer(name: str) -> None:
    body, message = BODIES[name]
    with pytest.raises(ContractError, match=message) as caught:
        asked_rest(body)
    assert len(str(caught.value)) < 500


def test_whole_numbers_are_scores_as_well() -> None:
    """TensorFlow Serving prints 1.0 as 1.0, others don't."""
    found = asked_rest(columns(scores=[[0, 1]]))
    assert found.scores.tolist() == [0, 1]


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcam_client._rest._MOST_ANSWER_BYTES", 10_000)
    with pytest.raises(ContractError, match="more than 10000 bytes"):
        asked_rest(b" " * 20_000)
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(ContractError, match="more than 10000 bytes"):
        asked_rest(bomb, headers={"Content-Encoding": "gzip"})


def test_compressed_answers_count_as_they_travel() -> None:
    packed = gzip.compress(columns())
    found = asked_rest(packed, headers={"Content-Encoding": "gzip"})
    assert found.label == "lesion"
    assert found.traffic.received == len(packed)
    assert len(packed) < len(columns())


def test_compression_that_is_none() -> None:
    with pytest.raises(ContractError, match="can't be decompressed"):
        asked_rest(b"no gzip at all", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (404, HTML, ContractError, "HTTP 404 .*REST port"),
        (400, HTML, ContractError, "HTTP 400"),
        (302, b"", ContractError, "HTTP 302"),
        (500, HTML, ServerError, "HTTP 500: <html>"),
        (500, b'{"error": "boom"}', ServerError, "boom"),
        (502, HTML, ServerUnavailableError, "It works"),
        (504, b'{"error": "Timed out waiting"}', VcamError, "--rest_api_timeout_in_ms"),
        (200, b"", ContractError, "received what is no JSON: nothing"),
        (400, b'{"error": ["a"]}', ServerError, "INVALID_ARGUMENT"),
        (500, b"x" * 100_000, ServerError, "xxx"),
    ],
)
def test_errors_of_something_else(
    status: int, body: bytes, error: type[VcamError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        asked_rest(body, status=status)
    assert len(str(caught.value)) < 1000


def test_an_answer_that_breaks_off() -> None:
    with pytest.raises(ServerUnavailableError):
        asked_rest(
            columns()[:50], headers={**JSON, "Content-Length": "1000", "Connection": "close"}
        )


@pytest.mark.parametrize(
    "shape",
    [(), (3,), (0,), (2, 3), (2, 3, 1), (1, 4, 1, 1), (1, 1, 1), (2, 0, 1), (1, 2, 3, 4, 1)],
)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_arrays_go_out_as_json(shape: tuple[int, ...], dtype: Any) -> None:
    values = np.random.default_rng(0).normal(0, 1000, shape).astype(dtype)
    call = Call(target=Target(), signature="s", inputs={"volume": values}, outputs=())
    sent = json.loads(body_of(call))
    assert sent == {"signature_name": "s", "inputs": {"volume": values.tolist()}}
