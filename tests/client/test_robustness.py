"""Servers that are gone, come back, are busy, slow or replaced; many calls at once."""

import asyncio
import gc
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from client.rest_stand_in import RestStandIn, rest_stand_in
from client.stand_in import SPEC, RefusalError, StandIn, answer, stand_in
from client.test_client import SCAN

from vcam_client import AsyncClient, Client, Prediction, Retries, Volume
from vcam_client._replicas import Replicas
from vcam_client._retry import Attempts
from vcam_client.errors import (
    ContractError,
    DeadlineExceededError,
    InputError,
    ModelNotFoundError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    VcamError,
)
from vcam_client.spec import Grid

TRANSPORTS = ("grpc", "aio", "rest", "async rest")
AT_ONCE = 32
QUICK = Retries(attempts=6, first_s=0.01, most_s=0.05)
JSON = {"Content-Type": "application/json"}
Server = StandIn | RestStandIn


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with rest_stand_in() if "rest" in kind else stand_in() as state:
        yield state


def run(kind: str, address: str, calls: list[Callable[[Any], Any]], **options: Any) -> list[Any]:
    """Results of one client's calls, one after the other; each call gets the client."""
    if kind in ("grpc", "rest"):
        with Client(address, **options) as client:
            return [call(client) for call in calls]

    async def awaited() -> list[Any]:
        async with AsyncClient(address, **options) as client:
            results = []
            for call in calls:
                result = call(client)
                results.append(await result if asyncio.iscoroutine(result) else result)
            return results

    return asyncio.run(awaited())


def predict(client: Any) -> Any:
    return client.predict(SCAN)


def spec(client: Any) -> Any:
    return client.spec()


def fail_first(server: Server, times: int, code: grpc.StatusCode) -> list[int]:
    """Makes the first predictions fail; returns a list that grows with each."""
    calls: list[int] = []
    status = {grpc.StatusCode.UNAVAILABLE: 503, grpc.StatusCode.RESOURCE_EXHAUSTED: 429}.get(
        code, 500
    )

    def respond(request: object) -> dict[str, np.ndarray]:
        calls.append(1)
        if len(calls) <= times:
            raise RefusalError(code, "not now")
        return answer()

    if isinstance(server, StandIn):
        server.predict = respond
        return calls
    original = server.answer

    def reply(verb: str, path: str, body: bytes) -> Any:
        if b'"spec"' in body or verb == "GET":
            return original(verb, path, body)
        calls.append(1)
        if len(calls) <= times:
            return status, JSON, b'{"error": "not now"}'
        return original(verb, path, body)

    server.answer = reply  # type: ignore[method-assign]
    return calls


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


def test_calls_go_round_the_replicas_and_past_a_dead_one(kind: str) -> None:
    start = rest_stand_in if "rest" in kind else stand_in
    with start() as one, start() as two:
        scheme = "http://" if "rest" in kind else ""
        addresses = f"{one.address},{scheme}127.0.0.1:1,{two.address}"
        begin = time.monotonic()
        found = run(kind, addresses, [predict] * 12)
        assert time.monotonic() - begin < 1.5  # no pause for the dead one
        asked = [
            len(s.requests if isinstance(s, StandIn) else [v for v, _ in s.asked if v == "POST"])
            for s in (one, two)
        ]
    assert len(found) == 12
    assert sum(asked) == 13  # and one for the spec
    assert min(asked) >= 4


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_name_with_several_addresses_is_spread_over_those_that_live(kind: str) -> None:
    """What a DNS name resolves to, written out."""
    with stand_in() as one, stand_in() as two:
        records = f"ipv4:{one.address},127.0.0.1:1,{two.address}"

        def resolved(client: Any) -> None:
            transport = importlib.import_module(
                "vcam_client._grpc_aio" if kind == "aio" else "vcam_client._grpc"
            )
            made = transport.AsyncGrpcTransport if kind == "aio" else transport.GrpcTransport
            replicas = Replicas([made(records, client.connection)])
            setattr(client, "_made" if kind == "aio" else "_replicas", replicas)

        found = run(kind, one.address, [resolved, *[predict] * 20])
        assert len([p for p in found if p is not None]) == 20
        assert min(len(one.requests), len(two.requests)) >= 6


def test_replicas_that_change_versions_one_after_the_other(kind: str) -> None:
    start = rest_stand_in if "rest" in kind else stand_in
    with start() as one, start() as two:
        found: list[Prediction] = []

        def replace(which: Server) -> Callable[[Any], None]:
            return lambda _: setattr(which, "version", 2)

        steps = [predict] * 3 + [replace(one)] + [predict] * 5 + [replace(two)] + [predict] * 5
        found = [p for p in run(kind, f"{one.address},{two.address}", steps) if p is not None]
    versions = [p.version for p in found]
    assert len(versions) == 13
    assert versions[:3] == [1, 1, 1]
    assert versions[-4:] == [2, 2, 2, 2]


def test_a_model_that_is_not_there_is_not_asked_for_long(kind: str, server: Server) -> None:
    with pytest.raises(ModelNotFoundError):
        run(kind, server.address, [lambda client: client.predict(SCAN, version=7)])
    assert len(server.requests if isinstance(server, StandIn) else server.asked) <= 2


