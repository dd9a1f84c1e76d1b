"""Scores that a model's activation can't give are refused, whichever way they come."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from client.calling import JSON, TRANSPORTS, run
from client.checking import bright, on_the_grid
from client.predictions import impulse, prediction, slices_spec
from client.rest_stand_in import rest_stand_in
from client.stand_in import SPEC, stand_in
from client.test_client import SCAN

from vcam_client import Client, ModelSpec, _wire
from vcam_client._calls import Answer
from vcam_client._steps import advance
from vcam_client._verifying import Plan, verify_prediction
from vcam_client.batch import find_scans, run_batch
from vcam_client.errors import ContractError
from vcam_client.scores import percentages, promised_scores
from vcam_client.spec import Activation, ExplainDefault, SliceAggregation

SIGMOID = dataclasses.replace(
    SPEC, activation=Activation.SIGMOID, explain_default=ExplainDefault.HIGHEST_FINDING
)
VALUES = dataclasses.replace(
    SPEC, activation=Activation.IDENTITY, explain_default=ExplainDefault.TARGET, unit="mL"
)
NO_SOFTMAX = [[0.2, 0.2], [2, 2], [1.3, -0.3], [0, 0], [0.5, 0.52], [1.01, 0], [1, 1]]
NO_SIGMOID = [[1.3, 0.5], [0.5, -0.01], [0.2, 1.001], [-2, 7]]
NOT_FINITE = [[float("nan"), 1.0], [float("inf"), 0.0]]

CALLS: dict[str, Callable[[Any], Any]] = {
    "predict": lambda client: client.predict(SCAN),
    "predict_all": lambda client: client.predict_all(SCAN),
    "one class": lambda client: client.predict(SCAN, target="lesion"),
    "scores": lambda client: client.scores(SCAN),
    "verify": lambda client: client.verify(SCAN, blocks=8),
}


def outputs(spec: ModelSpec, signature: str, samples: int, scores: list[float]) -> dict[str, Any]:
    """What a server with `spec` answers, every sample with the same scores."""
    cells, classes = spec.default_layer.cells, len(spec.labels)
    every = signature.endswith("_all")
    cam = np.zeros((samples, classes, *cells) if every else (samples, *cells), np.float32)
    cam[..., -1] = 1
    rows = np.array([scores] * samples, np.float32)
    found: dict[str, np.ndarray] = {"scores": rows}
    if signature == "scores":
        found["logits"] = np.zeros_like(rows)
    else:
        found["cam"] = cam
    if not every and signature != "scores":
        found["class_index"] = np.full(samples, classes - 1, np.int32)
    return found


def ask(
    transport: str,
    spec: ModelSpec,
    scores: list[float],
    call: Callable[[Any], Any],
    answering: ModelSpec | None = None,
) -> Any:
    """The result of one call to a server of `spec` that answers with `scores`.

    Args:
        answering: what the answers follow where they do not follow `spec`.
    """
    promised, spec = spec, answering or spec
    if "rest" not in transport:
        with stand_in() as server:
            server.spec_json = promised.to_json()
            server.predict = lambda request: outputs(
                spec,
                request.model_spec.signature_name,
                len(_wire.from_tensor(request.inputs["volume"], "volume")),
                scores,
            )
            return run(transport, server.address, [call], retries=1)[0]
    with rest_stand_in() as rest:
        rest.spec_json = promised.to_json()
        original = rest.answer

        def answer(verb: str, path: str, body: bytes) -> Any:
            asked = json.loads(body) if body else {}
            if verb == "GET" or asked["signature_name"] == "spec":
                return original(verb, path, body)
            samples = len(asked["inputs"]["volume"])
            found = outputs(spec, asked["signature_name"], samples, scores)
            plain = {name: value.tolist() for name, value in found.items()}
            return 200, JSON, json.dumps({"outputs": plain}).encode()

        rest.answer = answer  # type: ignore[method-assign]
        return run(transport, rest.address, [call], retries=1)[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_softmax_that_is_none_is_refused_on_every_path(transport: str, name: str) -> None:
    with pytest.raises(ContractError, match=r"from 0 to 1 that sum to 1.*received 0\.2, 0\.2"):
        ask(transport, SPEC, [0.2, 0.2], CALLS[name])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", CALLS)
def test_sound_scores_come_through_on_every_path(transport: str, name: str) -> None:
    found = ask(transport, SPEC, [0.25, 0.75], CALLS[name])
    if name == "scores":
        assert found == {"clear": 0.25, "lesion": 0.75}
    else:
        first = found[0] if isinstance(found, list) else getattr(found, "prediction", found)
        assert first.scores.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("scores", NO_SOFTMAX)
def test_scores_that_no_softmax_gives(scores: list[float]) -> None:
    with pytest.raises(ContractError, match="'scores' from 0 to 1 that sum to 1, as a softmax"):
        ask("grpc", SPEC, scores, CALLS["predict"])


@pytest.mark.parametrize("scores", NO_SIGMOID)
def test_scores_that_no_sigmoid_gives(scores: list[float]) -> None:
    with pytest.raises(ContractError, match="'scores' from 0 to 1, as a sigmoid"):
        ask("grpc", SIGMOID, scores, CALLS["predict"])


@pytest.mark.parametrize("spec", [SPEC, SIGMOID, VALUES], ids=["softmax", "sigmoid", "values"])
@pytest.mark.parametrize("scores", NOT_FINITE)
def test_scores_that_are_not_finite(spec: ModelSpec, scores: list[float]) -> None:
    with pytest.raises(ContractError, match="'scores' is not finite"):
        ask("grpc", spec, scores, CALLS["predict"])


@pytest.mark.parametrize("spec", [SPEC, SIGMOID, VALUES], ids=["softmax", "sigmoid", "values"])
@pytest.mark.parametrize("scores", [[1.0], [0.2, 0.3, 0.5]])
def test_scores_of_another_number_of_classes(spec: ModelSpec, scores: list[float]) -> None:
    with pytest.raises(ContractError, match=r"'scores' of shape \(1, 2\)"):
        ask("grpc", spec, scores, CALLS["predict"])


def test_findings_stand_alone_and_values_may_be_any() -> None:
    assert ask("grpc", SIGMOID, [0.9, 0.9], CALLS["scores"]) == pytest.approx(
        {"clear": 0.9, "lesion": 0.9}
    )
    assert ask("grpc", VALUES, [-250.0, 1e6], CALLS["scores"]) == {"clear": -250, "lesion": 1e6}


@pytest.mark.parametrize("aggregation", [SliceAggregation.MAX, SliceAggregation.MEAN])
@pytest.mark.parametrize("name", ["predict", "scores", "verify"])
def test_each_slice_of_a_stack_keeps_the_contract(aggregation: SliceAggregation, name: str) -> None:
    """Dividing the highest scores by their sum would hide that no slice's sum to 1."""
    top = dataclasses.replace(slices_spec(aggregation), explain_default=ExplainDefault.TOP_CLASS)
    with pytest.raises(ContractError, match=r"which sum to 0\.4"):
        ask("grpc", top, [0.2, 0.2], CALLS[name])


