"""Many calls at once: threads, asyncio, cancellation, and an event loop that stays free."""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from client.calling import AT_ONCE, JSON, TRANSPORTS, Server
from client.gateway import Listening, listening
from client.rest_stand_in import RestStandIn, rest_stand_in
from client.stand_in import SPEC, StandIn, answer, stand_in
from client.test_client import SCAN

from vcam_client import AsyncClient, Client, Prediction, Retries, Volume
from vcam_client.errors import InputError
from vcam_client.spec import Grid


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with rest_stand_in() if "rest" in kind else stand_in() as state:
        yield state


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


@pytest.fixture
def silent() -> Iterator[Listening]:
    """Reads calls and says nothing; holds each for as long as the client does."""

    def wait(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(30)
        while connection.recv(2**16):
            pass

    with listening(wait) as state:
        yield state


def rest_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "vcam-rest"}


@pytest.mark.parametrize("how", ["cancelled", "in flight"])
def test_no_thread_outlives_an_async_client(silent: Listening, how: str) -> None:
    """Neither of calls that were cancelled, nor of those that nobody waited for."""

    others = rest_threads()  # a call of an earlier test may still be connecting

    async def calls() -> set[threading.Thread]:
        async with AsyncClient(f"http://127.0.0.1:{silent.port}", timeout=60) as client:
            tasks = [asyncio.create_task(client.spec()) for _ in range(6)]
            while len(silent.received) < 6:
                await asyncio.sleep(0.01)
            assert len(rest_threads() - others) == 6
            if how == "cancelled":
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(error) for error in ended] == [asyncio.CancelledError] * 6
        left = rest_threads() - others
        await asyncio.gather(*tasks, return_exceptions=True)
        return left

    assert asyncio.run(asyncio.wait_for(calls(), 20)) == set()


def test_a_cancelled_call_is_not_made_further() -> None:
    """The socket is closed, long before the deadline."""
    closed = threading.Event()

    def wait(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(30)
        while connection.recv(2**16):
            pass
        closed.set()

    async def cancelled() -> bool:
        with listening(wait) as server:
            async with AsyncClient(f"http://127.0.0.1:{server.port}", timeout=60) as client:
                task = asyncio.create_task(client.spec())
                while not server.received:
                    await asyncio.sleep(0.01)
                task.cancel()
                return await asyncio.to_thread(closed.wait, 10)

    assert asyncio.run(cancelled())


def test_a_closed_client_makes_no_further_attempts() -> None:
    with rest_stand_in() as server:
        client = Client(server.address, retries=Retries(attempts=50, first_s=0.05, most_s=0.05))
        server.answer = lambda *_: (503, {}, b"{}")  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(client.spec)
            while len(server.asked) < 2:
                time.sleep(0.01)
            client.close()
            with pytest.raises(InputError, match="open client"):
                call.result(10)


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
        """The longest wait for the loop, as a share of the time that the call took."""
        late: list[float] = []
        async with AsyncClient(address) as client:
            await client.spec()
            ticking = asyncio.create_task(tick(late))
            before = time.perf_counter()
            await client.predict(scan)
            took = time.perf_counter() - before
            ticking.cancel()
        assert len(late) > 3
        return max(late) / took

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
            assert min(asyncio.run(latest(server.address)) for _ in range(4)) < 0.12
        finally:
            gc.unfreeze()


@pytest.mark.parametrize("kind", ["aio", "async rest"])
def test_an_async_client_may_be_made_before_there_is_a_loop(kind: str, server: Server) -> None:
    client = AsyncClient(server.address)

    async def twice() -> list[str]:
        async with client:
            return [(await client.predict(SCAN)).label for _ in range(2)]

    assert asyncio.run(twice()) == ["lesion", "lesion"]
