"""What answers in place of the model server, and what helps: gateways, login pages, proxies."""

import contextlib
import itertools
import json
import socket
import threading
from typing import Any

import grpc
import pytest
from client.calling import run, spec
from client.gateway import http1, http2, listening
from client.rest_stand_in import rest_stand_in
from client.stand_in import RefusalError, stand_in
from client.test_client import SCAN

from vcam_client import Client
from vcam_client._gateways import BadGatewayError
from vcam_client._proxies import proxy_of, without_passwords
from vcam_client.doctor import examine
from vcam_client.errors import (
    AccessDeniedError,
    ContractError,
    DeadlineExceededError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    VcamError,
)

HTML = b"<html><head><title>Sign in</title></head></html>"
NGINX = "Server: nginx/1.25.3\r\n"
TOKEN = "t0ken-that-nobody-may-read"
PASSWORD = "geheim-pw"
ELSEWHERE = "models.example.invalid"

MEANINGS: dict[int, tuple[type[VcamError], str]] = {
    401: (AccessDeniedError, "VCAM_TOKEN"),
    403: (AccessDeniedError, "VCAM_TOKEN"),
    413: (ServerError, "client_max_body_size"),
    429: (ServerBusyError, "Try again later"),
    500: (ServerError, "not the model server"),
    502: (BadGatewayError, "Start the model server"),
    503: (ServerUnavailableError, "Start the model server"),
    504: (DeadlineExceededError, "proxy_read_timeout"),
    524: (DeadlineExceededError, "--timeout is that of this client"),
}


@pytest.mark.parametrize("status", MEANINGS)
@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_a_gateway_before_rest(kind: str, status: int) -> None:
    error, advice = MEANINGS[status]
    said = http1(f"{status} Some Reason", HTML, NGINX)
    with listening(lambda connection, _: connection.sendall(said)) as gateway:
        address = f"http://127.0.0.1:{gateway.port}"
        with pytest.raises(error, match=advice) as caught:
            run(kind, address, [spec], retries=1)
    assert f"before {address} (nginx/1.25.3)" in str(caught.value)
    assert f"HTTP {status}" in str(caught.value)


@pytest.mark.parametrize("status", MEANINGS)
@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_gateway_before_grpc(kind: str, status: int) -> None:
    error, advice = MEANINGS[status]
    with listening(http2(status)) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        with pytest.raises(error, match=advice) as caught:
            run(kind, address, [spec], retries=1)
    assert f"before {address}" in str(caught.value)
    assert f"HTTP {status}" in str(caught.value)
    assert "REST port" not in str(caught.value)


@pytest.mark.parametrize("status", [502, 503])
def test_a_gateway_whose_server_restarts_is_asked_again(status: int) -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        client.spec()
        answers: list[Any] = [(status, {}, HTML)] * 3
        original = server.answer
        server.answer = lambda *call: answers.pop() if answers else original(*call)  # type: ignore[method-assign]
        assert client.predict(SCAN).label == "lesion"
        assert not answers


@pytest.mark.parametrize(
    ("code", "text", "error", "words"),
    [
        ("UNAVAILABLE", "no healthy upstream", ServerUnavailableError, "HTTP 503"),
        (
            "UNAVAILABLE",
            "upstream connect error or disconnect/reset before headers. reset reason: "
            "connection termination",
            BadGatewayError,
            "lost it during the call",
        ),
        ("UNAVAILABLE", "upstream request timeout", DeadlineExceededError, "gave up waiting"),
        ("DEADLINE_EXCEEDED", "upstream request timeout", DeadlineExceededError, "gave up waiting"),
        (
            "RESOURCE_EXHAUSTED",
            "SERVER: Received message larger than max (9 vs. 4)",
            ServerError,
            "call of 'gradcam|call of 'serving_default'.*Raise the limit",
        ),
        (
            "RESOURCE_EXHAUSTED",
            "SERVER: Sent message larger than max (9 vs. 4)",
            ServerError,
            "answer to 'serving_default'.*Raise the limit",
        ),
    ],
)
def test_what_gateways_say_over_grpc(
    code: str, text: str, error: type[VcamError], words: str
) -> None:
    def refuse(_: object) -> Any:
        raise RefusalError(grpc.StatusCode[code], text)

    with stand_in() as server, Client(server.address, retries=1) as client:
        server.predict = refuse
        with pytest.raises(error, match=words):
            client.predict(SCAN)


