"""The embedded server's HTTP: lengths, encodings, methods, limits, and who may read it."""

import contextlib
import gzip
import http.client
import json
import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served.calls import rest
from served.raw_http import TIMEOUT_SECONDS, Answer, answers, request, send
from served.server import ServedModel

from vcam_serving import _rest, _rest_server
from vcam_serving._rest import RestApplication
from vcam_serving._rest_server import Application, RestServer

SPEC = json.dumps({"signature_name": "spec", "inputs": {"key": ["model_spec"]}}).encode()


@pytest.fixture
def predict(subject: ServedModel) -> str:
    return f"/v1/models/{subject.name}:predict"


@pytest.fixture
def about(subject: ServedModel) -> str:
    return f"/v1/models/{subject.name}"


def only(address: str, sent: bytes) -> Answer:
    """The one answer to what is sent, after which the connection is closed."""
    [answer] = answers(send(address, sent), head=sent.startswith(b"HEAD"))
    return answer


def with_headers(predict: str, *lines: str, body: bytes = SPEC) -> bytes:
    return "\r\n".join([f"POST {predict} HTTP/1.1", *lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    "length", ["-1", "abc", "", "+61", "61.0", "0x3d", "6 1", "61, 61", "9" * 5000]
)
def test_a_length_that_is_no_number(rest_address: str, predict: str, length: str) -> None:
    answer = only(rest_address, with_headers(predict, f"Content-Length: {length}"))
    assert answer.status == 400
    assert "Malformed request" in answer.error
    assert "length" in answer.error.lower()
    assert answer.headers["connection"] == "close"


def test_two_lengths(rest_address: str, predict: str) -> None:
    for second in ("5", str(len(SPEC))):
        lines = (f"Content-Length: {len(SPEC)}", f"Content-Length: {second}")
        answer = only(rest_address, with_headers(predict, *lines))
        assert (answer.status, answer.error) == (
            400,
            "Malformed request: Content-Length is invalid",
        )


def test_no_length_is_no_body(rest_address: str, predict: str) -> None:
    received = answers(send(rest_address, with_headers(predict, body=b"")))
    assert [a.status for a in received] == [400]
    assert received[0].error == "JSON Parse error: The document is empty"


def test_what_a_proxy_might_read_otherwise_ends_the_connection(
    rest_address: str, predict: str, about: str
) -> None:
    second = request("GET", about)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SPEC), SPEC)
    for lines, body, code in (
        (("Content-Length: 5", "Transfer-Encoding: chunked"), chunked, 400),
        (("Transfer-Encoding: gzip, chunked",), chunked, 501),
        (("Transfer-Encoding: chunked, identity",), chunked, 501),
        (("Transfer-Encoding : chunked",), chunked, 400),
        (("no colon",), b"", 400),
        ((f"Content-Length: {len(SPEC)}", "X: a\nY: b"), SPEC, 400),
        (("Transfer-Encoding: chunked",), b"zz\r\n", 400),
        (("Transfer-Encoding: chunked",), b"-5\r\nabcde\r\n0\r\n\r\n", 400),
    ):
        # the second request must not be answered: where it begins is unknown
        answer = only(rest_address, with_headers(predict, *lines, body=body) + second)
        assert answer.status == code, lines
        assert answer.error
        assert answer.headers["connection"] == "close"
    old = with_headers(predict, "Transfer-Encoding: chunked", body=chunked + second)
    assert only(rest_address, old.replace(b"HTTP/1.1", b"HTTP/1.0", 1)).status == 400


def test_a_body_beyond_the_limit_is_refused_before_it_comes(
    rest_address: str, predict: str
) -> None:
    for lines in (
        ("Content-Length: 8589934592",),
        ("Expect: 100-continue", "Content-Length: 9" + "0" * 18),
    ):
        answer = only(rest_address, with_headers(predict, *lines, body=b""))
        assert answer.status == 413
        assert "256 MiB" in answer.error


def test_a_client_that_sends_on_still_gets_the_refusal(rest_address: str, predict: str) -> None:
    sent = with_headers(predict, f"Content-Length: {2**33}", body=b"x" * 2**24)
    assert only(rest_address, sent).status == 413


def test_chunks_beyond_the_limit_are_refused(
    rest_address: str, predict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rest_server, "MAX_BODY_BYTES", 1000)
    with serving(Echo()) as address:
        endless = b"400\r\n" + b"x" * 1024 + b"\r\n"
        sent = with_headers("/v1/x", "Transfer-Encoding: chunked", body=endless)
        assert only(address, sent).status == 413
        assert only(address, request("POST", "/v1/x", b"x" * 1000)).body == b"1000"
        assert only(address, request("POST", "/v1/x", b"x" * 1001)).status == 413


