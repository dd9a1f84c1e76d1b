"""What it means when something before the model server answers: a gateway, a load balancer,
a login page or a proxy, by HTTP status."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from vcam_client._proxies import Proxy
from vcam_client.errors import (
    AccessDeniedError,
    ContractError,
    DeadlineExceededError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    VcamError,
)

NEVER_OF_A_MODEL_SERVER = frozenset({*range(300, 400), 407, 413, 414, 431, 502, *range(520, 531)})
"""Statuses that TensorFlow Serving has no use for."""

_TOO_LARGE = (413, 414, 431)
_TOO_LATE = (408, 504, 524)
_LOST = (502, 520, 521, 522, 523, 525, 526, 530)
"""The gateway has no connection to its server, or lost it; from 520 on as Cloudflare has it."""
_MOST_NAME = 40
_MOST_URL = 120
_MOST_TITLE = 60


class BadGatewayError(ServerUnavailableError):
    """A gateway lost its server, or finds none: it doesn't say whether during the call."""


@dataclass(frozen=True, kw_only=True)
class GatewayAnswer:
    """An answer that is not of a model server.

    Attributes:
        address: of the model server that was called.
        status: of HTTP.
        text: the beginning of its body, on one line.
        server: how it calls itself (the header Server), "" if unknown.
        location: where it points to, "" where it doesn't.
        proxy: which the call went through, or None.
        signature: that was called.
    """

    address: str
    status: int
    signature: str
    text: str = ""
    server: str = ""
    location: str = ""
    proxy: Proxy | None = None

    @property
    def who(self) -> str:
        """Who answered, to begin a sentence with."""
        name = "".join(c for c in self.server if c.isascii() and c.isprintable())[:_MOST_NAME]
        called = f" ({name})" if name else ""
        if self.proxy is not None:
            return f"The proxy {self.proxy}, or a gateway behind it{called},"
        return f"A gateway or proxy before {self.address}{called}"

    @property
    def said(self) -> str:
        """The status, with what stood beside it."""
        return f"HTTP {self.status}" + (f": {self.text}" if self.text else "")

    @property
    def error(self) -> VcamError:
        """What it means, and what helps."""
        status = self.status
        if 300 <= status < 400:
            return self._elsewhere()
        if status == 407:
            return proxy_refused(self.proxy, self.address, "HTTP 407")
        if status in (401, 403):
            return AccessDeniedError(
                f"{self.who} refused access ({self.said}). Give a valid token with $VCAM_TOKEN or "
                f"--token-file, or an address of the model server that does not pass there."
                f"{self._past_the_proxy}"
            )
        if status in _TOO_LARGE:
            other = "" if not self._rest else " Over gRPC the same call is about half as large."
            return ServerError(
                f"{self.who} takes no call as large as that of {self.signature!r} ({self.said}). "
                f"Raise its limit (nginx: client_max_body_size).{other}"
            )
        if status in _TOO_LATE:
            return DeadlineExceededError(
                f"{self.who} gave up waiting for the model server ({self.said}). Raise its time "
                "limit (nginx: proxy_read_timeout, for gRPC grpc_read_timeout); --timeout is that "
                "of this client, and does not help."
            )
        if status == 429:
            return ServerBusyError(
                f"{self.who} lets no more calls through now ({self.said}). Try again later, or "
                "with fewer --workers."
            )
        if status in _LOST:
            return BadGatewayError(
                f"{self.who} has no model server behind it, or lost it during the call "
                f"({self.said}). Start the model server, and look at its log and the gateway's."
                f"{self._past_the_proxy}"
            )
        if status == 503:
            return ServerUnavailableError(
                f"{self.who} has no model server to send calls to now ({self.said}). Start the "
                "model server, or check which address the gateway sends calls to."
                f"{self._past_the_proxy}"
            )
        if status >= 500:
            return ServerError(
                f"{self.who} failed, not the model server: {self.said}. Its log says more."
            )
        return self._something_else()

    @property
    def _past_the_proxy(self) -> str:
        if self.proxy is None:
            return ""
        return f" List {_host(self.address)} in {self.proxy.bypass} to go past the proxy."

    @property
    def _rest(self) -> bool:
        return self.address.startswith("http")

    def _something_else(self) -> VcamError:
        if self.status == 200:
            return ContractError(
                f"Expected an answer of TensorFlow Serving from {self.address}, received a web "
                f"page, which is no JSON: {self.text[:_MOST_TITLE]!r}. {self.who} answers in its "
                "place, as login pages do: give a valid token with $VCAM_TOKEN, or an address of "
                f"the model server that does not pass there.{self._past_the_proxy}"
            )
        port = "its REST port (8501 by default)" if self._rest else "its gRPC port (8500)"
        name = f" ({self.server[:_MOST_NAME]!r} answers)" if self.server else ""
        through = f" through the proxy {self.proxy}" if self.proxy is not None else ""
        return ContractError(
            f"Expected an answer of TensorFlow Serving from {self.address}{through}, received HTTP "
            f"{self.status} that is not one of its errors{name}. Does the address name {port}, and "
            "the path under which a gateway has it?"
        )

    def _elsewhere(self) -> VcamError:
        goal, advice = "", "Take the login page or the redirection out of the way to the server."
        if self.location:
            goal = f" that points to {_printed(self.location)}"
            server = _server_in(self.location, self.address)
            if server:
                advice = f"If the model server is there, give --server {server}."
        return ContractError(
            f"Expected an answer of TensorFlow Serving from {self.address}, received HTTP "
            f"{self.status}{goal}: {self.who[0].lower()}{self.who[1:].rstrip(',')} answers. vcam "
            f"follows no redirection, so that no token reaches another host. {advice}"
        )