def test_an_answer_larger_than_vcam_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "vcam_client._grpc_messages._OPTIONS", [("grpc.max_receive_message_length", 99)]
    )
    with stand_in() as server, Client(server.address) as client:
        with pytest.raises(ContractError, match="of a size that its outputs can have"):
            client.spec()
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_named_and_not_followed(status: int) -> None:
    """Neither the call nor its token reaches the other host."""
    with listening(lambda connection, _: connection.sendall(http1("200 OK", b"{}"))) as other:
        goal = f"http://user:{PASSWORD}@127.0.0.1:{other.port}/base/v1/models/default?state=secret"
        said = http1(f"{status} Moved", HTML, f"Location: {goal}\r\n")
        with listening(lambda connection, _: connection.sendall(said)) as gateway:
            address = f"http://127.0.0.1:{gateway.port}"
            with Client(address, token=TOKEN) as client, pytest.raises(ContractError) as caught:
                client.spec()
        assert other.received == []
        assert TOKEN.encode() in gateway.received[0]
    text = str(caught.value)
    assert f"HTTP {status}" in text
    assert f"--server http://127.0.0.1:{other.port}/base" in text
    for secret in (PASSWORD, "state=secret", TOKEN):
        assert secret not in text


@pytest.mark.parametrize(
    "location", ["/login?next=x", "http://[::1", "//", "\x80\xff", "http://h/" + "x" * 5000, ""]
)
def test_redirections_to_nowhere(location: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n"
    said = head.encode("latin-1")
    with (
        listening(lambda connection, _: connection.sendall(said)) as gateway,
        Client(f"http://127.0.0.1:{gateway.port}") as client,
        pytest.raises(ContractError, match="HTTP 302") as caught,
    ):
        client.spec()
    assert len(str(caught.value)) < 700
    assert "next=x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_a_login_page_with_status_200(kind: str) -> None:
    said = http1("200 OK", HTML, NGINX)
    with (
        listening(lambda connection, _: connection.sendall(said)) as gateway,
        pytest.raises(ContractError, match=r"web page.*Sign in.*nginx.*login pages"),
    ):
        run(kind, f"http://127.0.0.1:{gateway.port}", [spec])


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_login_page_over_http2(kind: str) -> None:
    with (
        listening(http2(200)) as gateway,
        pytest.raises(ServerError, match=r"no TensorFlow Serving.*a gateway before it"),
    ):
        run(kind, f"127.0.0.1:{gateway.port}", [spec])


NO_SPEC = {
    "grpc": 'Serving signature key "spec" not found.',
    "rest": 'Serving signature name: "spec" not found in signature def',
}


@pytest.mark.parametrize("kind", ["grpc", "aio", "rest", "async rest"])
def test_a_model_that_is_no_vcam_model(kind: str) -> None:
    if "rest" in kind:
        with rest_stand_in() as server:
            content = json.dumps({"error": NO_SPEC["rest"]}).encode()
            original = server.answer
            server.answer = lambda verb, *rest: (  # type: ignore[method-assign]
                (400, {}, content) if verb == "POST" else original(verb, *rest)
            )
            with pytest.raises(ContractError, match=r"not a vcam model.*'spec'.*--model NAME"):
                run(kind, server.address, [spec])
        return

    with stand_in() as grpc_server:

        def reply(_: object, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, NO_SPEC["grpc"])
            return b""

        grpc_server.reply = reply  # type: ignore[method-assign]
        with pytest.raises(ContractError, match=r"not a vcam model.*'spec'.*--model NAME"):
            run(kind, grpc_server.address, [spec])


# proxies ------------------------------------------------------------------------------------------

AWAY = {
    "grpc": f"{ELSEWHERE}:8500",
    "aio": f"{ELSEWHERE}:8500",
    "rest": f"http://{ELSEWHERE}:8501",
    "https": f"https://{ELSEWHERE}",
}


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    return monkeypatch


def through(port: int, environment: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        environment.setenv(name, f"http://me:{PASSWORD}@127.0.0.1:{port}")


def refusal(kind: str, **options: Any) -> tuple[type, str]:
    client = "rest" if kind == "https" else kind
    with pytest.raises(VcamError) as caught:
        run(client, AWAY[kind], [spec], retries=1, timeout=10, **options)
    assert PASSWORD not in str(caught.value)
    assert "me:" not in str(caught.value)
    assert "--server HOST:PORT" not in str(caught.value)
    return caught.type, str(caught.value)


@pytest.fixture(params=AWAY)
def away(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, AccessDeniedError, "$no_proxy to go past"),
        (407, AccessDeniedError, "asks for a user name and a password"),
        (502, ServerUnavailableError, "the proxy"),
    ],
)
def test_a_proxy_that_refuses(
    away: str,
    status: int,
    error: type[VcamError],
    words: str,
    no_proxies: pytest.MonkeyPatch,
) -> None:
    answer = http1(f"{status} No", b"", "Server: squid/5.7\r\n")
    with listening(lambda connection, _: connection.sendall(answer)) as proxy:
        through(proxy.port, no_proxies)
        kind, text = refusal(away)
        assert proxy.received
    variable = "$http_proxy" if away == "rest" else "$https_proxy"
    assert issubclass(kind, error)
    assert f"127.0.0.1:{proxy.port} ({variable})" in text
    assert words in text


