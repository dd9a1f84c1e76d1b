"""The REST transport: TensorFlow Serving's JSON over HTTP, with the errors of gRPC."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import requests
import urllib3.exceptions
from requests.auth import AuthBase

from vcam_client import _rest_json as body
from vcam_client import _rest_zeros as zeros
from vcam_client._calls import Answer, Call, Target, Traffic, VersionStatus
from vcam_client._connection import Connection, is_loopback
from vcam_client._gateways import NEVER_OF_A_MODEL_SERVER, GatewayAnswer, proxy_refused
from vcam_client._http import Ending, Session
from vcam_client._proxies import Proxy, proxy_of, without_passwords
from vcam_client._refusals import refused
from vcam_client._rest_body import ENCODING, BodyError, read_body
from vcam_client._tls import why_refused
from vcam_client.errors import AccessDeniedError, ContractError, ModelNotFoundError, VcamError

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
_MOST_ANSWER_BYTES = 2**29
"""More than any map needs as text; a server gone wild must not fill the memory."""
_LEAST_ANSWER_BYTES, _ANSWER_PER_SENT_BYTE = 2**23, 8
"""So much may be answered to a small call, and more to one that brings a volume along: a
heatmap has as many numbers as the volume, of some fifteen characters each."""
_MOST_REFUSAL_BYTES, _MOST_METADATA_BYTES = 2**20, 2**21
_TIMED_OUT = "timed out"
"""In TensorFlow Serving's text where its own time for a REST call is over."""


