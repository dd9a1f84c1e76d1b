"""A TensorFlow Serving whose REST answers zeros, and ends on a call for text."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from client.calling import predict, run, spec
from client.rest_stand_in import RestStandIn, every_class, rest_stand_in, signatures
from client.stand_in import SPEC
from client.test_client import SCAN

from vcam_client import Client
from vcam_client._rest_zeros import signatures_of
from vcam_client.doctor import examine
from vcam_client.errors import ContractError
from vcam_client.spec import Activation, ExplainDefault

VCAM = signatures("serving_default", "scores", "gradcam_all", "spec")
KINDS = pytest.mark.parametrize("kind", ["rest", "async rest"])


def started_with_the_flag(server: RestStandIn) -> None:
    server.metadata, server.as_tensor_content = VCAM, True


@KINDS
@pytest.mark.parametrize("call", [spec, predict], ids=["spec", "predict"])
def test_it_is_recognised_and_lives_on(kind: str, call: Callable[[Any], Any]) -> None:
    with rest_stand_in() as server:
        started_with_the_flag(server)
        with pytest.raises(ContractError, match=r"received zeros.*tensor_content=true") as caught:
            run(kind, server.address, [call])
        assert not server.ended
        assert "without that flag" in str(caught.value)
        assert "gRPC" in str(caught.value)


def test_doctor_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        started_with_the_flag(server)
        checks = {check.name: check for check in examine(client)}
        assert not server.ended
    assert checks["health"].passed
    assert checks["model"].passed
    failed = [check for check in checks.values() if check.passed is False]
    assert [check.name for check in failed] == ["contract"]
    assert "Start it without that flag" in failed[0].finding


@KINDS
def test_a_sound_server_is_asked_for_scores_once(kind: str) -> None:
    with rest_stand_in() as server:
        server.metadata = VCAM
        first, second, prediction = run(kind, server.address, [spec, spec, predict])
    assert first.spec == second.spec
    assert prediction.label == "lesion"
    posts = [verb for verb, _ in server.asked].count("POST")
    assert posts == 1 + 2 + 1  # scores, the spec twice, the prediction


def test_a_server_that_was_started_again_is_asked_again() -> None:
    with rest_stand_in() as server, Client(server.address, retries=1) as client:
        server.metadata = VCAM
        client.spec()
        server.ended = True
        with pytest.raises(Exception, match="No model server answers"):
            client.status()
        server.ended = False
        server.as_tensor_content = True
        with pytest.raises(ContractError, match="received zeros"):
            client.spec()
        assert not server.ended


def sigmoid(server: RestStandIn) -> None:
    """Serves a model of findings: zeros are scores that it could have."""
    highest = ExplainDefault.HIGHEST_FINDING
    spec = replace(SPEC, activation=Activation.SIGMOID, explain_default=highest)
    server.metadata, server.spec_json = VCAM, spec.to_json()
    server.outputs = lambda: {**every_class(), "logits": [[-1.0, 1.0]]}


def regression(server: RestStandIn) -> None:
    target = ExplainDefault.TARGET
    identity = Activation.IDENTITY
    spec = replace(SPEC, labels=("age",), activation=identity, explain_default=target, unit="years")
    server.metadata, server.spec_json = VCAM, spec.to_json()
    cam = every_class()["cam"][0][1]
    server.outputs = lambda: {"scores": [[47.5]], "logits": [[47.5]], "cam": [[cam]]}


def softmax(server: RestStandIn) -> None:
    server.metadata = VCAM


def scores(client: Any) -> Any:
    return client.scores(SCAN)


MODELS = pytest.mark.parametrize("model", [sigmoid, regression, softmax])


@KINDS
@MODELS
@pytest.mark.parametrize("call", [scores, predict], ids=["scores", "predict"])
def test_a_replica_with_the_flag_is_recognised(
    kind: str, model: Callable[[RestStandIn], None], call: Callable[[Any], Any]
) -> None:
    """The spec came from the other replica, so this one was never checked."""
    with rest_stand_in() as sound, rest_stand_in() as flagged:
        for server in (sound, flagged):
            model(server)
        flagged.as_tensor_content = True
        with pytest.raises(ContractError, match=r"received zeros.*tensor_content=true") as caught:
            run(kind, [sound.address, flagged.address], [spec, call, call], retries=1)
        assert flagged.address in str(caught.value)
        assert "spec" not in str(caught.value)
        assert not flagged.ended


@KINDS
@MODELS
@pytest.mark.parametrize("call", [scores, predict], ids=["scores", "predict"])
def test_a_flag_that_comes_between_calls_is_recognised(
    kind: str, model: Callable[[RestStandIn], None], call: Callable[[Any], Any]
) -> None:
    with rest_stand_in() as server:
        model(server)

        def restart(client: Any) -> None:
            server.as_tensor_content = True

        with pytest.raises(ContractError, match=r"received zeros.*without that flag"):
            run(kind, server.address, [call, restart, call])
        assert not server.ended


def test_after_zeros_no_call_for_text_ends_the_server() -> None:
    with rest_stand_in() as server, Client(server.address, retries=1) as client:
        sigmoid(server)
        client.spec()
        server.as_tensor_content = True
        with pytest.raises(ContractError, match="received zeros"):
            client.scores(SCAN)
        with pytest.raises(ContractError, match="received zeros"):
            client.spec()
        assert not server.ended


def test_a_gateway_that_hides_metadata_does_not_hide_zeros() -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        sigmoid(server)
        original = server.answer
        server.answer = lambda verb, path, body: (  # type: ignore[method-assign]
            (403, {}, b"<html>no</html>")
            if path.endswith("/metadata")
            else original(verb, path, body)
        )
        assert client.scores(SCAN)["lesion"] == 0.75
        server.as_tensor_content = True
        with pytest.raises(ContractError, match="received zeros"):
            client.scores(SCAN)


def test_scores_that_are_really_zero_are_answers() -> None:
    """One call more settles it, as the scores of another volume are not zero."""
    with rest_stand_in() as server, Client(server.address) as client:
        regression(server)
        client.spec()
        values = [[[0.0]], [[12.5]]]
        server.outputs = lambda: {"scores": values.pop(0), "logits": [[0.0]]}
        assert client.scores(SCAN) == {"age": 0.0}
    assert values == []


def test_a_regression_may_answer_zero_once() -> None:
    """Of a volume of zeros, and something else of another."""
    values = [[[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.5]]]

    def outputs() -> Any:
        return {**every_class(), "scores": values.pop(0), "logits": [[0.0, 0.0]]}

    values.pop(0)
    with rest_stand_in() as server, Client(server.address) as client:
        server.metadata, server.outputs = VCAM, outputs
        assert client.spec().version == 1
    assert values == []


def test_an_answer_without_scores_is_not_one_of_zeros() -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        server.metadata, server.outputs = VCAM, lambda: {"logits": [[0.0, 0.0]]}
        with pytest.raises(ContractError, match=r"'scores'.*received logits"):
            client.spec()
        assert [verb for verb, _ in server.asked].count("POST") == 1


@KINDS
def test_metadata_without_a_spec_is_no_vcam_model_and_nothing_is_sent(kind: str) -> None:
    with rest_stand_in() as server:
        server.metadata = signatures("serving_default", "predict_images")
        with pytest.raises(ContractError, match=r"not a vcam model.*predict_images"):
            run(kind, server.address, [spec])
        assert "POST" not in [verb for verb, _ in server.asked]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"metadata": None},
        {"metadata": {"signature_def": []}},
        signatures("spec"),
        signatures("spec", "scores", shape=(-1, -1, 4, 1)),
        signatures("spec", "scores", shape=()),
    ],
    ids=["nothing", "null", "list", "no scores", "no sizes", "no shape"],
)
def test_where_metadata_says_nothing_the_spec_is_read(metadata: dict[str, Any]) -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        server.metadata = metadata
        assert client.spec().version == 1


def test_metadata_that_a_gateway_hides() -> None:
    with rest_stand_in() as server, Client(server.address) as client:
        original = server.answer
        server.answer = lambda verb, path, body: (  # type: ignore[method-assign]
            (403, {}, b"<html>no</html>")
            if path.endswith("/metadata")
            else original(verb, path, body)
        )
        assert client.spec().version == 1


def test_shapes_are_those_of_the_metadata() -> None:
    import json

    found = signatures_of(json.dumps(VCAM).encode())
    assert (found.shape, found.dtype) == ((1, 4, 6, 8, 1), np.int16)
    assert signatures_of(b"[" * 100_000).names == frozenset()