def test_a_proxy_that_lets_calls_through(no_proxies: pytest.MonkeyPatch) -> None:
    """To a host that only it knows: HTTP with whole URLs, gRPC through a tunnel."""
    with rest_stand_in() as proxy:
        no_proxies.setenv("http_proxy", proxy.address)
        with Client(AWAY["rest"], retries=1) as client:
            assert client.predict(SCAN).label == "lesion"
        assert all(path.startswith(f"http://{ELSEWHERE}") for _, path in proxy.asked)

    with stand_in() as server:

        def tunnel(connection: socket.socket, first: bytes) -> None:
            assert first.startswith(f"CONNECT {AWAY['grpc']} ".encode())
            host, port = server.address.split(":")
            with socket.create_connection((host, int(port))) as there:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(there, connection), daemon=True)
                back.start()
                pump(connection, there)

        with listening(tunnel) as proxy_port:
            through(proxy_port.port, no_proxies)
            with Client(AWAY["grpc"], retries=1) as client:
                assert client.predict(SCAN).label == "lesion"


def pump(source: socket.socket, goal: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(2**16):
            goal.sendall(part)


def test_a_proxy_that_is_dead(away: str, no_proxies: pytest.MonkeyPatch) -> None:
    through(1, no_proxies)
    kind, text = refusal(away)
    variable = "$http_proxy" if away == "rest" else "$https_proxy"
    assert issubclass(kind, ServerUnavailableError)
    assert f"through the proxy 127.0.0.1:1 ({variable})" in text
    assert f"list {ELSEWHERE} in $no_proxy" in text


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{PASSWORD}@",
        f"me:{PASSWORD}@127.0.0.1:x",
        f"ftp://me:{PASSWORD}@127.0.0.1:1",
        f"socks5://me:{PASSWORD}@127.0.0.1:1",
        f"http://[me:{PASSWORD}@127.0.0.1",
    ],
)
def test_a_proxy_that_can_t_be_one(url: str, no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("http_proxy", url)
    _, text = refusal("rest")
    assert "$http_proxy" in text


def test_which_proxy_a_call_goes_through(no_proxies: pytest.MonkeyPatch) -> None:
    assert proxy_of("host:8500") is None
    assert proxy_of("http://host:8501") is None
    no_proxies.setenv("http_proxy", f"http://me:{PASSWORD}@one:3128")
    no_proxies.setenv("grpc_proxy", "http://two:3128")
    no_proxies.setenv("HTTPS_PROXY", "three:3128")
    assert str(proxy_of("host:8500")) == "two:3128 ($grpc_proxy)"
    assert str(proxy_of("http://host:8501")) == "one:3128 ($http_proxy)"
    assert str(proxy_of("https://host:443")) == "three:3128 ($HTTPS_PROXY)"
    assert PASSWORD not in repr(proxy_of("http://host:8501"))
    no_proxies.setenv("no_proxy", "example.com, 10.0.0.0/8")
    assert proxy_of("a.example.com:8500") is None
    assert proxy_of("10.1.2.3:8500") is None
    assert proxy_of("http://a.example.com:8501") is None
    assert proxy_of("host:8500") is not None
    no_proxies.setenv("grpc_proxy", "")  # gRPC takes that for none
    assert proxy_of("host:8500") is None
    no_proxies.setenv("grpc_proxy", "socks5://two:1")  # which it leaves out
    assert proxy_of("host:8500") is None


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_doctor_shows_the_proxy(kind: str, no_proxies: pytest.MonkeyPatch) -> None:
    with listening(lambda connection, _: None) as proxy:
        through(proxy.port, no_proxies)
        with Client(AWAY[kind], retries=1) as client:
            checks = itertools.islice(examine(client), 2)
            found = {check.name: check for check in checks}["proxy"]
    assert found.passed
    variable = "$http_proxy" if kind == "rest" else "$https_proxy"
    assert f"through 127.0.0.1:{proxy.port} ({variable})" in found.finding
    assert f"List {ELSEWHERE} in $no_proxy" in found.finding
    through(1, no_proxies)
    with Client(AWAY[kind], retries=1) as client:
        last = list(examine(client))[-1]
    assert (last.name, last.passed) == ("proxy", False)
    assert "where nothing answers" in last.finding
    assert PASSWORD not in last.finding


def test_texts_of_libraries_have_no_passwords(no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("https_proxy", "http://me:a%20long%20one@host:1")
    no_proxies.setenv("http_proxy", "http://me:ab@host:1")
    text = without_passwords("http://me:a%20long%20one@host, a long one, http://me:ab@host, cabin")
    assert "long" not in text
    assert "ab@" not in text
    assert text.endswith("cabin")
