"""TLS, mutual TLS, tokens and metadata over gRPC, gRPC with asyncio, and REST."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from client.certificates import Signed, authority, require_openssl, signed
from client.rest_stand_in import RestStandIn, rest_stand_in
from client.stand_in import StandIn, stand_in

from vcam_client import AsyncClient, Client, Tls
from vcam_client._calls import Target
from vcam_client._connection import connection
from vcam_client._refusals import refused
from vcam_client.errors import AccessDeniedError, InputError, ServerUnavailableError

TRANSPORTS = ("grpc", "aio", "rest", "async rest")
AT_ONCE_S = 1.5
"""Far less than the retries for a server that is not there."""
TOKEN = "t0ken-that-nobody-may-read"
Server = StandIn | RestStandIn


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signed]:
    require_openssl()
    folder = tmp_path_factory.mktemp("pki")
    ours, other = authority(folder, "ours"), authority(folder, "other")
    here = "IP:127.0.0.1,DNS:localhost"
    return {
        "ours": ours,
        "other": other,
        "server": signed(folder, "server", ours, here),
        "elsewhere": signed(folder, "elsewhere", ours, "DNS:elsewhere.example"),
        "expired": signed(folder, "expired", ours, here, expired=True),
        "client": signed(folder, "client", ours, "DNS:client"),
        "stranger": signed(folder, "stranger", other, "DNS:stranger"),
    }


def serving(
    kind: str, shown: Signed | None, clients_of: Signed | None = None
) -> AbstractContextManager[Server]:
    """A stand-in that shows a certificate, and asks for one signed by `clients_of`."""
    if "rest" in kind:
        if shown is None:
            return rest_stand_in()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        if clients_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients_of.certificate)
        return rest_stand_in(context)
    if shown is None:
        return stand_in()
    root = clients_of.certificate.read_bytes() if clients_of is not None else None
    return stand_in(grpc.ssl_server_credentials([shown.pair], root, root is not None))


def spec_version(kind: str, server: Server, **options: Any) -> int:
    """Asks for the spec; `localhost` tells names from numbers."""
    if kind in ("grpc", "rest"):
        with Client(server.address, **options) as client:
            return client.spec().version

    async def ask() -> int:
        async with AsyncClient(server.address, **options) as client:
            return (await client.spec()).version

    return asyncio.run(ask())


def refusal(kind: str, server: Server, **options: Any) -> str:
    """The text of an AccessDeniedError that comes at once."""
    start = time.monotonic()
    with pytest.raises(AccessDeniedError) as caught:
        spec_version(kind, server, **options)
    assert time.monotonic() - start < AT_ONCE_S
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_right_certificate(kind: str, pki: dict[str, Signed]) -> None:
    with serving(kind, pki["server"]) as server:
        assert spec_version(kind, server, tls=Tls(ca=pki["ours"].certificate)) == 1


@pytest.mark.parametrize(
    ("shown", "trusted", "advice"),
    [
        ("server", "other", "--ca FILE"),
        ("server", None, "--ca FILE"),
        ("elsewhere", "ours", "made out to another name"),
        ("expired", "ours", "out of date"),
    ],
)
def test_a_certificate_that_does_not_fit(
    kind: str, pki: dict[str, Signed], shown: str, trusted: str | None, advice: str
) -> None:
    with serving(kind, pki[shown]) as server:
        tls = Tls(ca=pki[trusted].certificate if trusted else None)
        assert advice in refusal(kind, server, tls=tls)


def test_mutual_tls(kind: str, pki: dict[str, Signed]) -> None:
    ca = pki["ours"].certificate
    with serving(kind, pki["server"], clients_of=pki["ours"]) as server:
        known, stranger = (
            Tls(ca=ca, certificate=pki[name].certificate, key=pki[name].key)
            for name in ("client", "stranger")
        )
        assert spec_version(kind, server, tls=known) == 1
        assert "--cert and --key" in refusal(kind, server, tls=Tls(ca=ca))
        assert "--cert and --key" in refusal(kind, server, tls=stranger)


def test_tls_where_there_is_none(kind: str, pki: dict[str, Signed]) -> None:
    with serving(kind, None) as server:
        server.address = server.address.replace("http:", "https:")
        tls = Tls(ca=pki["ours"].certificate)
        assert "leave out --tls" in refusal(kind, server, tls=tls)


def test_no_tls_where_it_is_expected(kind: str, pki: dict[str, Signed]) -> None:
    with serving(kind, pki["server"]) as server:
        server.address = server.address.replace("https:", "http:")
        assert "Give --tls" in refusal(kind, server)


def test_a_token(kind: str, pki: dict[str, Signed]) -> None:
    with serving(kind, pki["server"]) as server:
        server.token = TOKEN
        tls = Tls(ca=pki["ours"].certificate)
        assert spec_version(kind, server, tls=tls, token=TOKEN) == 1
        assert "valid token" in refusal(kind, server, tls=tls)
        assert "valid token" in refusal(kind, server, tls=tls, token="another-token")


def test_metadata_travels_with_every_call(kind: str) -> None:
    with serving(kind, None) as server:
        assert spec_version(kind, server, metadata={"X-Tenant": "radiology"}) == 1
        received = server.metadata if isinstance(server, StandIn) else server.headers
        assert received["x-tenant"] == "radiology"


def test_what_a_server_repeats_of_the_token_is_not_repeated(kind: str) -> None:
    with serving(kind, None) as server:
        if isinstance(server, StandIn):

            def reply(_: Any, context: grpc.ServicerContext) -> bytes:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, f"unknown token {TOKEN}")
                return b""

            server.reply = reply  # type: ignore[method-assign]
        else:
            content = f'{{"error": "unknown token {TOKEN}"}}'.encode()
            server.answer = lambda *_: (401, {}, content)  # type: ignore[method-assign]
        assert "unknown token …" in refusal(kind, server, token=TOKEN)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy in the environment that nobody may talk to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
            monkeypatch.setenv(name, url)
            monkeypatch.setenv(name.upper(), url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield listening


def test_what_is_sent_to_this_machine_passes_no_proxy(kind: str, proxy: socket.socket) -> None:
    with serving(kind, None) as server:
        assert spec_version(kind, server, token=TOKEN, timeout=2) == 1
    with pytest.raises(TimeoutError):
        proxy.accept()


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_the_environment_replaces_neither_token_nor_authority(
    kind: str, pki: dict[str, Signed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", os.fspath(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(pki["other"].certificate))
    # as for an address that is not this machine, where proxies are respected
    monkeypatch.setattr("vcam_client._rest.is_loopback", lambda address: False)
    with serving(kind, pki["server"]) as server:
        server.token = TOKEN
        server.address = server.address.replace("127.0.0.1", "localhost")
        assert spec_version(kind, server, token=TOKEN, tls=Tls(ca=pki["ours"].certificate)) == 1


def test_files_that_are_no_certificates(pki: dict[str, Signed], tmp_path: Path) -> None:
    garbage, missing = tmp_path / "garbage.pem", tmp_path / "missing.pem"
    garbage.write_text("no certificate")
    for path in (garbage, missing, tmp_path):
        with pytest.raises(InputError, match=r"PEM.*--ca"):
            Tls(ca=path)
        with pytest.raises(InputError, match=r"PEM.*--cert"):
            Tls(certificate=path, key=pki["client"].key)
    with pytest.raises(InputError, match="its key"):
        Tls(certificate=pki["client"].certificate, key=pki["stranger"].key)
    with pytest.raises(InputError, match="one of them"):
        Tls(certificate=pki["client"].certificate)


def test_a_key_with_a_password_is_refused_without_asking(
    pki: dict[str, Signed], tmp_path: Path
) -> None:
    from client.certificates import _openssl

    locked = tmp_path / "locked.key"
    source = ("-in", os.fspath(pki["client"].key), "-out", os.fspath(locked))
    _openssl("pkcs8", "-topk8", *source, "-passout", "pass:secret")
    with pytest.raises(InputError, match="without a password"):
        Tls(certificate=pki["client"].certificate, key=locked)


@pytest.mark.parametrize(
    "options",
    [
        {"token": "two words"},
        {"token": "line\nbreak"},
        {"token": "ümlaut"},
        {"token": ""},
        {"metadata": {"x-name": "line\nbreak"}},
        {"metadata": {"x name": "value"}},
        {"metadata": {"x-bin": "value"}},
        {"token": "one", "metadata": {"Authorization": "Basic other"}},
    ],
    ids=lambda options: "+".join(options),
)
def test_headers_that_cannot_be_sent(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        connection("localhost", **options)
    assert "two words" not in str(caught.value)
    assert "break" not in str(caught.value)


def test_an_authorization_in_metadata_is_a_token_as_well() -> None:
    secret = {"Authorization": f"Basic {TOKEN}"}
    with pytest.raises(InputError, match="Expected TLS") as caught:
        connection("host", metadata=secret)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(connection("localhost", metadata=secret))


@pytest.mark.parametrize("server", ["http://me:secret@host", "me:secret@host:8500"])
def test_passwords_in_addresses_are_refused_without_repeating_them(server: str) -> None:
    with pytest.raises(InputError, match="without a user name") as caught:
        connection(server)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("details", "encrypted"),
    [
        ("last error: UNKNOWN: ipv6:%5Bfe80::1%254%5D:8500: tcp handshaker shutdown", False),
        ("last error: UNKNOWN: ipv6:%5Bfe80::1%254%5D:8500: tcp handshaker shutdown", True),
        ("the sidecar's certificate is unknown", False),
    ],
)
def test_what_is_not_encrypted_does_not_fail_for_want_of_an_authority(
    details: str, encrypted: bool
) -> None:
    """gRPC's word for a TCP connection that did not come about has "handshake" in it."""
    error = refused(
        "UNAVAILABLE",
        details,
        address="[fe80::1%eth0]:8500",
        target=Target(),
        signature="spec",
        timeout=1.0,
        encrypted=encrypted,
    )
    assert isinstance(error, ServerUnavailableError)
    assert "No model server answers" in str(error)
    assert "--ca" not in str(error)


@pytest.mark.parametrize("name", ["tls-gateway.invalid", "ssl.invalid"])
def test_a_host_called_after_tls_is_not_about_tls(name: str) -> None:
    with (
        Client(f"{name}:8500", retries=1, timeout=5) as client,
        pytest.raises(ServerUnavailableError),
    ):
        client.spec()
