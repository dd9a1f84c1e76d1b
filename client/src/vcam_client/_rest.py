"""The REST transport: TensorFlow Serving's JSON over HTTP, with the errors of gRPC."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import requests
from numpy.typing import NDArray

from vcam_client._calls import Answer, Call, Target, Traffic, VersionStatus
from vcam_client._connection import Connection
from vcam_client._refusals import refused
from vcam_client.errors import ContractError, ModelNotFoundError, VcamError

_CODE_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NO_SIGNATURE = "not found in signature def"


class RestTransport:
    """One URL, until it is closed; safe to use from several threads."""

    filters_outputs = False

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._headers = dict(connection.headers)
        self._patience = connection.timeout
        tls = connection.tls
        self._verify: str | bool = True
        self._certificate: tuple[str, str] | None = None
        if tls is not None:
            self._verify = True if tls.ca is None else str(tls.existing("ca"))
            if tls.certificate is not None:
                self._certificate = str(tls.existing("certificate")), str(tls.existing("key"))
        # requests' sessions are not made for several threads at once
        self._sessions = threading.local()
        self._opened: list[requests.Session] = []

    def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `GrpcTransport.predict`.

        REST does not say which version answered: one that is not pinned is looked up before.
        """
        target = call.target
        if target.version is None:
            available = [s.version for s in self.status(target, timeout) if s.available]
            if not available:
                raise self._refused("NOT_FOUND", "no version is available", call)
            target = target.pinned(available[0])
        body = json.dumps(
            {
                "signature_name": call.signature,
                "inputs": {alias: _listed(value) for alias, value in call.inputs.items()},
            },
            separators=(",", ":"),
        ).encode()
        text = self._send("POST", f"{_path(target)}:predict", call, timeout, body)
        assert target.version is not None
        return Answer(
            outputs=_outputs(text, call),
            version=target.version,
            traffic=Traffic(sent=len(body), received=len(text)),
        )

    def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first; errors as for `predict`."""
        call = Call(target=target, signature="status", inputs={}, outputs=())
        text = self._send("GET", _path(target), call, timeout)
        try:
            found = [
                VersionStatus(
                    version=int(item["version"]),
                    state=str(item["state"]),
                    error=str(item.get("status", {}).get("error_message", "")),
                )
                for item in json.loads(text)["model_version_status"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(self.address) from error
        return sorted(found, key=lambda status: -status.version)

    def healthy(self, timeout: float) -> bool:
        """Whether it answers at all: REST has no health service."""
        with contextlib.suppress(ModelNotFoundError):
            self.status(Target(), timeout)
        return True

    def close(self) -> None:
        """Closes connections."""
        for session in self._opened:
            session.close()

    def _session(self) -> requests.Session:
        session = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = requests.Session()
            session.headers.update(self._headers)
            session.verify, session.cert = self._verify, self._certificate
            self._opened.append(session)
        return cast(requests.Session, session)

    def _send(
        self, verb: str, path: str, call: Call, timeout: float, body: bytes | None = None
    ) -> bytes:
        try:
            response = self._session().request(
                verb,
                self.address + path,
                data=body,
                headers={"Content-Type": "application/json"} if body else None,
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.exceptions.Timeout as error:
            raise self._refused("DEADLINE_EXCEEDED", "", call) from error
        except requests.exceptions.RequestException as error:
            # the text names the address and the reason, nothing of the scan
            raise self._refused("UNAVAILABLE", _reason(error), call) from error
        if response.status_code != 200:
            details = _error_text(response.content)
            code = _CODE_OF_HTTP.get(response.status_code, f"HTTP {response.status_code}")
            if _NO_SIGNATURE in details:
                code = "FAILED_PRECONDITION"
            raise self._refused(code, details, call)
        return response.content

    def _refused(self, code: str, details: str, call: Call) -> VcamError:
        return refused(
            code,
            details,
            address=self.address,
            target=call.target,
            signature=call.signature,
            timeout=self._patience,
        )


class AsyncRestTransport:
    """The REST transport for asyncio: `RestTransport` in threads."""

    filters_outputs = False

    def __init__(self, address: str, connection: Connection) -> None:
        self.address = address
        self._transport = RestTransport(address, connection)

    async def predict(self, call: Call, timeout: float) -> Answer:
        """Calls a signature; errors as for `RestTransport.predict`."""
        return await asyncio.to_thread(self._transport.predict, call, timeout)

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """The versions of a model, newest first."""
        return await asyncio.to_thread(self._transport.status, target, timeout)

    async def healthy(self, timeout: float) -> bool:
        """Whether it answers at all."""
        return await asyncio.to_thread(self._transport.healthy, timeout)

    async def close(self) -> None:
        """Closes connections."""
        self._transport.close()


def _path(target: Target) -> str:
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    return f"{path}/labels/{quote(target.label, safe='')}" if target.label else path


def _listed(value: NDArray[Any] | Sequence[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [text.decode() for text in value]


def _outputs(text: bytes, call: Call) -> Mapping[str, NDArray[Any]]:
    """Outputs by alias; a single output comes without its name."""
    try:
        outputs = json.loads(text)["outputs"]
        if not (isinstance(outputs, dict) and outputs.keys() >= set(call.outputs)):
            if len(call.outputs) != 1:
                raise _unreadable(call.signature)
            outputs = {call.outputs[0]: outputs}
        return {alias: _array(outputs[alias]) for alias in call.outputs}
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(call.signature) from error


def _array(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "U":
        return np.array([text.encode() for text in array.ravel()], object).reshape(array.shape)
    return array


def _unreadable(what: str) -> ContractError:
    return ContractError(
        f"Expected an answer of TensorFlow Serving from {what}, received something else. Does the "
        "address name its REST port (8501 by default)?"
    )


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace").strip()


def _reason(error: Exception) -> str:
    """The innermost cause, which says what failed; requests wraps it several times."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return str(cause)
