"""Addresses, encryption and credentials, as a user says them."""

import pytest

from vcam_client import Client
from vcam_client._connection import Tls, connection
from vcam_client.errors import InputError


@pytest.mark.parametrize(
    ("server", "addresses", "rest"),
    [
        (None, ("127.0.0.1:8500",), False),
        ("localhost", ("localhost:8500",), False),
        ("host:9000", ("host:9000",), False),
        ("a:1, b:2", ("a:1", "b:2"), False),
        (["a", "b:2"], ("a:8500", "b:2"), False),
        ("grpc://host", ("host:8500",), False),
        ("dns:///replicas:8500", ("replicas:8500",), False),
        ("::1", ("[::1]:8500",), False),
        ("[::1]:9", ("[::1]:9",), False),
        ("[::1]", ("[::1]:8500",), False),
        ("grpc://[2001:db8::7]:9", ("[2001:db8::7]:9",), False),
        ("[fe80::1%eth0]:9", ("[fe80::1%eth0]:9",), False),
        ("http://[::1]", ("http://[::1]:8501",), True),
        ("https://[::1]:9/prefix", ("https://[::1]:9/prefix",), True),
        ("unix:/run/vcam.sock", ("unix:/run/vcam.sock",), False),
        ("unix:vcam.sock", ("unix:vcam.sock",), False),
        ("unix:///run/vcam.sock", ("unix:/run/vcam.sock",), False),
        ("unix:/run/my models@lab.sock", ("unix:/run/my models@lab.sock",), False),
        ("unix:/a, unix:/b", ("unix:/a", "unix:/b"), False),
        ("http://host", ("http://host:8501",), True),
        ("http://host:80/prefix/", ("http://host:80/prefix",), True),
        ("https://host", ("https://host:443",), True),
    ],
)
def test_addresses_are_completed(
    server: str | None, addresses: tuple[str, ...], rest: bool
) -> None:
    to = connection(server)
    assert (to.addresses, to.rest) == (addresses, rest)


@pytest.mark.parametrize(
    "server",
    [
        *("ftp://host", "host:port", "host:0", "host:70000", ":8500", ",", "a:1,http://b:2"),
        *("[::1", "::1]:8500", "[::1]8500", "[]:1", "1:2:3", "host:8500:8501", "[host]:1"),
        *("ipv4:127.0.0.1:8500", "host:٣", "unix:/a,b:2"),
        *("a..b:8500", "http://a..b:8501", f"{'a' * 64}.example:1", f"http://{'a' * 64}.example"),
    ],
)
def test_what_is_no_address_is_refused_with_examples(server: str) -> None:
    with pytest.raises(InputError, match="HOST:"):
        connection(server)


@pytest.mark.parametrize("server", ["unix:", "unix://", "unix://relative", "unix:/" + "a" * 107])
def test_a_socket_of_which_there_is_no_such_path_is_refused(server: str) -> None:
    with pytest.raises(InputError, match="the path of a unix socket"):
        connection(server)


@pytest.mark.parametrize(
    "server", ["http://unix:/run/vcam.sock", "http+unix://%2Frun%2Fvcam.sock", "https://unix:/x"]
)
def test_rest_over_a_unix_socket_is_refused_with_the_address_of_grpc(server: str) -> None:
    with pytest.raises(InputError, match=r"unix:/run/vcam\.sock.*REST is spoken over TCP"):
        connection(server)


@pytest.mark.parametrize(
    "server",
    ["c\udcfft:8500", "http://c\udcfft", "https://host/c\udcfft", "unix:/run/c\udcfft", "a,\udcff"],
)
def test_an_address_that_is_not_utf8_is_refused(server: str) -> None:
    with pytest.raises(InputError, match=r"Expected an address in UTF-8, received .*\\udcff"):
        connection(server)


def test_names_of_other_scripts_are_hosts() -> None:
    assert connection("bücher.example").addresses == ("bücher.example:8500",)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_model_whose_name_is_not_utf8_is_refused_before_a_call(scheme: str) -> None:
    """Bytes of an argument that are not text come as surrogates; neither gRPC nor a URL has any."""
    with Client(f"{scheme}127.0.0.1:9", retries=1) as client:
        with pytest.raises(InputError, match="Expected the name of a model in UTF-8"):
            client.status(model="c\udcfft")
        with pytest.raises(InputError, match="Expected a version label in UTF-8"):
            client.spec(label="c\udcfft")


def test_tls_follows_from_the_scheme() -> None:
    assert connection("host").tls is None
    assert connection("grpcs://host").tls == Tls()
    assert connection("https://host").tls == Tls()
    assert connection("host", tls=True).tls == Tls()
    with pytest.raises(InputError, match="https://"):
        connection("http://host", tls=True)


def test_a_token_is_never_sent_in_the_clear() -> None:
    for server in ("host:8500", "http://host:8501", "127.0.0.1:8500,host:8500"):
        with pytest.raises(InputError, match="Expected TLS where a token is sent"):
            connection(server, token="secret")
    for server in ("127.0.0.1", "localhost:1", "[::1]:2", "http://127.0.0.1:8501", "unix:/a"):
        assert ("authorization", "Bearer secret") in connection(server, token="secret").headers
    assert connection("host", token="secret", tls=True).headers
    assert "secret" not in repr(connection("localhost", token="secret"))
