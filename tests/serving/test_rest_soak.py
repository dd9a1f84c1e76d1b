"""Damaged requests get a valid answer or a clean close; the server goes on."""

import json
from typing import TYPE_CHECKING

import pytest
from soak.rest_requests import GROWTH_LIMIT_MB, outcome, soak

if TYPE_CHECKING:
    from golden import Golden

CASES = 300
"""`make soak` sends 5,000, and of other seeds."""


def test_damaged_requests_are_answered_or_closed(golden: "dict[str, Golden]") -> None:
    bright = golden["bright"]
    report = soak(bright.path.parent, bright.spec.grid.shape, seed=1, first=0, count=CASES)
    assert report.failures == {}
    assert report.cases == CASES
    assert report.growth_mb < GROWTH_LIMIT_MB
    # mutations that are always or never noticed would tell nothing
    assert report.outcomes["200"] > CASES / 10
    assert report.outcomes["400"] > CASES / 4


def answer(status: int, body: bytes, kind: str = "application/json") -> bytes:
    top = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return top.encode() + body


def error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


@pytest.mark.parametrize(
    "received",
    [
        answer(500, error("failed")),
        answer(400, b"<html>", "text/html"),
        answer(400, b"<html>"),
        answer(400, error("ValueError: 1")),
        answer(400, error("failed"))[:-1],
        answer(200, b"{}") + b"more",
        b"{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
    ],
    ids=["500", "HTML", "no JSON", "Python's name", "cut", "more", "no HTTP", "no length"],
)
def test_the_harness_sees_what_must_not_be(received: bytes) -> None:
    with pytest.raises((AssertionError, ValueError, KeyError)):
        outcome(received, b"GET / HTTP/1.1")


def test_the_harness_counts_what_may_be() -> None:
    assert outcome(answer(400, error('JSON Value: "KeyError" Type: String')), b"") == "400"
    assert outcome(answer(200, b"") + answer(404, error("Not found")), b"") == "200"
    assert outcome(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(413, error("x")), b"") == "413"
    assert outcome(b"", b"GET") == "closed"