def test_headers_beyond_the_limit_are_refused(rest_address: str, about: str) -> None:
    for lines in (["X: " + "a" * 70_000], [f"X-{i}: a" for i in range(10_000)]):
        text = "\r\n".join([f"GET {about} HTTP/1.1", *lines, "", ""])
        answer = only(rest_address, text.encode())
        assert (answer.status, "64 KiB" in answer.error) == (431, True)
    assert only(rest_address, request("GET", "/v1/" + "a" * 70_000)).status == 431


def test_gzip_in_every_form(rest_address: str, predict: str) -> None:
    plain = only(rest_address, request("POST", predict, SPEC))
    assert plain.status == 200
    for body in (gzip.compress(SPEC), gzip.compress(SPEC[:20]) + gzip.compress(SPEC[20:])):
        for name in ("gzip", "GZIP", "x-gzip"):
            sent = request("POST", predict, body, ("Content-Encoding", name))
            assert only(rest_address, sent).body == plain.body
    sent = request("POST", predict, SPEC, ("Content-Encoding", "identity"))
    assert only(rest_address, sent).body == plain.body


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("gzip", SPEC, "is not gzip"),
        ("gzip", gzip.compress(SPEC)[:-9], "ends too early"),
        ("gzip", gzip.compress(SPEC)[:-8] + b"\0" * 8, "is not gzip"),
        ("gzip", gzip.compress(SPEC) + b"more", "is not gzip"),
        ("deflate", zlib.compress(SPEC), "received deflate"),
        ("br", SPEC, "received br"),
        ("gzip, gzip", gzip.compress(gzip.compress(SPEC)), "received gzip, gzip"),
    ],
    ids=["plain", "cut", "no check sum", "more behind", "deflate", "br", "twice"],
)
def test_encodings_that_are_refused(
    rest_address: str, predict: str, encoding: str, body: bytes, text: str
) -> None:
    answer = only(rest_address, request("POST", predict, body, ("Content-Encoding", encoding)))
    assert (answer.status, text in answer.error) == (400, True)


def test_a_bomb_is_unpacked_up_to_the_limit(
    rest_address: str, predict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _rest.MAX_UNPACKED_BYTES == 100 * 2**20
    monkeypatch.setattr(_rest, "MAX_UNPACKED_BYTES", 2**20)
    pressed = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(pressed.compress(b"[" * 2**20) for _ in range(300)), pressed.flush()])
    members = gzip.compress(b" " * 2**19) * 3
    for body in (bomb, members):
        answer = only(rest_address, request("POST", predict, body, ("Content-Encoding", "gzip")))
        assert (answer.status, "it may have 1 MiB" in answer.error) == (400, True)
    # as much as is allowed
    padded = gzip.compress(SPEC + b" " * (2**20 - len(SPEC)))
    sent = request("POST", predict, padded, ("Content-Encoding", "gzip"))
    assert only(rest_address, sent).status == 200


def test_head_is_refused_without_a_body(rest_address: str, about: str) -> None:
    for path, code in ((about, 400), ("/elsewhere", 404)):
        answer = only(rest_address, request("HEAD", path))
        assert (answer.status, answer.body) == (code, b"")


@pytest.mark.parametrize(
    ("method", "code"),
    [("PATCH", 400), ("TRACE", 501), ("CONNECT", 501), ("BREW", 501), ("get", 400), ("G@T", 400)],
)
def test_other_methods(rest_address: str, about: str, method: str, code: int) -> None:
    answer = only(rest_address, request(method, about))
    assert answer.status == code
    assert method in answer.error or "Start line" in answer.error


def test_versions_of_http(rest_address: str, about: str) -> None:
    for version in (" HTTP/1.0", ""):
        answer = only(rest_address, f"GET {about}{version}\r\n\r\n".encode())
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    kept = f"GET {about} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
    assert [a.status for a in answers(send(rest_address, kept * 2))] == [200, 200]
    refused = f"GET {about} HTTP/1,1\r\nConnection: keep-alive\r\n\r\n".encode()
    assert only(rest_address, refused * 2).headers["connection"] == "close"


def test_a_client_with_tls_is_told_so_at_once(rest_address: str) -> None:
    host, port = rest_address.split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")  # and no line ends
        [answer] = answers(b"".join(iter(lambda: connection.recv(2**16), b"")))
    assert answer.status == 400
    assert "not HTTPS: begin with http://" in answer.error
    with pytest.raises(ssl.SSLError), socket.create_connection((host, int(port))) as connection:
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")