def test_hidden_scores_keep_the_contract() -> None:
    steps = verify_prediction(prediction(impulse(2, 3, 4), on_the_grid(bright())), Plan(blocks=8))
    call = advance(steps, None)
    samples = len(call.inputs["volume"])  # type: ignore[union-attr]
    rows = np.full((samples, 2), 0.5, np.float32)
    rows[samples - 1] = 0.2
    with pytest.raises(ContractError, match=r"which sum to 0\.4"):
        advance(steps, Answer(outputs={"scores": rows, "logits": rows}, version=3))


def test_a_folder_run_says_what_was_wrong_and_goes_on(tmp_path: Path) -> None:
    for n in range(3):
        data = np.full((16, 12, 8), 100 * n - 1000, np.int16)
        data[4:8] = 40
        nib.save(nib.Nifti1Image(data, np.diag([-2, -2, 3, 1.0])), tmp_path / f"{n}.nii.gz")
    with stand_in() as server, Client(server.address, retries=1) as client:

        def respond(request: Any) -> dict[str, np.ndarray]:
            volume = _wire.from_tensor(request.inputs["volume"], "volume")
            wrong = volume.min() < -950
            scores = [0.2, 0.2] if wrong else [0.25, 0.75]
            return outputs(SPEC, request.model_spec.signature_name, len(volume), scores)

        server.predict = respond
        summary = run_batch(client, find_scans([tmp_path]), tmp_path / "out")
    assert (summary.done, summary.failed) == (2, 1)
    log = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    (failed,) = [r for r in map(json.loads, log) if r["status"] == "failed"]
    assert failed["key"] == "0.nii.gz"
    assert failed["error"]["type"] == "ContractError"
    assert "which sum to 0.4" in failed["error"]["message"]
    assert not list((tmp_path / "out").glob("0_*"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_map_of_other_cells_is_refused(transport: str) -> None:
    layer = dataclasses.replace(SPEC.default_layer, cells=(2, 3, 5))
    other = dataclasses.replace(SPEC, cam_layers=(layer,))
    with pytest.raises(ContractError, match="'cam' of shape"):
        ask(transport, SPEC, [0.25, 0.75], CALLS["predict"], answering=other)


def rounded_to_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """The nearest numbers with so many significant bits."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)


@pytest.mark.parametrize(("bits", "name"), [(8, "bfloat16"), (11, "float16"), (24, "float32")])
@pytest.mark.parametrize("classes", [2, 14, 1000])
def test_rounding_to_a_narrow_format_is_no_breach(bits: int, name: str, classes: int) -> None:
    """Exponentials summed and divided in that format, as a server in it does."""
    rng = np.random.default_rng(bits)
    spec = dataclasses.replace(SPEC, labels=tuple(map(str, range(classes))))
    for _ in range(300):
        powers = rounded_to_bits(np.exp(rng.normal(0, 4, classes)), bits)
        total = rounded_to_bits(powers.sum(), bits)
        rows = rounded_to_bits(powers / total, bits)[None]
        assert promised_scores(rows, spec).shape == (1, classes), name


def test_a_hair_beyond_one_is_one() -> None:
    """Otherwise a percentage below 0 or above 100 would be shown."""
    rows = promised_scores(np.array([[-3e-7, 1 + 3e-7]]), SPEC)
    assert rows.tolist() == [[0, 1]]
    assert percentages(rows[0], exclusive=True) == [0, 100]
    assert promised_scores(np.array([[1 + 3e-7, 0.5]]), SIGMOID).tolist() == [[1, 0.5]]
