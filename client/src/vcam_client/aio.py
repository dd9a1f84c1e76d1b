"""The client for asyncio: the same methods as `Client`, awaited.

Reading, resampling and the like run in threads, so that the event loop stays free.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from vcam_client import _steps, _verifying
from vcam_client._calls import (
    DEFAULT_MODEL,
    Answer,
    AsyncTransport,
    Call,
    Target,
    VersionStatus,
)
from vcam_client._connection import (
    DEFAULT_SERVER,
    DEFAULT_TIMEOUT_S,
    SERVER_VARIABLE,
    Connection,
    connection,
)
from vcam_client._missing import Nan
from vcam_client._replicas import Replicas
from vcam_client._retry import Retries
from vcam_client._steps import Context, Done, Question, ServedSpec, Steps
from vcam_client._tls import Tls
from vcam_client._verifying import DEFAULT_BLOCKS, Plan, Progress
from vcam_client.client import Scan, read_scan
from vcam_client.errors import InputError, VcamError
from vcam_client.prediction import Prediction
from vcam_client.verification import Verification

_Result = TypeVar("_Result")


class AsyncClient:
    """Talks to a model server. Use it as an async context manager, or close it.

    One event loop uses it. Many calls may be under way at once; a cancelled one leaves
    nothing behind.

    Args:
        server: "HOST:PORT" (gRPC) or "http://HOST:PORT" (REST); several separated by commas
            or in a sequence are replicas. By default $VCAM_SERVER, else 127.0.0.1:8500.
        timeout: seconds that one call of the server may take, repetitions included.
        tls: True, or who is trusted; implied by https:// and grpcs://.
        token: bearer token; sent only over TLS or to this machine.
        metadata: further pairs sent with every call (gRPC metadata, HTTP headers).
        retries: how often a call is made that finds no server, or a busy one. By default
            10 times in about 13 s, and for 3 s where no server has answered before; one more
            time where the connection broke during the call.

    Raises:
        InputError: an address that can't be one, a certificate that can't be read.
    """

    def __init__(
        self,
        server: str | Sequence[str] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        tls: Tls | bool = False,
        token: str | None = None,
        metadata: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        retries: Retries | int | None = None,
    ) -> None:
        self.connection = connection(
            server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER,
            timeout=timeout,
            tls=tls,
            token=token,
            metadata=metadata,
            retries=retries,
        )
        self._made: Replicas[AsyncTransport] | None = None
        self._closed = False
        self._context = Context(filters_outputs=not self.connection.rest)

    @property
    def server(self) -> str:
        """The addresses, separated by commas."""
        return ",".join(self.connection.addresses)

    async def spec(
        self, model: str = DEFAULT_MODEL, *, version: int | None = None, label: str | None = None
    ) -> ServedSpec:
        """The model spec, as the server serves it now.

        Args:
            model: its name on the server.
            version, label: one version of it; by default the newest.

        Raises:
            ModelNotFoundError, ServerUnavailableError: as their names say.
            ContractError: the model serves no valid spec.
        """
        target = Target(model=model, version=version, label=label)
        return await self._run(_steps.read_spec(target, self._context))

    async def predict(
        self,
        scan: Scan,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        target: str | None = None,
        method: str | None = None,
        layer: str | None = None,
        series: str | int | None = None,
        volume_index: int | None = None,
        spacing: float | Sequence[float] | None = None,
        strict: bool = False,
        nan: Nan | None = None,
    ) -> Prediction:
        """Scores a scan and explains one class.

        The version that served the spec is pinned; when it is gone, the spec is
        read again and the scan prepared anew.

        Args:
            scan: see `Scan`.
            model, version, label: as for `spec`.
            target: class to explain; by default what the spec says.
            method: CAM method, or a signature of the model; by default the model's.
            layer: target layer of the map; by default the first with that method.
            series, volume_index: as for `read_volume`, where `scan` is a path.
            spacing: as for `read_volume`, for a path or an array.
            nan: as for `read_volume`; voxels that are not finite are refused without.
            strict: as for `read_volume`; refuse values that can't be in the model's units, too.

        Raises:
            InputError: the scan can't be read, or not by this model.
            ServerError: the server can't be reached, or refused.
            ContractError: the answer is not what the spec promises.
        """
        volume, timings = await asyncio.to_thread(
            read_scan, scan, series, volume_index, spacing, strict, nan
        )
        question = Question(label=target, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        (prediction,) = await self._run(
            _steps.predict(volume, which, question, self._context, timings)
        )
        return prediction

    async def predict_all(
        self,
        scan: Scan,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        method: str | None = None,
        layer: str | None = None,
        series: str | int | None = None,
        volume_index: int | None = None,
        spacing: float | Sequence[float] | None = None,
        strict: bool = False,
        nan: Nan | None = None,
    ) -> list[Prediction]:
        """Scores a scan and explains every class, in the order of the spec's labels.

        Arguments and errors are those of `predict`.
        """
        volume, timings = await asyncio.to_thread(
            read_scan, scan, series, volume_index, spacing, strict, nan
        )
        question = Question(all_classes=True, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        return await self._run(_steps.predict(volume, which, question, self._context, timings))

    async def scores(
        self,
        scan: Scan,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        series: str | int | None = None,
        volume_index: int | None = None,
        spacing: float | Sequence[float] | None = None,
        strict: bool = False,
        nan: Nan | None = None,
    ) -> dict[str, float]:
        """{label: score} of a scan, without an explanation. Arguments are those of `predict`."""
        volume, _ = await asyncio.to_thread(
            read_scan, scan, series, volume_index, spacing, strict, nan
        )
        which = Target(model=model, version=version, label=label)
        served, values = await self._run(_steps.scores(volume, which, self._context, strict=strict))
        return dict(zip(served.spec.labels, map(float, values), strict=True))

    async def verify(
        self,
        scan: Scan,
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        target: str | None = None,
        method: str | None = None,
        layer: str | None = None,
        series: str | int | None = None,
        volume_index: int | None = None,
        spacing: float | Sequence[float] | None = None,
        strict: bool = False,
        nan: Nan | None = None,
        blocks: int = DEFAULT_BLOCKS,
        fill: str = "surroundings",
        progress: Progress | None = None,
    ) -> Verification:
        """Explains one class of a scan, and checks whether its score depends on what the map marks.

        The scan is scored again with parts of it hidden, some 200 times: docs/verify.md.

        Args:
            blocks: how many blocks of the occlusion map there may be.
            fill: what is put in place of what is hidden: what goes on from its
                "surroundings", the "median" of what was measured, or the spec's "padding".
            progress: called with how many of how many inputs of the model are done,
                from a thread.

        The other arguments and errors are those of `predict`.
        """
        volume, timings = await asyncio.to_thread(
            read_scan, scan, series, volume_index, spacing, strict, nan
        )
        question = Question(label=target, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        plan = Plan(blocks=blocks, fill=fill, progress=progress)
        return await self._run(
            _verifying.verify(volume, which, question, self._context, timings, plan)
        )

    async def verify_prediction(
        self,
        prediction: Prediction,
        *,
        blocks: int = DEFAULT_BLOCKS,
        fill: str = "surroundings",
        progress: Progress | None = None,
    ) -> Verification:
        """Checks an explanation that is there already, with the version that gave it.

        Arguments are those of `verify`.

        Raises:
            ModelNotFoundError: the server has that version no more.
            ServerError, ContractError: as for `predict`.
        """
        plan = Plan(blocks=blocks, fill=fill, progress=progress)
        return await self._run(_verifying.verify_prediction(prediction, plan))

    async def status(
        self, model: str = DEFAULT_MODEL, *, version: int | None = None, label: str | None = None
    ) -> list[VersionStatus]:
        """The versions of a model on the server, newest first.

        Args:
            model, version, label: as for `spec`; a version or a label leaves one.

        Raises:
            ModelNotFoundError, ServerUnavailableError: as their names say.
        """
        if label is not None:  # the server's status ignores labels
            version = (await self.spec(model, version=version, label=label)).version
        target = Target(model=model, version=version)
        return await self._tried(lambda transport, timeout: transport.status(target, timeout))

    async def health(self) -> bool:
        """Whether the server says that it serves.

        Raises:
            ServerUnavailableError, AccessDeniedError: as their names say.
        """
        return await self._tried(lambda transport, timeout: transport.healthy(timeout))

    async def close(self) -> None:
        """Closes all connections."""
        self._closed = True
        made, self._made = self._made, None
        for transport in made.transports if made is not None else ():
            await transport.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _replicas(self) -> Replicas[AsyncTransport]:
        """Made by the first call: gRPC's channels belong to the event loop that runs then."""
        if self._made is None:
            self._made = Replicas(_transports(self.connection))
        return self._made

    async def _run(self, steps: Steps[_Result]) -> _Result:
        """Makes the calls that `steps` asks for."""
        step = await asyncio.to_thread(_steps.advance, steps, None)
        while not isinstance(step, Done):
            answer = await self._answered(step)
            step = await asyncio.to_thread(_steps.advance, steps, answer)
        return step.result

    async def _answered(self, call: Call) -> Answer | VcamError:
        try:
            return await self._tried(lambda transport, timeout: transport.predict(call, timeout))
        except VcamError as error:
            return error

    async def _tried(self, ask: Callable[[AsyncTransport, float], Awaitable[_Result]]) -> _Result:
        self._require_open()
        replicas = self._replicas
        attempts = replicas.attempts(self.connection.retries, self.connection.timeout)
        while True:
            self._require_open()
            transport = replicas.next()
            try:
                result = await ask(transport, attempts.deadline.left)
            except VcamError as error:
                replicas.failed(transport, error)
                pause = attempts.pause_after(error)
            else:
                replicas.answered(transport)
                return result
            await asyncio.sleep(pause)

    def _require_open(self) -> None:
        if self._closed:
            raise InputError("Expected an open client, received a closed one. Make a new one.")


def _transports(to: Connection) -> list[AsyncTransport]:
    if to.rest:
        from vcam_client._rest_aio import AsyncRestTransport

        return [AsyncRestTransport(address, to) for address in to.addresses]
    from vcam_client._grpc_aio import AsyncGrpcTransport

    return [AsyncGrpcTransport(address, to) for address in to.addresses]