def test_a_client_of_grpc_on_the_port_of_rest_is_refused(rest_address: str) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    assert answers(send(rest_address, preface))[0].status == 501


def test_pipelined_requests_are_answered_in_order(
    rest_address: str, predict: str, about: str
) -> None:
    sent = [
        request("GET", about, close=False),
        request("POST", predict, SPEC, close=False),
        request("POST", predict, b"{", close=False),
        request("GET", "/elsewhere", close=False),
        request("GET", about),
        request("GET", about),
    ]
    received = answers(send(rest_address, b"".join(sent)))
    # none after "Connection: close"
    assert [a.status for a in received] == [200, 200, 400, 404, 200]
    assert json.loads(received[1].body)["outputs"]


def test_a_client_that_waits_to_go_on(rest_address: str, predict: str) -> None:
    host, port = rest_address.split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
        lines = (f"Content-Length: {len(SPEC)}", "Expect: 100-continue", "Connection: close")
        connection.sendall(with_headers(predict, *lines, body=b""))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(SPEC)
        received = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert [a.status for a in answers(received)] == [200]


def test_percent_encoded_paths(rest_address: str, subject: ServedModel) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in subject.name.encode())
    assert rest(rest_address, "GET", f"/v1/models/{encoded}")[0] == 200
    sent = {"signature_name": "spec", "inputs": {"key": ["model_spec"]}}
    assert rest(rest_address, "POST", f"/v1/models/{encoded}:predict", sent)[0] == 200
    # only names are decoded
    assert rest(rest_address, "GET", f"/v1%2Fmodels/{subject.name}")[0] == 404
    assert rest(rest_address, "POST", f"/v1/models/{subject.name}%3Apredict", sent)[0] == 400
    for name, shown in (("%C3%A9", "é"), ("%FF", "\ufffd"), ("a%2Fb", "a/b"), ("100%", "100%")):
        assert rest(rest_address, "GET", f"/v1/models/{name}") == (
            404,
            {"error": f"Could not find any versions of model {shown}"},
        )
    long = "9" * 5000
    status, answer = rest(rest_address, "GET", f"/v1/models/{subject.name}/versions/{long}")
    assert status == 400
    assert answer["error"].startswith("Failed to convert version: 999")
    assert len(answer["error"]) < 300
    version = f"/versions/{'0' * 30}{subject.version}"
    assert rest(rest_address, "GET", f"/v1/models/{subject.name}{version}")[0] == 200
    absolute = request("GET", f"http://host:1/v1/models/{subject.name}")
    assert only(rest_address, absolute).status == 200
    assert only(rest_address, request("GET", "http://[::1/v1/models/x")).status == 400


def test_a_query_is_a_part_of_the_name(rest_address: str, about: str, subject: ServedModel) -> None:
    answer = only(rest_address, request("GET", f"{about}?verbose"))
    assert (answer.status, answer.error) == (
        404,
        f"Could not find any versions of model {subject.name}?verbose",
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'{"signature_name": "spec", "inputs": {"key": ["\ud800"]}}', "surrogate pair"),
        (rb'{"signature_name": "spec", "inputs": {"\udc00": ["a"]}}', "surrogate pair"),
        (b'{"signature_name": "\xff\xfe", "inputs": {"key": ["a"]}}', 'name: "??" not found'),
        (b'{"inputs": {"volume": "\xff"}}', '"?" Type: String'),
        (b'{"inputs": {"volume": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}}", "at most 32 lists"),
        (b'{"inputs": ' + b"[" * 10**6, "nested too deeply"),
        (b'{"inputs": {"volume": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}", ""),
        (b'{"inputs": [' + b"9" * 5000 + b"]}", "Number too big"),
    ],
    ids=["half", "half in a key", "name", "quoted", "lists", "open lists", "objects", "digits"],
)
def test_json_that_is_refused(rest_address: str, predict: str, body: bytes, text: str) -> None:
    answer = only(rest_address, request("POST", predict, body))
    assert (answer.status, text in answer.error) == (400, True), answer.body[:300]
    assert "Error:" not in answer.error


def test_characters_of_two_halves_are_one(rest_address: str, predict: str) -> None:
    body = rb'{"signature_name": "spec", "inputs": {"key": ["\ud83d\ude00", "\\ud800"]}}'
    answer = only(rest_address, request("POST", predict, body))
    assert (answer.status, json.loads(answer.body)) == (200, {"outputs": ["", ""]})


