"""The proxy of the environment that a call goes through, so that messages can name it.

gRPC and requests read these variables themselves, each in its own way; this says what they do.
"""

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

_GRPC_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_GRPC_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
_VARIABLES = (*_GRPC_VARIABLES, "all_proxy")
_DEFAULT_PORT = 80
_SHORTEST_SECRET = 4
"""Characters from which a password is replaced wherever it stands; "a" is part of any text."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy, without the user name and the password of its URL.

    Attributes:
        address: HOST:PORT.
        variable: where it is set, such as "$https_proxy".
        bypass: the variable that lists the hosts which are reached without it.
    """

    address: str
    variable: str
    bypass: str = "$no_proxy"

    def __str__(self) -> str:
        return f"{self.address} ({self.variable})"


def proxy_of(address: str) -> Proxy | None:
    """The proxy for an address that is not this machine.

    Args:
        address: as in `Connection.addresses`.
    """
    return _of_rest(address) if address.startswith("http") else _of_grpc(address)


def without_passwords(text: str) -> str:
    """A text of a library without the credentials of proxies."""
    for name in _VARIABLES:
        for value in (os.environ.get(name, ""), os.environ.get(name.upper(), "")):
            credentials = value.split("://")[-1].rpartition("@")[0]
            password = credentials.partition(":")[2]
            for secret in (credentials, unquote(credentials), password, unquote(password)):
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, "…")
                elif secret:
                    text = text.replace(f"{secret}@", "…@")
    return text


def _of_grpc(address: str) -> Proxy | None:
    """As gRPC chooses it: the first variable that is set, and only http:// proxies."""
    variable = next((name for name in _GRPC_VARIABLES if name in os.environ), None)
    if variable is None or address.startswith("unix:"):
        return None
    parts = _split(os.environ[variable])
    if parts is None or parts.scheme != "http":
        return None
    bypass = next((name for name in _GRPC_EXCEPTIONS if name in os.environ), "no_proxy")
    host = address.rpartition(":")[0].strip("[]")
    if _is_excepted(host, os.environ.get(bypass, "")):
        return None
    return Proxy(address=_address(parts), variable=f"${variable}", bypass=f"${bypass}")


def _is_excepted(host: str, listed: str) -> bool:
    """gRPC's rule: names by their endings, addresses by their networks."""
    for entry in filter(None, (part.strip().lower() for part in listed.split(","))):
        if host.lower().endswith(entry):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue  # a name
    return False


def _of_rest(address: str) -> Proxy | None:
    """As requests chooses it."""
    from requests.utils import get_environ_proxies, select_proxy

    url = select_proxy(address, get_environ_proxies(address))
    if not url:
        return None
    parts = _split(url)
    scheme = urlsplit(address).scheme
    names = [n for base in (scheme, "all") for n in (f"{base}_proxy", f"{base}_proxy".upper())]
    variable = next((f"${name}" for name in names if os.environ.get(name)), "system settings")
    bypass = "$no_proxy" if "no_proxy" in os.environ else "$NO_PROXY"
    bypass = bypass if "NO_PROXY" in os.environ else "$no_proxy"
    where = _address(parts) if parts is not None else "that can't be read"
    return Proxy(address=where, variable=variable, bypass=bypass)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _address(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _DEFAULT_PORT}"
