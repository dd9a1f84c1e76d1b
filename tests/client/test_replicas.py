"""Replicas and versions: which server answers, and which version of its model."""

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client.calling import TRANSPORTS, Server, predict, run, spec
from client.rest_stand_in import RestStandIn, rest_stand_in
from client.stand_in import StandIn, stand_in
from client.test_client import SCAN

from vcam_client import Prediction
from vcam_client._replicas import Replicas
from vcam_client.errors import (
    ContractError,
    InputError,
    ModelNotFoundError,
    ServerBusyError,
    ServerUnavailableError,
)


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with rest_stand_in() if "rest" in kind else stand_in() as state:
        yield state


def test_replicas_that_change_versions_one_after_the_other(kind: str) -> None:
    start = rest_stand_in if "rest" in kind else stand_in
    with start() as one, start() as two:
        found: list[Prediction] = []

        def replace(which: Server) -> Callable[[Any], None]:
            return lambda _: setattr(which, "version", 2)

        steps = [predict] * 3 + [replace(one)] + [predict] * 5 + [replace(two)] + [predict] * 5
        found = [p for p in run(kind, f"{one.address},{two.address}", steps) if p is not None]
    versions = [p.version for p in found]
    assert len(versions) == 13
    assert versions[:3] == [1, 1, 1]
    assert versions[-4:] == [2, 2, 2, 2]


def test_a_model_that_is_not_there_is_not_asked_for_long(kind: str, server: Server) -> None:
    with pytest.raises(ModelNotFoundError):
        run(kind, server.address, [lambda client: client.predict(SCAN, version=7)])
    assert len(server.requests if isinstance(server, StandIn) else server.asked) <= 2


def test_a_label_is_resolved_and_pinned(kind: str, server: Server) -> None:
    server.version = 5
    (prediction,) = run(kind, server.address, [lambda client: client.predict(SCAN, label="stable")])
    assert prediction.version == 5
    if isinstance(server, StandIn):
        first, second = (request.model_spec for request in server.requests)
        assert (first.version_label, first.HasField("version")) == ("stable", False)
        assert (second.version_label, second.version.value) == ("", 5)
    else:
        assert server.asked == [
            ("GET", "/v1/models/default/labels/stable/metadata"),
            ("GET", "/v1/models/default/versions/5/metadata"),
            ("POST", "/v1/models/default/versions/5:predict"),
            ("POST", "/v1/models/default/versions/5:predict"),
        ]
    with pytest.raises(InputError, match="received both"):
        run(kind, server.address, [lambda c: c.predict(SCAN, version=5, label="stable")])


@pytest.mark.parametrize("kind", ["rest", "async rest"])
def test_rest_pins_the_newest_version(kind: str, server: RestStandIn) -> None:
    server.version = 3
    (prediction,) = run(kind, server.address, [predict])
    assert prediction.version == 3
    assert server.asked == [
        ("GET", "/v1/models/default"),
        ("GET", "/v1/models/default/versions/3/metadata"),
        ("POST", "/v1/models/default/versions/3:predict"),
        ("POST", "/v1/models/default/versions/3:predict"),
    ]


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_versions_that_are_named_wrong(kind: str, server: StandIn) -> None:
    """The answer says that another version computed it."""
    from vcam_client._proto import prediction_service_pb2 as pb

    response = pb.PredictResponse()
    response.model_spec.version.value = 9

    def garble(_: Any) -> None:
        server.content = response.SerializeToString()

    with pytest.raises(ContractError, match="received one of version 9"):
        run(kind, server.address, [spec, garble, predict])


def test_calls_go_round_the_replicas_and_past_a_dead_one(kind: str) -> None:
    start = rest_stand_in if "rest" in kind else stand_in
    with start() as one, start() as two:
        scheme = "http://" if "rest" in kind else ""
        addresses = f"{one.address},{scheme}127.0.0.1:1,{two.address}"
        begin = time.monotonic()
        found = run(kind, addresses, [predict] * 12)
        assert time.monotonic() - begin < 1.5  # no pause for the dead one
        asked = [
            len(s.requests if isinstance(s, StandIn) else [v for v, _ in s.asked if v == "POST"])
            for s in (one, two)
        ]
    assert len(found) == 12
    assert sum(asked) == 13  # and one for the spec
    assert min(asked) >= 4


def test_a_replica_that_is_down_is_left_out_until_it_answers_or_time_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 100.0
    monkeypatch.setattr("vcam_client._replicas.time.monotonic", lambda: clock)
    replicas = Replicas(["a", "b", "c"])
    gone = ServerUnavailableError("gone")

    def turns() -> list[str]:
        return [replicas.next() for _ in range(6)]

    assert turns() == ["a", "b", "c"] * 2
    replicas.failed("b", gone)
    assert turns() == ["a", "c"] * 3
    replicas.failed("c", ServerBusyError("busy"))  # it is there
    assert turns() == ["a", "c"] * 3
    clock += 11
    assert sorted(turns()) == ["a", "a", "b", "b", "c", "c"]
    for name in "abc":
        replicas.failed(name, gone)
    assert sorted(turns()) == ["a", "a", "b", "b", "c", "c"]  # any is better than none
    replicas.answered("b")
    assert turns() == ["b"] * 6


@pytest.mark.parametrize("kind", ["grpc", "aio"])
def test_a_name_with_several_addresses_is_spread_over_those_that_live(kind: str) -> None:
    """What a DNS name resolves to, written out."""
    with stand_in() as one, stand_in() as two:
        records = f"ipv4:{one.address},127.0.0.1:1,{two.address}"

        def resolved(client: Any) -> None:
            transport = importlib.import_module(
                "vcam_client._grpc_aio" if kind == "aio" else "vcam_client._grpc"
            )
            made = transport.AsyncGrpcTransport if kind == "aio" else transport.GrpcTransport
            replicas = Replicas([made(records, client.connection)])
            setattr(client, "_made" if kind == "aio" else "_replicas", replicas)

        found = run(kind, one.address, [resolved, *[predict] * 20])
        assert len([p for p in found if p is not None]) == 20
        assert min(len(one.requests), len(two.requests)) >= 6