@dataclass(frozen=True, kw_only=True)
class _Reply:
    """An HTTP answer with its whole body, and the bytes that it took on the wire."""

    status: int
    text: bytes
    received: int
    server: str
    location: str

    @property
    def is_web_page(self) -> bool:
        """Whether it is HTML, as login pages are, also with status 200."""
        return self.text[:100].lstrip().lower().startswith((b"<!doctype", b"<html"))


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
        self._has_numbers = False
        self._auth = _Headers(connection)
        self._certificate: tuple[str, str] | None = None
        tls = connection.tls
        # given with each call: else $REQUESTS_CA_BUNDLE takes precedence
        self._verify: str | bool = True if tls is None or tls.ca is None else str(tls.ca)
        if tls is not None and tls.certificate is not None:
            self._certificate = str(tls.certificate), str(tls.key)
        # a session carries one call at a time
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False

    def predict(self, call: Call, timeout: float, until: Ending | None = None) -> Answer:
        """Calls a signature; errors as for `GrpcTransport.predict`.

        REST does not say which version answered: one that is not pinned is looked up before.

        Args:
            call: which.
            timeout: seconds.
            until: by which another thread can end the call, in place of `timeout`.
        """
        until = until or Ending(timeout)
        if call.target.version is not None:
            return self._predict(call, call.target, call.target.version, until)
        version = self._resolved(call, until)
        try:
            return self._predict(call, call.target.pinned(version), version, until)
        except ModelNotFoundError:
            # a newer one may just have replaced it
            newer = self._resolved(call, until)
            if newer == version:
                raise
            return self._predict(call, call.target.pinned(newer), newer, until)

    def status(
        self, target: Target, timeout: float, until: Ending | None = None
    ) -> list[VersionStatus]:
        """The versions of a model, newest first; arguments and errors as for `predict`."""
        call = Call(target=target, signature="status", inputs={}, outputs=())
        reply = self._send("GET", body.path_of(target), call, until or Ending(timeout))
        return body.statuses_of(reply.text, self.address)

    def healthy(self, timeout: float, until: Ending | None = None) -> bool:
        """Whether it answers as TensorFlow Serving does: REST has no health service."""
        with contextlib.suppress(ModelNotFoundError):
            self.status(Target(), timeout, until)
        return True

    def close(self) -> None:
        """Closes connections."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _predict(self, call: Call, target: Target, version: int, until: Ending) -> Answer:
        if not self._has_numbers and not zeros.TEXT_OUTPUTS.isdisjoint(call.outputs):
            self._require_numbers(call, target, version, until)
        answer = self._asked(call, target, version, until)
        if zeros.needs_probes(answer):
            # this server may not be the one that was checked before: a replica, or one restarted
            probes = list(zeros.probes_like(call, target))
            if self._all_zero(probes, target, version, until):
                self._has_numbers = False  # the next call for text would end this server
                raise zeros.zeros_error(self.address, target)
        return answer

    def _asked(self, call: Call, target: Target, version: int, until: Ending) -> Answer:
        content = body.body_of(call)
        reply = self._send("POST", f"{body.path_of(target)}:predict", call, until, content)
        return Answer(
            outputs=body.outputs_of(reply.text, call, self.address),
            version=version,
            traffic=Traffic(sent=len(content), received=reply.received),
        )

    def _require_numbers(self, call: Call, target: Target, version: int, until: Ending) -> None:
        """Asks for scores before the first call for text, which ends some servers.

        Where a gateway hides the model's metadata, there is nothing to go by.
        """
        try:
            reply = self._send("GET", f"{body.path_of(target)}/metadata", call, until)
        except (ContractError, AccessDeniedError):
            return
        signatures = zeros.signatures_of(reply.text)
        if signatures.names and call.signature not in signatures.names:
            details = f"its signatures are {', '.join(sorted(signatures.names))}"
            raise self._refused("FAILED_PRECONDITION", details, call)
        probes = list(zeros.probes(target, signatures))
        if self._all_zero(probes, target, version, until):
            raise zeros.zeros_error(self.address, target, before_text=True)
        self._has_numbers = bool(probes)

    def _all_zero(self, probes: list[Call], target: Target, version: int, until: Ending) -> bool:
        """Whether each of several calls is answered with zeros; stops at the first that isn't."""
        return bool(probes) and all(
            zeros.is_all_zero(self._asked(probe, target, version, until)) for probe in probes
        )

    def _resolved(self, call: Call, until: Ending) -> int:
        """The version that answers. TensorFlow Serving's status knows no labels."""
        target = call.target
        if target.label is not None:
            reply = self._send("GET", f"{body.path_of(target)}/metadata", call, until)
            return body.version_of(reply.text, self.address)
        reply = self._send("GET", body.path_of(target), call, until)
        available = [s.version for s in body.statuses_of(reply.text, self.address) if s.available]
        if not available:
            raise self._refused("NOT_FOUND", "no version is available", call)
        return available[0]

    def _send(
        self, verb: str, path: str, call: Call, until: Ending, content: bytes | None = None
    ) -> _Reply:
        """The answer with status 200; others are errors."""
        headers = {"Accept-Encoding": ENCODING}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            with (
                self._session(until) as session,
                session.request(
                    verb,
                    self.address + path,
                    data=content,
                    headers=headers,
                    timeout=(min(until.seconds, _CONNECT_S), until.seconds),
                    allow_redirects=False,
                    stream=True,
                    auth=self._auth,
                    verify=self._verify,
                    cert=self._certificate,
                ) as response,
            ):
                reply = self._reply(response, until, content)
        except requests.exceptions.ConnectTimeout as error:
            code = "UNAVAILABLE" if until.left else "DEADLINE_EXCEEDED"
            raise self._refused(code, "no connection in time", call) from error
        except BodyError as error:
            raise body.unreadable(self.address, str(error)) from error
        except (requests.exceptions.InvalidHeader, urllib3.exceptions.InvalidHeader) as error:
            reason = f"a header that can't be read: {_reason(error)}"
            raise body.unreadable(self.address, reason) from error
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise self._refused("DEADLINE_EXCEEDED", "", call) from error
        except TimeoutError as error:
            raise self._refused("DEADLINE_EXCEEDED", "", call) from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,  # of libraries that meet a header, or the URL of a proxy,
            TypeError,  # that they did not expect
        ) as error:
            raise self._unreachable(error, call, until, sent=content is not None) from error
        self._answered = True
        if reply.status != 200 or reply.is_web_page:
            raise self._error(reply, call)
        return reply

    def _reply(self, response: requests.Response, until: Ending, content: bytes | None) -> _Reply:
        """The whole answer to a call, within the deadline and of a sane size."""
        if response.status_code != 200:
            most = _MOST_REFUSAL_BYTES
        elif content is None:
            most = _MOST_METADATA_BYTES
        else:
            most = _LEAST_ANSWER_BYTES + _ANSWER_PER_SENT_BYTE * len(content)
        most = min(most, _MOST_ANSWER_BYTES)
        text, received = read_body(response, most, until)
        return _Reply(
            status=response.status_code,
            text=text,
            received=received,
            server=response.headers.get("Server", ""),
            location=response.headers.get("Location", ""),
        )

    @property
    def _proxy(self) -> Proxy | None:
        return None if is_loopback(self.address) else proxy_of(self.address)

    def _error(self, reply: _Reply, call: Call) -> VcamError:
        code = _CODE_OF_HTTP.get(reply.status, f"HTTP {reply.status}")
        details = body.error_of(reply.text)
        late_elsewhere = reply.status == 504 and _TIMED_OUT not in (details or "").lower()
        if details is None or late_elsewhere or reply.status in NEVER_OF_A_MODEL_SERVER:
            text = details or " ".join(reply.text[:200].decode("utf-8", "replace").split())
            return GatewayAnswer(
                address=self.address,
                status=reply.status,
                signature=call.signature,
                text=without_passwords(self._to.redacted(text)),
                server=reply.server,
                location=reply.location,
                proxy=self._proxy,
            ).error
        if _NO_SIGNATURE in details:
            code = "FAILED_PRECONDITION"
        return self._refused(code, details, call)

    def _unreachable(self, error: Exception, call: Call, until: Ending, *, sent: bool) -> VcamError:
        self._has_numbers = False  # whatever answers next may be started differently
        details = _reason(error)
        if isinstance(error, requests.exceptions.ProxyError) and "Tunnel" in details:
            return proxy_refused(self._proxy, self.address, without_passwords(details))
        if "certificate" not in details.lower() and not self._answered:
            host = self.address.split("://")[-1].split("/")[0]
            details = why_refused(host, self._to.tls, until.left) or details
        return self._refused("UNAVAILABLE", details, call, broken=sent and _was_open(error))

    def _refused(self, code: str, details: str, call: Call, *, broken: bool = False) -> VcamError:
        return refused(
            code,
            without_passwords(self._to.redacted(details)),
            address=self.address,
            target=call.target,
            signature=call.signature,
            timeout=self._to.timeout,
            encrypted=self._to.tls is not None,
            broken=broken,
            proxy=self._proxy,
        )

    @contextlib.contextmanager
    def _session(self, until: Ending) -> Iterator[Session]:
        """A session for one call, with the connection that it kept from earlier ones."""
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = Session()
            # what is sent to this machine is not sent through a proxy
            session.trust_env = not is_loopback(self.address)
        session.until = until
        try:
            yield session
        except BaseException:
            session.close()
            raise
        finally:
            until.hold(None)
        with self._lock:
            if not self._closed:
                self._idle.append(session)
                return
        session.close()


def _was_open(error: BaseException) -> bool:
    """Whether a connection was there before it failed, so that the server may have read a call."""
    causes = list(_causes(error))
    never = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ProxyError,
        urllib3.exceptions.SSLError,
        urllib3.exceptions.LocationParseError,
    )
    open_before = (urllib3.exceptions.ProtocolError, ConnectionError, http.client.IncompleteRead)
    return any(isinstance(c, open_before) for c in causes) and not any(
        isinstance(c, never) for c in causes
    )


def _reason(error: BaseException) -> str:
    """The innermost cause, which says what failed; requests wraps it several times."""
    return str(list(_causes(error))[-1])


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