def proxy_refused(proxy: Proxy | None, address: str, said: str) -> VcamError:
    """The error for a proxy that lets nobody through to an address.

    Args:
        proxy: which, None if unknown.
        said: its reason, such as "HTTP 403".
    """
    name = f"The proxy {proxy}" if proxy is not None else f"A proxy before {address}"
    variable = proxy.variable if proxy is not None else "$http_proxy"
    bypass = proxy.bypass if proxy is not None else "$no_proxy"
    host = _host(address)
    if "407" in said:
        return AccessDeniedError(
            f"{name} asks for a user name and a password ({said}). Put them into {variable} "
            f"(http://USER:PASSWORD@HOST:PORT), or list {host} in {bypass} to go past it."
        )
    if any(status in said for status in ("502", "503", "504")):
        return ServerUnavailableError(
            f"{name} can't reach {address} ({said}). Is the model server started, and the "
            f"address right? List {host} in {bypass} to go past the proxy."
        )
    return AccessDeniedError(
        f"{name} does not let calls through to {address} ({said}). Ask for that host and port to "
        f"be allowed, or list {host} in {bypass} to go past it."
    )


def proxy_is_gone(proxy: Proxy, address: str, details: str) -> VcamError:
    """The error where no connection came about through a proxy."""
    host = _host(address)
    return ServerUnavailableError(
        f"No connection to {address} through the proxy {proxy} ({details}). Check that the proxy "
        f"is up and that {proxy.variable} names it, or list {host} in {proxy.bypass} to go past it."
    )


def _host(address: str) -> str:
    return address.split("://")[-1].split("/")[0].rpartition(":")[0]


def _printed(location: str) -> str:
    """A URL without what may be secret: user name, query and fragment."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that can't be read"
    url = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in url)
    return repr(text if len(text) <= _MOST_URL else text[:_MOST_URL] + "…")


def _server_in(location: str, address: str) -> str:
    """The address of the server in the URL of one of its calls; "" where it is not one."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    before, models, _ = parts.path.partition("/v1/models")
    if not models:
        return ""
    base = urlsplit(address)
    text = f"{parts.scheme or base.scheme}://{host or base.netloc}{before}"
    return text if text.isascii() and text.isprintable() and len(text) <= _MOST_URL else ""
