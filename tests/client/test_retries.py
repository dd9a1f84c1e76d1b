"""Servers that are gone, busy or slow: what is tried again, and for how long."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from client.calling import QUICK, TRANSPORTS, Server, fail_first, predict, run, spec
from client.gateway import http1, listening
from client.rest_stand_in import rest_stand_in
from client.stand_in import RefusalError, StandIn, answer, stand_in

from vcam_client import Client, Retries
from vcam_client._retry import Attempts
from vcam_client.errors import (
    DeadlineExceededError,
    InputError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    VcamError,
)

STATUS = b'{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}'


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with rest_stand_in() if "rest" in kind else stand_in() as state:
        yield state


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED], ids=lambda c: c.name
)
def test_what_may_pass_is_tried_again(kind: str, server: Server, code: grpc.StatusCode) -> None:
    calls = fail_first(server, 3, code)
    (prediction,) = run(kind, server.address, [predict], retries=QUICK)
    assert prediction.label == "lesion"
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServerUnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerBusyError),
    ],
    ids=["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
)
def test_attempts_end(
    kind: str, server: Server, code: grpc.StatusCode, error: type[VcamError]
) -> None:
    calls = fail_first(server, 100, code)
    with pytest.raises(error):
        run(kind, server.address, [predict], retries=QUICK)
    assert len(calls) == QUICK.attempts
    with pytest.raises(error):
        run(kind, server.address, [predict], retries=1)
    assert len(calls) == QUICK.attempts + 1


def test_nothing_else_is_tried_again(kind: str, server: Server) -> None:
    calls = fail_first(server, 100, grpc.StatusCode.INTERNAL)
    with pytest.raises(ServerError, match="not now"):
        run(kind, server.address, [predict], retries=QUICK)
    assert len(calls) == 1


def test_large_calls_are_tried_again(kind: str, server: Server) -> None:
    """Over 4 MB: gRPC's own retries skip them."""
    calls = fail_first(server, 1, grpc.StatusCode.UNAVAILABLE)
    inputs = {"volume": np.zeros((1, 128, 128, 130, 1), np.int16)}

    def large(client: Any) -> Any:
        from vcam_client._calls import Call, Target

        call = Call(
            target=Target(version=1), signature="gradcam_all", inputs=inputs, outputs=("scores",)
        )
        return client._tried(lambda transport, timeout: transport.predict(call, timeout))

    (found,) = run(kind, server.address, [large], retries=QUICK)
    assert found.traffic.sent > 4_000_000
    np.testing.assert_array_equal(found.outputs["scores"], [[0.25, 0.75]])
    assert len(calls) == 2


@pytest.mark.parametrize("timeout", [0.5, 1.0])
def test_the_deadline_holds_over_all_attempts(kind: str, server: Server, timeout: float) -> None:
    fail_first(server, 10_000, grpc.StatusCode.UNAVAILABLE)
    start = 0.0

    def begin(_: Any) -> None:
        nonlocal start
        start = time.monotonic()

    retries = Retries(attempts=1000, first_s=0.1, most_s=0.3)
    with pytest.raises((ServerUnavailableError, DeadlineExceededError)):
        run(kind, server.address, [spec, begin, predict], timeout=timeout, retries=retries)
    assert time.monotonic() - start < timeout + 0.25


def test_a_silent_server_is_waited_for_until_the_deadline(kind: str, server: Server) -> None:
    release = threading.Event()

    def wait(*_: object) -> Any:
        release.wait(10)
        return answer()

    start = 0.0

    def begin(_: Any) -> None:
        nonlocal start
        start = time.monotonic()
        if isinstance(server, StandIn):
            server.predict = wait
        else:
            server.outputs = wait

    try:
        with pytest.raises(DeadlineExceededError, match=r"within 0\.4 s"):
            run(kind, server.address, [spec, begin, predict], timeout=0.4)
        assert 0.3 < time.monotonic() - start < 1.0
    finally:
        release.set()