def test_web_pages_may_not_read_answers(rest_address: str, predict: str) -> None:
    origin = ("Origin", "https://elsewhere.example")
    asked = only(rest_address, request("OPTIONS", predict, None, origin))
    answered = only(rest_address, request("POST", predict, SPEC, origin))
    assert (asked.status, asked.body, answered.status) == (200, b"", 200)
    for answer in (asked, answered):
        assert not any(name.startswith("access-control") for name in answer.headers)
    without = only(rest_address, request("OPTIONS", predict))
    assert (without.status, without.error) == (400, "Origin header is missing in CORS preflight")


def test_web_pages_may_read_answers_with_cors(subject: ServedModel) -> None:
    from vcam_serving import EmbeddedServer

    about = "/v1/models/default"
    origin = ("Origin", "https://elsewhere.example")
    with EmbeddedServer(subject.path.parent, port=0, rest_port=0, cors=True) as server:
        for sent, code in (
            (request("OPTIONS", f"{about}:predict", None, origin), 200),
            (request("GET", about, None, origin), 200),
            (request("POST", f"{about}:predict", b"{", origin), 400),
        ):
            answer = only(server.rest_address, sent)
            assert answer.status == code
            assert {n: v for n, v in answer.headers.items() if n.startswith("access")} == {
                "access-control-allow-origin": "*",
                "access-control-allow-methods": "POST, GET",
                "access-control-allow-headers": "Content-Type",
            }


class Echo:
    """A WSGI application that answers how many bytes came."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        reply = str(len(environ["wsgi.input"].read())).encode()
        start_response("200 OK", [("Content-Length", str(len(reply)))])
        return [reply]


@contextlib.contextmanager
def serving(application: Application, **options: int) -> Iterator[str]:
    """The address of a server of an application."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = RestServer(application, [bound], **{"threads": 2, **options})
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop()


@pytest.fixture
def impatient() -> Iterator[str]:
    with serving(Echo(), request_seconds=1) as address:
        yield address


def test_half_a_request_ends_even_if_more_comes_byte_by_byte(impatient: str) -> None:
    host, port = impatient.split(":")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"POST /v1/x HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        try:
            while time.monotonic() < deadline:
                connection.sendall(b"x")
                connection.settimeout(0.05)
                try:
                    if connection.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
            else:
                pytest.fail("the server waits for ever")
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert only(impatient, request("POST", "/v1/x", b"four")).body == b"4"


def test_slow_clients_hold_no_thread(rest_address: str, about: str) -> None:
    host, port = rest_address.split(":")
    before = threading.active_count()
    waiting = [socket.create_connection((host, int(port)), timeout=10) for _ in range(100)]
    try:
        for connection in waiting:
            connection.sendall(b"POST /v1/models/x:predict HTTP/1.1\r\nContent-Le")
        assert only(rest_address, request("GET", about)).status == 200
        assert threading.active_count() <= before
    finally:
        for connection in waiting:
            connection.close()


def test_a_fault_of_the_server_tells_nothing_of_its_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def use(self, _: object) -> None:
            raise KeyError("secret")

    with (
        caplog.at_level(logging.CRITICAL, "vcam_serving"),
        serving(RestApplication(Broken(), cors=False)) as address,
    ):
        answer = only(address, request("POST", "/v1/models/x:predict", SPEC))
    assert answer.status == 500
    assert answer.error == "The server failed on this request; its log says why."


def test_large_bodies_are_read_one_by_one(
    rest_address: str, predict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rest, "_LARGE_BYTES", 1000)
    reading, most = 0, 0
    real = RestApplication._predict

    def counted(self: RestApplication, spec: Any, body: bytes) -> bytes:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        time.sleep(0.02)
        try:
            return real(self, spec, body)
        finally:
            reading -= 1

    monkeypatch.setattr(RestApplication, "_predict", counted)
    padded = SPEC + b" " * 1000
    with ThreadPoolExecutor(8) as pool:
        received = pool.map(
            lambda _: only(rest_address, request("POST", predict, padded)), range(8)
        )
        assert {answer.status for answer in received} == {200}
    assert most == 1


def test_too_little_memory_is_the_fault_of_the_request(
    rest_address: str, predict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(RestApplication, "_predict", full)
    answer = only(rest_address, request("POST", predict, SPEC))
    assert answer.status == 429
    assert answer.error.startswith("OOM when allocating")  # as TensorFlow has it


def test_clients_that_leave_early_do_no_harm(
    rest_address: str, predict: str, about: str, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = rest_address.split(":")
    sent = request("POST", predict, SPEC, close=False)
    for end in range(0, len(sent) + 1, 7):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent[:end])
    connection = http.client.HTTPConnection(rest_address, timeout=TIMEOUT_SECONDS)
    connection.request("GET", about)
    assert connection.getresponse().status == 200
    connection.close()
    assert "Traceback" not in capfd.readouterr().err
