"""What a server computes is what the servable computes in a session of its own."""

from collections.abc import Mapping

import numpy as np
import pytest
from served.calls import Caller, arrays, request, rest
from served.server import ServedModel

from vcam_serving.verify import contract

TOLERANCE = 1e-5
DEFAULT_CLASS = -1


def inputs_of(model: ServedModel, signature: str, batch: int) -> dict[str, np.ndarray]:
    if signature == "spec":
        return {"key": np.array([b"model_spec"] * batch, object)}
    inputs = {"volume": model.volume(batch, seed=batch)}
    if "class_index" in model.offline.signatures[signature].inputs:
        indices = [DEFAULT_CLASS, *range(model.classes)]
        inputs["class_index"] = np.int32([indices[i % len(indices)] for i in range(batch)])
    return inputs


def assert_same(received: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert sorted(received) == sorted(expected)
    for name, values in expected.items():
        if values.dtype.kind != "f":
            np.testing.assert_array_equal(received[name], values, err_msg=name)
            continue
        scale = np.abs(values).max() if name == "cam" else 1.0
        np.testing.assert_allclose(
            received[name], values, rtol=0, atol=TOLERANCE * max(scale, 1e-6), err_msg=name
        )


def signatures_of(model: ServedModel) -> list[str]:
    """All but the model spec's."""
    return sorted(set(contract(model.spec)) - {"spec"})


@pytest.mark.parametrize("batch", [1, 3])
def test_over_grpc(caller: Caller, each_model: ServedModel, batch: int) -> None:
    assert len(signatures_of(each_model)) >= 4
    for signature in signatures_of(each_model):
        inputs = inputs_of(each_model, signature, batch)
        expected = each_model.offline.run(signature, inputs)
        response = caller.predict(request(each_model.name, inputs, signature=signature))
        assert response.model_spec.signature_name == signature
        assert_same(arrays(response), expected)


def test_every_signature_over_rest(rest_address: str, each_model: ServedModel) -> None:
    for signature in signatures_of(each_model):
        inputs = inputs_of(each_model, signature, batch=2)
        sent = {name: values.tolist() for name, values in inputs.items()}
        status, answer = rest(
            rest_address,
            "POST",
            f"/v1/models/{each_model.name}:predict",
            {"signature_name": signature, "inputs": sent},
        )
        assert status == 200, answer
        received = {name: np.array(values) for name, values in answer["outputs"].items()}
        assert_same(received, each_model.offline.run(signature, inputs))


@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("batch", [1, 3])
def test_over_rest(rest_address: str, each_model: ServedModel, batch: int, form: str) -> None:
    inputs = inputs_of(each_model, "gradcam", batch)
    expected = each_model.offline.run("gradcam", inputs)
    if form == "inputs":
        sent: object = {name: values.tolist() for name, values in inputs.items()}
    else:
        sent = [{name: values[i].tolist() for name, values in inputs.items()} for i in range(batch)]
    status, answer = rest(
        rest_address,
        "POST",
        f"/v1/models/{each_model.name}:predict",
        {"signature_name": "gradcam", form: sent},
    )
    assert status == 200, answer
    if form == "inputs":
        received = {name: np.array(values) for name, values in answer["outputs"].items()}
    else:
        rows = answer["predictions"]
        received = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    assert_same(received, expected)


def test_the_model_spec(caller: Caller, each_model: ServedModel) -> None:
    inputs = inputs_of(each_model, "spec", 1)
    response = caller.predict(request(each_model.name, inputs, signature="spec"))
    [text] = arrays(response)["model_spec"]
    assert type(each_model.spec).from_json(text) == each_model.spec