def test_an_answer_that_trickles_in_keeps_no_deadline_away() -> None:
    """Each byte comes in time, the whole never would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        try:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with Client(address, timeout=0.5) as client, pytest.raises(DeadlineExceededError):
                client.spec()
            assert time.monotonic() - start < 1.0
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"H"]
)
def test_a_header_that_trickles_in_keeps_no_deadline_away(beginning: bytes) -> None:
    """Answers, lines or letters without end."""
    over = threading.Event()

    def drip(connection: socket.socket, _: bytes) -> None:
        piece = beginning
        while not over.wait(0.02):
            connection.sendall(piece)
            piece = b"x" if piece.endswith(b"OK\r\n") else piece

    with listening(drip) as server:
        start = time.monotonic()
        try:
            with (
                Client(f"http://127.0.0.1:{server.port}", timeout=0.5, retries=1) as client,
                pytest.raises((DeadlineExceededError, ServerUnavailableError)),
            ):
                client.spec()
            assert time.monotonic() - start < 1.5
        finally:
            over.set()


def test_an_upload_may_take_longer_than_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """urllib3 sends within the time for connecting, and a slow line needs more for a volume."""
    monkeypatch.setattr("vcam_client._rest._CONNECT_S", 0.5)
    received: list[int] = []

    def slow(connection: socket.socket, first: bytes) -> None:
        if first.startswith(b"GET"):
            connection.sendall(http1("200 OK", STATUS))
            return
        time.sleep(1)  # longer than connecting may take; the call is larger than all buffers
        head, _, body = first.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        got = len(body)
        while got < size:
            got += len(connection.recv(2**20))
        received.append(got)
        connection.sendall(http1("200 OK", b'{"outputs": {"scores": [[0.25, 0.75]]}}'))

    from vcam_client._calls import Call, Target

    call = Call(
        target=Target(version=1),
        signature="scores",
        inputs={"volume": np.zeros((1, 128, 256, 256, 1), np.int16)},
        outputs=("scores",),
    )
    with listening(slow) as server, Client(f"http://127.0.0.1:{server.port}", retries=1) as client:
        found = client._tried(lambda transport, timeout: transport.predict(call, timeout))
    assert received == [found.traffic.sent]
    np.testing.assert_array_equal(found.outputs["scores"], [[0.25, 0.75]])


def test_nobody_there_is_told_soon(kind: str) -> None:
    address = "http://127.0.0.1:1" if "rest" in kind else "127.0.0.1:1"
    start = time.monotonic()
    with pytest.raises(ServerUnavailableError, match="vcam-serve MODELS"):
        run(kind, address, [spec])
    assert time.monotonic() - start < 3.0


def test_a_server_that_restarts_is_waited_for(kind: str) -> None:
    start = rest_stand_in if "rest" in kind else stand_in
    stack = start()
    first = stack.__enter__()
    port = int(first.address.rpartition(":")[2])
    back: list[Any] = []

    def restart() -> None:
        time.sleep(3.5)  # longer than an absent server is waited for
        again = start(port=port)
        back.append(again)
        again.__enter__()

    thread = threading.Thread(target=restart)

    def stop(_: Any) -> None:
        stack.__exit__(None, None, None)
        thread.start()

    try:
        before, _, after = run(
            kind, first.address, [predict, stop, predict], retries=Retries(attempts=25, most_s=1)
        )
    finally:
        thread.join()
        back[0].__exit__(None, None, None)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_pauses_are_drawn_from_a_growing_range() -> None:
    retries = Retries(attempts=7, first_s=1, most_s=8)
    drawn = np.array([list(retries.pauses()) for _ in range(2000)])
    most = np.array([1, 2, 4, 8, 8, 8])
    assert drawn.shape == (2000, 6)
    assert (drawn.min(axis=0) < most / 50).all()
    assert (drawn <= most).all()
    np.testing.assert_allclose(drawn.mean(axis=0), most / 2, rtol=0.1)


def test_the_defaults_survive_a_restart_of_five_seconds() -> None:
    waited = np.array([sum(Retries().pauses()) for _ in range(2000)])
    assert np.quantile(waited, 0.01) > 5
    assert waited.max() < 40


def test_replicas_are_tried_without_a_pause() -> None:
    attempts = Attempts(Retries(attempts=2, first_s=5), 60, replicas=3)
    error = ServerUnavailableError("gone")
    assert [attempts.pause_after(error) for _ in range(2)] == [0, 0]
    attempts.pause_after(error)
    assert [attempts.pause_after(error) for _ in range(2)] == [0, 0]
    with pytest.raises(ServerUnavailableError):
        attempts.pause_after(error)


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_s": -1.0}, {"most_s": -1.0}, {"absent_s": -1.0}]
)
def test_retries_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="Expected"):
        Retries(**wrong)


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_message_larger_than_the_server_takes(kind: str, server: StandIn) -> None:
    calls: list[int] = []

    def refuse(request: object) -> dict[str, np.ndarray]:
        calls.append(1)
        raise RefusalError(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)"
        )

    server.predict = refuse
    with pytest.raises(ServerError, match="Raise the limit"):
        run(kind, server.address, [predict])
    assert len(calls) == 1
