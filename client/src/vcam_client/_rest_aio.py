"""The REST transport for asyncio: the blocking one, in threads that can be ended."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from vcam_client._calls import Answer, Call, Target, VersionStatus
from vcam_client._connection import Connection
from vcam_client._http import Ending
from vcam_client._rest import RestTransport

_CALLS_AT_ONCE = 32

_Result = TypeVar("_Result")


class AsyncRestTransport:
    """The REST transport for asyncio: `RestTransport` in threads.

    Attributes:
        address: http://HOST:PORT or https://HOST:PORT.
    """

    filters_outputs = False

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._transport = RestTransport(address, connection)
        self._slots = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._under_way: dict[threading.Thread, tuple[Ending, asyncio.Future[None]]] = {}

    async def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `RestTransport.predict`."""
        until = Ending(timeout)
        return await self._run(lambda: self._transport.predict(call, timeout, until), until)

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first."""
        until = Ending(timeout)
        return await self._run(lambda: self._transport.status(target, timeout, until), until)

    async def healthy(self, timeout: float) -> bool:
        """Whether it answers as TensorFlow Serving does."""
        until = Ending(timeout)
        return await self._run(lambda: self._transport.healthy(timeout, until), until)

    async def close(self) -> None:
        """Closes connections, ends calls in flight, and waits until their threads have ended.

        A call that is still connecting ends when it is connected, within 5 s.
        """
        self._transport.close()
        under_way = dict(self._under_way)
        for until, _ in under_way.values():
            until.end()
        for thread, (_, ended) in under_way.items():
            await asyncio.wait([ended])
            thread.join()  # it has nothing left to do

    async def _run(self, call: Callable[[], _Result], until: Ending) -> _Result:
        """Makes a call in its own thread, which ends soon once the call is cancelled."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_Result] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        def settle(set_outcome: Callable[[Any], None], outcome: object) -> None:
            if not answered.done():
                set_outcome(outcome)
            if not ended.done():
                ended.set_result(None)
            self._under_way.pop(thread, None)

        def work() -> None:
            try:
                outcome: tuple[Callable[[Any], None], object] = answered.set_result, call()
            except BaseException as error:
                outcome = answered.set_exception, error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, *outcome)

        async with self._slots:
            thread = threading.Thread(target=work, name="vcam-rest", daemon=True)
            self._under_way[thread] = until, ended
            thread.start()
            try:
                return await answered
            except asyncio.CancelledError:
                until.end()
                raise