def test_a_label_is_resolved_and_pinned(kind: str, server: Server) -> None:
    server.version = 5
    (prediction,) = run(kind, server.address, [lambda client: client.predict(SCAN, label="stable")])
    assert prediction.version == 5
    if isinstance(server, StandIn):
        first, second = (request.model_spec for request in server.requests)
        assert (first.version_label, first.HasField("version")) == ("stable", False)
        assert (second.version_label, second.version.value) == ("", 5)
    else:
        assert server.asked == [
            ("GET", "/v1/models/default/labels/stable/metadata"),
            ("POST", "/v1/models/default/versions/5:predict"),
            ("POST", "/v1/models/default/versions/5:predict"),
        ]
    with pytest.raises(InputError, match="received both"):
        run(kind, server.address, [lambda c: c.predict(SCAN, version=5, label="stable")])


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_rest_pins_the_newest_version(kind: str, server: RestStandIn) -> None:
    server.version = 3
    (prediction,) = run(kind, server.address, [predict])
    assert prediction.version == 3
    assert server.asked == [
        ("GET", "/v1/models/default"),
        ("POST", "/v1/models/default/versions/3:predict"),
        ("POST", "/v1/models/default/versions/3:predict"),
    ]


def test_threads_share_a_client_and_its_connections(kind: str, server: Server) -> None:
    if kind in ("grpc", "rest"):
        with Client(server.address) as client, ThreadPoolExecutor(AT_ONCE) as threads:
            found = list(threads.map(lambda _: client.predict(SCAN), range(3 * AT_ONCE)))
    else:

        async def together() -> list[Prediction]:
            async with AsyncClient(server.address) as client:
                return await asyncio.gather(*(client.predict(SCAN) for _ in range(3 * AT_ONCE)))

        found = asyncio.run(together())
    assert [p.label for p in found] == ["lesion"] * 3 * AT_ONCE
    if isinstance(server, RestStandIn):
        assert server.connections <= AT_ONCE


def test_connections_outlive_threads() -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        for _ in range(8):
            thread = threading.Thread(target=client.predict, args=(SCAN,))
            thread.start()
            thread.join()
        assert server.connections == 1


@pytest.mark.parametrize("kind", ["aio", "async rest"])
def test_a_cancelled_prediction_leaves_the_client_usable(kind: str, server: Server) -> None:
    release = threading.Event()
    slow = True

    def wait(*_: object) -> Any:
        if slow:
            release.wait(10)
        from client.rest_stand_in import every_class

        return answer() if isinstance(server, StandIn) else every_class()

    if isinstance(server, StandIn):
        server.predict = wait
    else:
        server.outputs = wait

    async def cancelled() -> Prediction:
        nonlocal slow
        async with AsyncClient(server.address) as client:
            await client.spec()
            tasks = [asyncio.create_task(client.predict(SCAN)) for _ in range(8)]
            await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(error) for error in ended] == [asyncio.CancelledError] * 8
            slow = False
            return await asyncio.wait_for(client.predict(SCAN), 5)

    start = time.monotonic()
    try:
        assert asyncio.run(cancelled()).label == "lesion"
        assert time.monotonic() - start < 5  # nobody waits for what was cancelled
    finally:
        release.set()


@pytest.mark.parametrize("kind", ["aio", "async rest"])
def test_the_event_loop_stays_free(kind: str) -> None:
    """Resampling and encoding a CT of 64 MB, tens of milliseconds each, while a task ticks."""
    import dataclasses
    import json

    grid = Grid(shape=(64, 128, 128), padding_value=-1000)
    large = dataclasses.replace(SPEC, grid=grid)
    scan = Volume(data=np.zeros((512, 512, 128), np.int16), affine=np.eye(4), modality="CT")

    async def tick(late: list[float]) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - before - 0.005)

    async def latest(address: str) -> float:
        late: list[float] = []
        async with AsyncClient(address) as client:
            await client.spec()
            ticking = asyncio.create_task(tick(late))
            await client.predict(scan)
            ticking.cancel()
        assert len(late) > 3
        return max(late)

    with rest_stand_in() if "rest" in kind else stand_in() as server:
        if isinstance(server, StandIn):
            server.spec_json = large.to_json()
        else:
            original = server.answer

            def reply(verb: str, path: str, body: bytes) -> Any:
                if b'"spec"' in body[:40]:
                    return 200, JSON, json.dumps({"outputs": [large.to_json()]}).encode()
                # the stand-in shares the interpreter, so it must not read the volume
                return original(verb, path, b'{"signature_name": ""}' if body else body)

            server.answer = reply  # type: ignore[method-assign]
        gc.collect()
        gc.freeze()  # what other tests left behind is not searched meanwhile
        try:
            # other processes may hold a tick up, but not each time
            assert min(asyncio.run(latest(server.address)) for _ in range(4)) < 0.04
        finally:
            gc.unfreeze()


@pytest.mark.parametrize("kind", ["aio", "async rest"])
def test_an_async_client_may_be_made_before_there_is_a_loop(kind: str, server: Server) -> None:
    client = AsyncClient(server.address)

    async def twice() -> list[str]:
        async with client:
            return [(await client.predict(SCAN)).label for _ in range(2)]

    assert asyncio.run(twice()) == ["lesion", "lesion"]


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


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_versions_that_are_named_wrong(kind: str, server: StandIn) -> None:
    """The answer says that another version computed it."""
    from vcam_client._proto import prediction_service_pb2 as pb

    response = pb.PredictResponse()
    response.model_spec.version.value = 9

    def garble(_: Any) -> None:
        server.content = response.SerializeToString()

    with pytest.raises(ContractError, match="received one of version 9"):
        run(kind, server.address, [spec, garble, predict])
