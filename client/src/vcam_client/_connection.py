"""Where a server is and how to reach it: addresses, encryption, credentials."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vcam_client._retry import Retries
from vcam_client.errors import InputError

DEFAULT_PORT = 8500
DEFAULT_REST_PORT = 8501
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_PORT}"
DEFAULT_TIMEOUT_S = 120.0
SERVER_VARIABLE = "VCAM_SERVER"
"""Environment variable with the address used where none is given."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Encryption, and who is trusted.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate; None for
            the system's authorities.
        certificate, key: PEM files by which the client shows who it is (mutual TLS).
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError(
                "Expected a client certificate and its key, received one of them. Give both "
                "--cert and --key, or neither."
            )

    def existing(self, name: str) -> Path:
        """The file of an attribute.

        Raises:
            InputError: it is not there.
        """
        path: Path = getattr(self, name)
        if not path.is_file():
            raise InputError(f"There is no file {str(path)!r} for TLS. Check --{name}.")
        return path

    def read(self, name: str) -> bytes | None:
        """The content of an attribute's file, None where there is none.

        Raises:
            InputError: it can't be read.
        """
        return None if getattr(self, name) is None else self.existing(name).read_bytes()


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one or several replicas of a server.

    Attributes:
        addresses: HOST:PORT each, or URLs of REST; calls go round them in turn.
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
        if self.timeout <= 0:
            raise InputError(f"Expected a timeout above 0 s, received {self.timeout:g} s.")
        if self.token is not None and self.tls is None:
            away = [a for a in self.addresses if not _is_loopback(a)]
            if away:
                raise InputError(
                    f"Expected TLS where a token is sent, received the unencrypted address "
                    f"{away[0]}. Encrypt it with --tls (https:// for REST), or leave the token out."
                )

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Pairs sent with every call, the token among them."""
        token = (("authorization", f"Bearer {self.token}"),) if self.token is not None else ()
        return (*self.metadata, *token)


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
        server: "HOST:PORT", "http://HOST:PORT" for REST, "https://…"; several separated by
            commas, or a sequence. A DNS name stands for all its addresses.
        timeout: seconds.
        tls: True for the system's authorities.
        token, metadata: see `Connection`.
        retries: attempts in all, or how to pause between them.

    Raises:
        InputError: an address that can't be one, or kinds that don't go together.
    """
    given = [server] if isinstance(server, str) else list(server or [DEFAULT_SERVER])
    texts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    schemes = {text.split("://")[0].lower() if "://" in text else "" for text in texts}
    if not texts or len(schemes) != 1:
        raise InputError(
            f"Expected addresses of one kind, received {', '.join(texts) or 'none'}. Give "
            "HOST:PORT for gRPC, or http://HOST:PORT for REST."
        )
    (scheme,) = schemes
    if scheme not in ("", "grpc", "grpcs", "dns", "http", "https"):
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


def _grpc(text: str) -> str:
    address = text.split("://", 1)[-1].strip("/")
    return _with_port(address, DEFAULT_PORT, text)


def _rest(text: str) -> str:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    port = DEFAULT_REST_PORT if scheme.lower() == "http" else 443
    return f"{scheme.lower()}://{_with_port(host, port, text)}{slash}{path}"


def _with_port(address: str, port: int, text: str) -> str:
    host, colon, number = address.rpartition(":")
    if address.endswith("]") or not colon or (":" in host and not host.startswith("[")):
        host, number = address, str(port)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"  # a bare IPv6 address
    if not host or not number.isdigit() or not 0 < int(number) < 2**16:
        raise InputError(
            f"Expected an address HOST:PORT, received {text!r}. TensorFlow Serving has gRPC on "
            f"port {DEFAULT_PORT}, REST on {DEFAULT_REST_PORT}."
        )
    return f"{host}:{number}"


def _is_loopback(address: str) -> bool:
    host = address.split("://")[-1].split("/")[0].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
