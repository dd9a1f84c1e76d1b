"""Where a server is and how to reach it: addresses, encryption, credentials."""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vcam_client._retry import Retries
from vcam_client._sockets import UNIX, host_and_port
from vcam_client._tls import Tls as Tls
from vcam_client._utf8 import require_utf8
from vcam_client.errors import InputError

DEFAULT_PORT = 8500
DEFAULT_REST_PORT = 8501
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_PORT}"
DEFAULT_TIMEOUT_S = 120.0
SERVER_VARIABLE = "VCAM_SERVER"
"""Environment variable with the address used where none is given."""

_UNIX = "unix"
_LONGEST_SOCKET_BYTES = 107
"""Of a path, by sockaddr_un of Linux."""
_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_AUTHORIZATION = "authorization"
_SHORTEST_SECRET = 6
"""Characters of metadata from which they may be a secret; a "1" is none."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one or several replicas of a server.

    Attributes:
        addresses: HOST:PORT each, unix:PATH, or URLs of REST; calls go round them in turn.
        rest: REST instead of gRPC.
        timeout: seconds that one call may take, repetitions included.
        tls: None for an unencrypted connection.
        token: bearer token, or None.
        metadata: further pairs sent with every call (gRPC metadata, HTTP headers).
        retries: of calls that the server was not there or too busy for.
    """

    addresses: tuple[str, ...]
    rest: bool = False
    timeout: float = DEFAULT_TIMEOUT_S
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise InputError(f"Expected a timeout above 0 s, received {self.timeout:g} s.")
        for name, value in self.metadata:
            if not _HEADER_NAME.fullmatch(name) or name.endswith("-bin"):
                raise InputError(
                    f"Expected metadata names of letters, digits, '_', '.' and '-', received "
                    f"{name!r}."
                )
            if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
                raise InputError(f"Expected printable ASCII as the value of metadata {name!r}.")
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise InputError(
                "Expected a token of printable ASCII without spaces, received something else. "
                "Check the file or variable that it comes from."
            )
        credentials = [name for name, _ in self.headers if name == _AUTHORIZATION]
        if len(credentials) > 1:
            raise InputError(
                "Expected one authorization, received several. Give a token or metadata."
            )
        if credentials and self.tls is None:
            away = [a for a in self.addresses if not is_loopback(a)]
            if away:
                raise InputError(
                    f"Expected TLS where a token is sent, received the unencrypted address "
                    f"{away[0]}. Encrypt it with --tls (https:// for REST), or leave the token out."
                )

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Pairs sent with every call, the token among them."""
        token = ((_AUTHORIZATION, f"Bearer {self.token}"),) if self.token is not None else ()
        return (*self.metadata, *token)

    def redacted(self, text: str) -> str:
        """A text of the server without the token and the values of metadata."""
        values = [value for _, value in self.metadata if len(value) >= _SHORTEST_SECRET]
        for secret in (*values, *([self.token] if self.token else [])):
            text = text.replace(secret, "…")
        return text


def connection(
    server: str | Sequence[str] | None = None,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    tls: Tls | bool = False,
    token: str | None = None,
    metadata: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    retries: Retries | int | None = None,
) -> Connection:
    """A connection from what a user says.

    Args:
        server: "HOST:PORT", "http://HOST:PORT" for REST, "https://…", "unix:PATH" for gRPC on
            a socket of this machine; several separated by commas, or a sequence. A DNS name
            stands for all its addresses.
        timeout: seconds.
        tls: True for the system's authorities.
        token, metadata: see `Connection`.
        retries: attempts in all, or how to pause between them.

    Raises:
        InputError: an address that can't be one, or kinds that don't go together.
    """
    given = [server] if isinstance(server, str) else list(server or [DEFAULT_SERVER])
    texts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    for text in texts:
        require_utf8(text, "an address")
    if any(_scheme(t) != _UNIX and ("@" in t or set(t) & set(" \t\r\n?#")) for t in texts):
        raise InputError(
            "Expected addresses HOST:PORT without a user name, a query or spaces, received "
            "something else. Give a token for what needs a password."
        )
    schemes = {_scheme(text) for text in texts}
    if not texts or len(schemes) != 1:
        raise InputError(
            f"Expected addresses of one kind, received {', '.join(texts) or 'none'}. Give "
            "HOST:PORT for gRPC, or http://HOST:PORT for REST."
        )
    (scheme,) = schemes
    if scheme.endswith("+unix") or texts[0].lower().startswith(("http://unix:", "https://unix:")):
        raise InputError(
            f"Expected gRPC on a unix socket, as in unix:/run/vcam.sock, received {texts[0]!r}. "
            "REST is spoken over TCP alone."
        )
    if scheme not in ("", _UNIX, "grpc", "grpcs", "dns", "http", "https"):
        raise InputError(
            f"Expected an address such as HOST:{DEFAULT_PORT} (gRPC) or "
            f"http://HOST:{DEFAULT_REST_PORT} (REST), received {texts[0]!r}."
        )
    rest = scheme in ("http", "https")
    secure = tls if isinstance(tls, Tls) else Tls() if tls or scheme in ("grpcs", "https") else None
    if rest and scheme == "http" and secure is not None:
        raise InputError(f"Expected an https:// address with TLS, received {texts[0]!r}.")
    if isinstance(retries, int):
        retries = Retries(attempts=retries)
    pairs = list(metadata.items()) if isinstance(metadata, Mapping) else list(metadata)
    return Connection(
        addresses=tuple(_rest(text) if rest else _grpc(text) for text in texts),
        rest=rest,
        timeout=timeout,
        tls=secure,
        token=token,
        metadata=tuple((name.lower(), value) for name, value in pairs),
        retries=retries or Retries(),
    )


def _scheme(text: str) -> str:
    """What an address begins with, in lower case; "" for HOST:PORT."""
    if text.lower().startswith(UNIX):
        return _UNIX
    return text.split("://")[0].lower() if "://" in text else ""


def _unix(text: str) -> str:
    path = text[len(UNIX) :]
    if path.startswith("//"):
        path = path[2:] if path.startswith("///") else ""  # a URL names no relative path
    if not path:
        raise InputError(
            f"Expected the path of a unix socket, as in unix:/run/vcam.sock, received {text!r}."
        )
    size = len(os.fsencode(path))
    if size > _LONGEST_SOCKET_BYTES:
        raise InputError(
            f"Expected the path of a unix socket in at most {_LONGEST_SOCKET_BYTES} bytes, "
            f"received {size}. Give a shorter one, such as one relative to the current folder."
        )
    return UNIX + path


def _grpc(text: str) -> str:
    if _scheme(text) == _UNIX:
        return _unix(text)
    address = text.split("://", 1)[-1].strip("/")
    return _with_port(address, DEFAULT_PORT, text)


def _rest(text: str) -> str:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    path = path.partition("v1/models")[0].rstrip("/")  # the address of a model names its server
    slash = slash if path else ""
    port = DEFAULT_REST_PORT if scheme.lower() == "http" else 443
    return f"{scheme.lower()}://{_with_port(host, port, text)}{slash}{path}"


def _with_port(address: str, port: int, text: str) -> str:
    host, colon, number = address.rpartition(":")
    if address.endswith("]") or not colon or (":" in host and not host.startswith("[")):
        host, number = address, str(port)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"  # a bare IPv6 address
    if not _is_host(host) or not re.fullmatch("[0-9]+", number) or not 0 < int(number) < 2**16:
        raise InputError(
            f"Expected an address HOST:PORT, received {text!r}. TensorFlow Serving has gRPC on "
            f"port {DEFAULT_PORT}, REST on {DEFAULT_REST_PORT}."
        )
    return f"{host}:{number}"


def address_form(address: str) -> str:
    """How addresses of the same kind are written, such as "http://HOST:PORT"."""
    if address.startswith(UNIX):
        return "unix:PATH"
    scheme, separator, _ = address.rpartition("://")
    return f"{scheme}{separator}HOST:PORT"


def port_hint(address: str) -> str:
    """A sentence where the end of an IPv6 address may be meant as its port; "" elsewhere.

    "::1:8730" is an address without a port; with one it is "[::1]:8730".
    """
    if address.startswith(UNIX):
        return ""
    host, port = host_and_port(address)
    rest, _, meant = host.rpartition(":")
    default = DEFAULT_REST_PORT if address.startswith("http://") else DEFAULT_PORT
    if port != default or not meant.isdecimal() or not _is_host(f"[{rest}]"):
        return ""
    scheme = "http://" if address.startswith("http://") else ""
    return f"Where {meant} is the port, write {scheme}[{rest}]:{meant}. "


def _is_host(text: str) -> bool:
    """Whether a host may be a name, an IPv4 address, or an IPv6 address in brackets."""
    if not set(text) & set("[]:"):
        try:
            return bool(text.encode("idna"))
        except UnicodeError:  # an empty or too long part between dots, or a wrong character
            return False
    try:
        ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return text.startswith("[") and text.endswith("]")


def is_loopback(address: str) -> bool:
    """Whether an address is this machine, so that nobody else reads what is sent."""
    if address.startswith(UNIX):
        return True
    host, _ = host_and_port(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
