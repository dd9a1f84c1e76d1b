"""Calls of either client, and stand-ins that fail for a while."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from client.rest_stand_in import RestStandIn
from client.stand_in import RefusalError, StandIn, answer
from client.test_client import SCAN

from vcam_client import AsyncClient, Client, Retries

TRANSPORTS = ("grpc", "aio", "rest", "async rest")
AT_ONCE = 32
QUICK = Retries(attempts=6, first_s=0.01, most_s=0.05)
JSON = {"Content-Type": "application/json"}
Server = StandIn | RestStandIn


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
