"""The embedded server as a whole: load, health, encodings, HTTP."""

import gzip
import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from served.calls import Caller, arrays, request, rest
from served.server import ServedModel, ServerUnderTest

import vcam_serving
from vcam_client.client import Client
from vcam_serving import EmbeddedServer

if TYPE_CHECKING:
    from golden import Golden

CLIENTS = 32
BUSY_BATCH = 200


def test_exported_members() -> None:
    assert vcam_serving.__all__ == sorted(vcam_serving.__all__)
    for name in vcam_serving.__all__:
        assert getattr(vcam_serving, name).__name__ == name
    with pytest.raises(AttributeError, match="nope"):
        _ = vcam_serving.nope


def test_many_clients_at_once(server: ServerUnderTest, subject: ServedModel) -> None:
    start = threading.Barrier(CLIENTS)
    volumes = [subject.volume(seed=seed) for seed in range(CLIENTS)]
    expected = [subject.offline.run("scores", {"volume": v})["scores"] for v in volumes]

    def call(volume: np.ndarray) -> np.ndarray:
        with Caller(server.address) as caller:
            start.wait()
            message = request(subject.name, {"volume": volume}, outputs=["scores"])
            return arrays(caller.predict(message))["scores"]

    with ThreadPoolExecutor(CLIENTS) as pool:
        received = list(pool.map(call, volumes))
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_too_many_calls_are_refused(golden: "dict[str, Golden]") -> None:
    start = threading.Barrier(CLIENTS)
    base = golden["bright"].path.parent
    shape = golden["bright"].spec.grid.shape
    volume = np.zeros((BUSY_BATCH, *shape, 1), np.int16)
    with (
        EmbeddedServer(base, port=0, rest_port=0, grpc_max_threads=1) as server,
        Caller(server.address) as caller,
    ):

        def call(_: int) -> str:
            start.wait()
            try:
                caller.predict(request("default", {"volume": volume}, outputs=["scores"]))
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
            return "answered"

        with ThreadPoolExecutor(CLIENTS) as pool:
            results = set(pool.map(call, range(CLIENTS)))
        assert results == {"answered", "RESOURCE_EXHAUSTED: Server Threadpool Exhausted"}
        assert call_alone(caller, volume[:1])


def call_alone(caller: Caller, volume: np.ndarray) -> bool:
    response = caller.predict(request("default", {"volume": volume}, outputs=["scores"]))
    return "scores" in response.outputs


def test_health(server: ServerUnderTest) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as info:
            stub.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=10)
        assert info.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("tensor_content", [False, True])
def test_both_encodings(golden: "dict[str, Golden]", tensor_content: bool) -> None:
    base = golden["bright"].path.parent
    volume = np.full((2, *golden["bright"].spec.grid.shape, 1), 300, np.int16)
    with (
        EmbeddedServer(base, port=0, rest_port=None, tensor_content=tensor_content) as server,
        Caller(server.address) as caller,
    ):
        response = caller.predict(request("default", {"volume": volume}))
        cam = response.outputs["cam"]
        assert bool(cam.tensor_content) == tensor_content
        assert bool(cam.float_val) != tensor_content
        assert arrays(response)["cam"].shape == (2, *golden["bright"].spec.cam_layers[0].cells)


def test_the_vcam_client_reads_the_spec(server: ServerUnderTest, subject: ServedModel) -> None:
    with Client(server.address) as client:
        assert client.spec(subject.name).spec == subject.spec


def test_http_connections_are_kept(rest_address: str, subject: ServedModel) -> None:
    connection = http.client.HTTPConnection(rest_address, timeout=10)
    try:
        connection.connect()
        local = connection.sock.getsockname()
        for path in (f"/v1/models/{subject.name}", "/v1/models/nope", "/elsewhere"):
            connection.request("GET", path)
            connection.getresponse().read()
            assert connection.sock is not None
            assert connection.sock.getsockname() == local
    finally:
        connection.close()


def test_compressed_and_chunked_bodies(rest_address: str, subject: ServedModel) -> None:
    body = json.dumps({"signature_name": "spec", "inputs": {"key": ["model_spec"]}}).encode()
    path = f"/v1/models/{subject.name}:predict"
    connection = http.client.HTTPConnection(rest_address, timeout=10)
    try:
        connection.request("POST", path, gzip.compress(body), {"Content-Encoding": "gzip"})
        zipped = json.loads(connection.getresponse().read())
        connection.request("POST", path, iter([body[:10], body[10:]]), encode_chunked=True)
        chunked = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert zipped == chunked
    assert json.loads(zipped["outputs"][0])["name"] == subject.spec.name


def test_malformed_requests(rest_address: str, subject: ServedModel) -> None:
    about = f"/v1/models/{subject.name}"
    for method, path in (("GET", "/v1/nope"), ("POST", about), ("PUT", about), ("DELETE", about)):
        assert rest(rest_address, method, path) == (
            400,
            {"error": f"Malformed request: {method} {path}"},
        )
    assert rest(rest_address, "GET", "/v1/models") == (
        400,
        {"error": "Missing model name in request."},
    )
    status, answer = rest(rest_address, "POST", f"{about}/labels/canary:predict", {"inputs": [1]})
    assert (status, answer) == (400, {"error": "Unrecognized servable version label: canary"})
    status, answer = rest(rest_address, "GET", f"{about}/versions/{2**64}")
    assert (status, answer["error"]) == (400, f"Failed to convert version: {2**64} to numeric.")
    assert rest(rest_address, "POST", f"{about}:classify", {})[0] == 501


def test_long_texts_are_cut_over_grpc(caller: Caller, subject: ServedModel) -> None:
    with pytest.raises(grpc.RpcError) as info:
        caller.predict(request(subject.name, signature="x" * 5000))
    assert info.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert info.value.details().endswith("...TRUNCATED")
