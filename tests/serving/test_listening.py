"""Ports on addresses and names of every kind."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from served.calls import rest

from vcam_client.client import Client
from vcam_client.errors import InputError, ServerUnavailableError
from vcam_serving import EmbeddedServer
from vcam_serving._listening import bound, numeric, shown

if TYPE_CHECKING:
    from golden import Golden


def close(holders: list[socket.socket]) -> None:
    for holder in holders:
        holder.close()


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name with an IPv6 and an IPv4 address, whatever this machine's hosts file says."""
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: object, **options: object) -> list:
        if host != "both.example":
            return real(host, *arguments, **options)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return "both.example"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_both_ports_answer(golden: "dict[str, Golden]", host: str) -> None:
    base = golden["bright"].path.parent
    with EmbeddedServer(base, host=host, port=0, rest_port=0) as server:
        bare = host.strip("[]")
        expected = f"[{bare}]:" if ":" in bare else f"{bare}:"
        assert server.address.startswith(expected)
        assert server.rest_address.startswith(expected)
        for address in (server.address, f"http://{server.rest_address}"):
            with Client(address) as client:
                assert client.status("default")[0].available
        with pytest.raises(ServerUnavailableError, match="free, received: Address already in use"):
            EmbeddedServer(
                base, host=host, port=0, rest_port=int(address.rsplit(":", 1)[1])
            ).start()


@needs_ipv6
def test_every_network_is_ipv4_too(golden: "dict[str, Golden]") -> None:
    with EmbeddedServer(golden["bright"].path.parent, host="::", port=0, rest_port=0) as server:
        for host in ("127.0.0.1", "[::1]"):
            port = server.rest_address.rsplit(":", 1)[1]
            assert rest(f"{host}:{port}", "GET", "/v1/models/default")[0] == 200
            with Client(f"{host}:{server.address.rsplit(':', 1)[1]}") as client:
                assert client.health()


@needs_ipv6
def test_a_name_is_bound_on_all_its_addresses(
    golden: "dict[str, Golden]", two_addresses: str
) -> None:
    base = golden["bright"].path.parent
    with EmbeddedServer(base, host=two_addresses, port=0, rest_port=0) as server:
        assert server.address.startswith("both.example:")
        for host in ("127.0.0.1", "[::1]"):
            port = server.rest_address.rsplit(":", 1)[1]
            assert rest(f"{host}:{port}", "GET", "/v1/models/default")[0] == 200
            with Client(f"{host}:{server.address.rsplit(':', 1)[1]}") as client:
                assert client.health()


@needs_ipv6
def test_a_name_has_one_port(two_addresses: str) -> None:
    holders = bound(two_addresses, 0, "--port")
    try:
        port = holders[0].getsockname()[1]
        assert [numeric(holder) for holder in holders] == [f"[::1]:{port}", f"127.0.0.1:{port}"]
        for holder in holders:
            holder.listen()
        with pytest.raises(ServerUnavailableError, match=rf"both.example:{port} to be free"):
            bound(two_addresses, port, "--port")
    finally:
        close(holders)


@needs_ipv6
def test_an_address_that_is_missing_here_is_left_out(
    two_addresses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    def without_ipv6(family: int, *arguments: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *arguments)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    holders = bound(two_addresses, 0, "--port")
    try:
        assert [holder.family for holder in holders] == [socket.AF_INET]
    finally:
        close(holders)
    with pytest.raises(InputError, match="'::1': Address family not supported"):
        bound("::1", 0, "--port")


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid", "", "a" * 300, "unix:/x", "a b"])
def test_a_host_that_is_not_here(golden: "dict[str, Golden]", host: str) -> None:
    server = EmbeddedServer(golden["bright"].path.parent, host=host, port=0, rest_port=0)
    with pytest.raises(
        InputError, match="Expected --host to be an address of this machine"
    ) as info:
        server.start()
    assert "::1" in str(info.value)


@pytest.mark.parametrize("ports", [{"port": 70000}, {"port": 0, "rest_port": -1}])
def test_a_port_out_of_range(golden: "dict[str, Golden]", ports: dict[str, int]) -> None:
    with pytest.raises(InputError, match="Expected a port from 0 to 65535"):
        EmbeddedServer(golden["bright"].path.parent, **ports).start()


def test_addresses_as_they_are_written() -> None:
    assert shown("::1", 1) == shown("[::1]", 1) == "[::1]:1"
    assert shown("127.0.0.1", 1) == "127.0.0.1:1"


def test_tensor_content_only_without_rest(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(InputError, match="answers zeros over REST"):
        EmbeddedServer(tmp_path, port=0, rest_port=0, tensor_content=True)
    server = EmbeddedServer(tmp_path, port=0, rest_port=None, tensor_content=True)
    assert server.rest_address == ""
