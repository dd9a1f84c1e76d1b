"""Checks the way to a server and a model, one step after the other."""

import importlib.metadata
import platform
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vcam_client._calls import DEFAULT_MODEL
from vcam_client._connection import Connection, is_loopback, port_hint
from vcam_client._orientation import AXIS_OF_CODE, SIGN_OF_CODE
from vcam_client._proxies import Proxy, proxy_of
from vcam_client._sockets import UNIX, host_and_port, host_name, opened
from vcam_client.client import Client
from vcam_client.errors import VcamError
from vcam_client.spec import ModelSpec
from vcam_client.volume import Volume

_CONNECT_SECONDS = 5.0
_UNIX = "unix:"
_PACKAGES = ("vcam-client", "numpy", "grpcio", "protobuf", "nibabel", "pydicom")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One step.

    Attributes:
        name: what was checked.
        passed: None where it does not apply.
        finding: what was found, or what to do.
    """

    name: str
    passed: bool | None
    finding: str


def examine(
    client: Client,
    *,
    model: str = DEFAULT_MODEL,
    version: int | None = None,
    label: str | None = None,
) -> Iterator[Check]:
    """Checks in order, up to the first that fails; each is made when it is asked for."""
    yield Check(name="versions", passed=True, finding=_versions())
    for check in _addresses(client.connection):
        yield check
        if check.passed is False:
            return
    step = "health"
    try:
        health = client.health()
        does = "serves" if health else "doesn't serve"
        yield Check(name=step, passed=health, finding=f"the server says that it {does}")
        step = "model"
        found = client.status(model, version=version, label=label)
        able = [str(s.version) for s in found if s.available]
        states = ", ".join(f"{s.version} {s.state} {s.error}".strip() for s in found)
        yield Check(
            name=step,
            passed=bool(able),
            finding=f"{model!r}: version {', '.join(able)} answers" if able else states,
        )
        if not able:
            return
        step = "contract"
        served = client.spec(model, version=version, label=label)
        spec = served.spec
        yield Check(
            name=step,
            passed=True,
            finding=f"{spec.name}, version {served.version}: {', '.join(spec.labels)}; "
            f"grid {'×'.join(map(str, spec.grid.shape))}, {spec.intensity.dtype}",
        )
        step = "round trip"
        start = time.perf_counter()
        prediction = client.predict(_made_up(spec), model=model, version=version, label=label)
        seconds = time.perf_counter() - start
        yield Check(
            name=step,
            passed=True,
            finding=f"a volume of padding explained in {seconds:.2f} s, "
            f"{prediction.traffic.sent / 1e6:.2f} MB up, "
            f"{prediction.traffic.received / 1e3:.1f} kB down",
        )
    except VcamError as error:
        yield Check(name=step, passed=False, finding=str(error))


def _versions() -> str:
    found = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return f"Python {platform.python_version()}, {', '.join(found)}"


def _addresses(to: Connection) -> Iterator[Check]:
    for address in to.addresses:
        proxy = None if is_loopback(address) else proxy_of(address)
        if proxy is not None:
            yield from _through(proxy, address)
            continue
        host = host_name(address)
        try:
            numbers = _numbers(address)
        except (OSError, UnicodeError) as error:
            yield Check(
                name="address",
                passed=False,
                finding=f"The name {host!r} is not known ({error}). Check --server.",
            )
            return
        try:
            with opened(address, _CONNECT_SECONDS) as link:
                yield Check(name="address", passed=True, finding=f"{address} is open{numbers}")
                yield _tls(to, link, host)
        except OSError as error:
            yield Check(
                name="address",
                passed=False,
                finding=f"Nothing answers at {address} ({error}). {port_hint(address)}"
                "Is the server started, and the port right (gRPC 8500, REST 8501)?",
            )
            return


def _numbers(address: str) -> str:
    """The numbers that a name stands for, in brackets; "" for a socket in the file system."""
    if address.startswith(UNIX):
        return ""
    found = socket.getaddrinfo(*host_and_port(address), type=socket.SOCK_STREAM)
    return f" ({', '.join(sorted({str(entry[4][0]) for entry in found}))})"


def _through(proxy: Proxy, address: str) -> Iterator[Check]:
    """The way to a server that is reached through a proxy: the server itself may be hidden."""
    around = f"List {host_name(address)} in {proxy.bypass} to go past it."
    try:
        with opened(proxy.address, _CONNECT_SECONDS):
            finding = f"{address} is called through {proxy}, which is open. {around}"
            yield Check(name="proxy", passed=True, finding=finding)
    except (OSError, UnicodeError, ValueError) as error:
        yield Check(
            name="proxy",
            passed=False,
            finding=f"{address} is called through {proxy}, where nothing answers ({error}). Check "
            f"{proxy.variable}. {around}",
        )


def _tls(to: Connection, link: socket.socket, host: str) -> Check:
    if to.tls is None:
        return Check(name="TLS", passed=None, finding="not encrypted")
    try:
        context = ssl.create_default_context(cafile=to.tls.ca)
        if to.tls.certificate is not None:
            context.load_cert_chain(to.tls.certificate, to.tls.key)
        context.set_alpn_protocols(["http/1.1"] if to.rest else ["h2"])
        with context.wrap_socket(link, server_hostname=host) as secure:
            until = (secure.getpeercert() or {}).get("notAfter", "unknown")
            finding = f"{secure.version()}, certificate valid until {until}"
            return Check(name="TLS", passed=True, finding=finding)
    except (OSError, ssl.SSLError) as error:
        return Check(
            name="TLS",
            passed=False,
            finding=f"The handshake failed: {error}. Name the authority that signed the server's "
            "certificate with --ca, and the name it is made out to in --server; for mutual TLS "
            "give --cert and --key.",
        )


def _made_up(spec: ModelSpec) -> Volume:
    """A volume of the model's own grid, filled with its padding value."""
    grid = spec.grid
    shape = grid.shape if grid.ndim == 3 else (1, *grid.shape)
    data = np.full(shape, grid.padding_value, np.float32).transpose(2, 1, 0)
    spacing = (*(1.0,) * (3 - len(grid.spacing_mm)), *grid.spacing_mm)
    affine = np.eye(4)
    for tensor_axis, code in enumerate(grid.axes or ("S", "P", "L")):
        direction = SIGN_OF_CODE[code] * spacing[tensor_axis]
        affine[:3, 2 - tensor_axis] = direction * np.eye(3)[AXIS_OF_CODE[code]]
    return Volume(
        data=data,
        affine=affine,
        units=spec.intensity.units,
        modality=spec.intensity.modalities[0] if spec.intensity.modalities else "",
        name="synthetic",
    )
