"""The client: a scan goes in, an explained prediction comes out."""

import copy
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from numpy.typing import NDArray

from vcam_client import _steps, _verifying
from vcam_client._calls import (
    DEFAULT_MODEL,
    Answer,
    Call,
    Target,
    Transport,
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
from vcam_client.errors import InputError, VcamError
from vcam_client.prediction import Prediction
from vcam_client.reading import as_volume
from vcam_client.verification import Verification
from vcam_client.volume import Volume

__all__ = ["Client", "ServedSpec"]

Scan = Path | str | Volume | NDArray[Any]
"""What a scan may be given as: a path that `read_volume` reads, a volume, or an array
[slices, rows, columns] or [rows, columns] of the model's units."""

_Result = TypeVar("_Result")


class Client:
    """Talks to a model server. Use it as a context manager, or close it; threads may share it.

    Args:
        server: "HOST:PORT" or "unix:PATH" (gRPC), or "http://HOST:PORT" (REST); several
            separated by commas or in a sequence are replicas. By default $VCAM_SERVER, else
            127.0.0.1:8500.
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
        self._replicas = Replicas(_transports(self.connection))
        self._closed = False
        self._context = Context(filters_outputs=not self.connection.rest)

    @property
    def server(self) -> str:
        """The addresses, separated by commas."""
        return ",".join(self.connection.addresses)

    def spec(
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
        return self._run(_steps.read_spec(target, self._context))

    def predict(
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
        volume, timings = read_scan(scan, series, volume_index, spacing, strict, nan)
        question = Question(label=target, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        (prediction,) = self._run(_steps.predict(volume, which, question, self._context, timings))
        return prediction

    def predict_all(
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
        volume, timings = read_scan(scan, series, volume_index, spacing, strict, nan)
        question = Question(all_classes=True, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        return self._run(_steps.predict(volume, which, question, self._context, timings))

    def scores(
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
        volume, _ = read_scan(scan, series, volume_index, spacing, strict, nan)
        which = Target(model=model, version=version, label=label)
        served, values = self._run(_steps.scores(volume, which, self._context, strict=strict))
        return dict(zip(served.spec.labels, map(float, values), strict=True))

    def verify(
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
            progress: called with how many of how many inputs of the model are done.

        The other arguments and errors are those of `predict`.
        """
        volume, timings = read_scan(scan, series, volume_index, spacing, strict, nan)
        question = Question(label=target, method=method, layer=layer, strict=strict)
        which = Target(model=model, version=version, label=label)
        plan = Plan(blocks=blocks, fill=fill, progress=progress)
        return self._run(_verifying.verify(volume, which, question, self._context, timings, plan))

    def verify_prediction(
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
        return self._run(_verifying.verify_prediction(prediction, plan))

    def status(
        self, model: str = DEFAULT_MODEL, *, version: int | None = None, label: str | None = None
    ) -> list[VersionStatus]:
        """The versions of a model on the server, newest first.

        Args:
            model, version, label: as for `spec`; a version or a label leaves one.

        Raises:
            ModelNotFoundError, ServerUnavailableError: as their names say.
        """
        if label is not None:  # the server's status ignores labels
            version = (self.spec(model, version=version, label=label)).version
        target = Target(model=model, version=version)
        return self._tried(lambda transport, timeout: transport.status(target, timeout))

    def health(self) -> bool:
        """Whether the server says that it serves.

        Raises:
            ServerUnavailableError, AccessDeniedError: as their names say.
        """
        return self._tried(lambda transport, timeout: transport.healthy(timeout))

    def close(self) -> None:
        """Closes all connections."""
        self._closed = True
        for transport in self._replicas.transports:
            transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _without_repeats_of_broken_calls(self) -> "Client":
        """The same client, with the same connections, for callers that repeat such calls."""
        other = copy.copy(self)
        retries = replace(self.connection.retries, breaks=0)
        other.connection = replace(self.connection, retries=retries)
        return other

    def _run(self, steps: Steps[_Result]) -> _Result:
        """Makes the calls that `steps` asks for."""
        step = _steps.advance(steps, None)
        while not isinstance(step, Done):
            step = _steps.advance(steps, self._answered(step))
        return step.result

    def _answered(self, call: Call) -> Answer | VcamError:
        try:
            return self._tried(lambda transport, timeout: transport.predict(call, timeout))
        except VcamError as error:
            return error

    def _tried(self, ask: Callable[[Transport, float], _Result]) -> _Result:
        replicas = self._replicas
        attempts = replicas.attempts(self.connection.retries, self.connection.timeout)
        while True:
            self._require_open()
            transport = replicas.next()
            try:
                result = ask(transport, attempts.deadline.left)
            except VcamError as error:
                replicas.failed(transport, error)
                pause = attempts.pause_after(error)
            else:
                replicas.answered(transport)
                return result
            time.sleep(pause)

    def _require_open(self) -> None:
        if self._closed:
            raise InputError("Expected an open client, received a closed one. Make a new one.")


def _transports(to: Connection) -> list[Transport]:
    if to.rest:
        from vcam_client._rest import RestTransport

        return [RestTransport(address, to) for address in to.addresses]
    from vcam_client._grpc import GrpcTransport

    return [GrpcTransport(address, to) for address in to.addresses]


def read_scan(
    scan: Scan,
    series: str | int | None,
    volume_index: int | None,
    spacing: float | Sequence[float] | None,
    strict: bool,
    nan: Nan | None,
) -> tuple[Volume, dict[str, float]]:
    """The volume of a scan, and the seconds that reading it took."""
    start = time.perf_counter()
    volume = as_volume(
        scan, series=series, volume_index=volume_index, spacing=spacing, strict=strict, nan=nan
    )
    return volume, {"read": time.perf_counter() - start}
