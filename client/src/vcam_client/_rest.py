"""The REST transport: TensorFlow Serving's JSON over HTTP, with the errors of gRPC."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import requests
import urllib3.exceptions
from requests.auth import AuthBase

from vcam_client import _rest_json as body
from vcam_client._calls import Answer, Call, Target, Traffic, VersionStatus
from vcam_client._connection import Connection, is_loopback
from vcam_client._refusals import refused
from vcam_client._retry import Deadline
from vcam_client._tls import why_refused
from vcam_client.errors import ModelNotFoundError, VcamError

_CODE_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NO_SIGNATURE = "not found in signature def"
_CONNECT_S = 5.0
_LEAST_S = 0.001
_CHUNK_BYTES = 2**20
_MOST_ANSWER_BYTES = 2**29
"""More than any map needs as text; a server gone wild must not fill the memory."""
_CALLS_AT_ONCE = 32

_Result = TypeVar("_Result")


class _Headers(AuthBase):
    """Sets headers last, so that no .netrc file replaces the token."""

    def __init__(self, connection: Connection) -> None:
        self._headers = dict(connection.headers)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class RestTransport:
    """One URL, until it is closed; safe to use from several threads.

    Attributes:
        address: http://HOST:PORT or https://HOST:PORT.
    """

    filters_outputs = False

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._to = connection
        self._answered = False
        self._auth = _Headers(connection)
        self._certificate: tuple[str, str] | None = None
        tls = connection.tls
        # given with each call: else $REQUESTS_CA_BUNDLE takes precedence
        self._verify: str | bool = True if tls is None or tls.ca is None else str(tls.ca)
        if tls is not None and tls.certificate is not None:
            self._certificate = str(tls.certificate), str(tls.key)
        # a session carries one call at a time
        self._idle: list[requests.Session] = []
        self._lock = threading.Lock()
        self._closed = False

    def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `GrpcTransport.predict`.

        REST does not say which version answered: one that is not pinned is looked up before.
        """
        deadline = Deadline(timeout)
        if call.target.version is not None:
            return self._predict(call, call.target, call.target.version, deadline)
        version = self._resolved(call, deadline)
        try:
            return self._predict(call, call.target.pinned(version), version, deadline)
        except ModelNotFoundError:
            # a newer one may just have replaced it
            newer = self._resolved(call, deadline)
            if newer == version:
                raise
            return self._predict(call, call.target.pinned(newer), newer, deadline)

    def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first; errors as for `predict`."""
        call = Call(target=target, signature="status", inputs={}, outputs=())
        text, _ = self._send("GET", body.path_of(target), call, Deadline(timeout))
        return body.statuses_of(text, self.address)

    def healthy(self, timeout: float) -> bool:
        """Whether it answers as TensorFlow Serving does: REST has no health service."""
        with contextlib.suppress(ModelNotFoundError):
            self.status(Target(), timeout)
        return True

    def close(self) -> None:
        """Closes connections."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _predict(self, call: Call, target: Target, version: int, deadline: Deadline) -> Answer:
        content = body.body_of(call)
        text, received = self._send(
            "POST", f"{body.path_of(target)}:predict", call, deadline, content
        )
        return Answer(
            outputs=body.outputs_of(text, call, self.address),
            version=version,
            traffic=Traffic(sent=len(content), received=received),
        )

    def _resolved(self, call: Call, deadline: Deadline) -> int:
        """The version that answers. TensorFlow Serving's status knows no labels."""
        target = call.target
        if target.label is not None:
            text, _ = self._send("GET", f"{body.path_of(target)}/metadata", call, deadline)
            return body.version_of(text, self.address)
        text, _ = self._send("GET", body.path_of(target), call, deadline)
        available = [s.version for s in body.statuses_of(text, self.address) if s.available]
        if not available:
            raise self._refused("NOT_FOUND", "no version is available", call)
        return available[0]

    def _send(
        self, verb: str, path: str, call: Call, deadline: Deadline, content: bytes | None = None
    ) -> tuple[bytes, int]:
        """The body of an answer, and the bytes that it took on the wire."""
        left = max(_LEAST_S, deadline.left)
        try:
            with (
                self._session() as session,
                session.request(
                    verb,
                    self.address + path,
                    data=content,
                    headers={"Content-Type": "application/json"} if content else None,
                    timeout=(min(left, _CONNECT_S), left),
                    allow_redirects=False,
                    stream=True,
                    auth=self._auth,
                    verify=self._verify,
                    cert=self._certificate,
                ) as response,
            ):
                text, received = self._read(response, call, deadline)
        except requests.exceptions.ConnectTimeout as error:
            code = "UNAVAILABLE" if deadline.left else "DEADLINE_EXCEEDED"
            raise self._refused(code, "no connection in time", call) from error
        except VcamError:
            raise
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise self._refused("DEADLINE_EXCEEDED", "", call) from error
        except urllib3.exceptions.DecodeError as error:
            raise body.unreadable(self.address, "an answer that can't be decompressed") from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise self._unreachable(error, call, deadline) from error
        self._answered = True
        if response.status_code != 200:
            raise self._error(response.status_code, text, call)
        return text, received

    def _read(
        self, response: requests.Response, call: Call, deadline: Deadline
    ) -> tuple[bytes, int]:
        """The whole body, within the deadline and of a sane size."""
        # one look at the socket at a time: bytes that trickle in keep no deadline away
        raw: Any = response.raw
        read = getattr(raw, "read1", raw.read)
        parts, size = [], 0
        while part := read(_CHUNK_BYTES, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > _MOST_ANSWER_BYTES:
                raise body.unreadable(
                    self.address, f"an answer of more than {_MOST_ANSWER_BYTES} bytes"
                )
            if not deadline.left:
                raise self._refused("DEADLINE_EXCEEDED", "", call)
        return b"".join(parts), raw.tell()

    def _error(self, status: int, text: bytes, call: Call) -> VcamError:
        code = _CODE_OF_HTTP.get(status, f"HTTP {status}")
        details = body.error_of(text)
        if details is None:
            if code in ("INVALID_ARGUMENT", "NOT_FOUND") or 300 <= status < 400:
                return body.unreadable(self.address, f"HTTP {status} that is none of its errors")
            details = text[:200].decode("utf-8", "replace")
        if _NO_SIGNATURE in details:
            code = "FAILED_PRECONDITION"
        return self._refused(code, details, call)

    def _unreachable(self, error: Exception, call: Call, deadline: Deadline) -> VcamError:
        details = _reason(error)
        if "certificate" not in details.lower() and not self._answered:
            host = self.address.split("://")[-1].split("/")[0]
            details = why_refused(host, self._to.tls, deadline.left) or details
        return self._refused("UNAVAILABLE", details, call)

    def _refused(self, code: str, details: str, call: Call) -> VcamError:
        return refused(
            code,
            self._to.redacted(details),
            address=self.address,
            target=call.target,
            signature=call.signature,
            timeout=self._to.timeout,
        )

    @contextlib.contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session for one call, with the connection that it kept from earlier ones."""
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = requests.Session()
            # what is sent to this machine is not sent through a proxy
            session.trust_env = not is_loopback(self.address)
        try:
            yield session
        except BaseException:
            session.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(session)
                return
        session.close()


class AsyncRestTransport:
    """The REST transport for asyncio: `RestTransport` in threads of its own.

    Attributes:
        address: http://HOST:PORT or https://HOST:PORT.
    """

    filters_outputs = False

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._transport = RestTransport(address, connection)
        self._slots = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `RestTransport.predict`."""
        deadline = Deadline(timeout)
        return await self._run(lambda: self._transport.predict(call, deadline.left))

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first."""
        return await self._run(lambda: self._transport.status(target, timeout))

    async def healthy(self, timeout: float) -> bool:
        """Whether it answers as TensorFlow Serving does."""
        return await self._run(lambda: self._transport.healthy(timeout))

    async def close(self) -> None:
        """Closes connections; a call in flight ends by itself, at its deadline at the latest."""
        self._transport.close()

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        """Makes a call in a thread of its own, which nobody waits for once it is cancelled."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[_Result] = loop.create_future()

        def settle(set_outcome: Callable[[Any], None], outcome: object) -> None:
            if not ended.done():
                set_outcome(outcome)

        def work() -> None:
            try:
                outcome: tuple[Callable[[Any], None], object] = ended.set_result, call()
            except BaseException as error:
                outcome = ended.set_exception, error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, *outcome)

        async with self._slots:
            threading.Thread(target=work, name="vcam-rest", daemon=True).start()
            return await ended


def _reason(error: Exception) -> str:
    """The innermost cause, which says what failed; requests wraps it several times."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return str(cause)
