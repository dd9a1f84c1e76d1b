"""REST: paths, both formats, and the texts of what is refused."""

import base64
import json
import re
from typing import Any

import numpy as np
from served.calls import rest
from served.server import ServedModel

NO_VERSION = 99


def predict(address: str, model: ServedModel, body: Any, where: str = "") -> tuple[int, Any]:
    return rest(address, "POST", f"/v1/models/{model.name}{where}:predict", body)


def refusal(address: str, model: ServedModel, body: Any) -> str:
    """The text of a 400."""
    status, answer = predict(address, model, body)
    assert status == 400, answer
    assert list(answer) == ["error"]
    return answer["error"]


def test_status(rest_address: str, subject: ServedModel) -> None:
    for where in ("", f"/versions/{subject.version}"):
        status, answer = rest(rest_address, "GET", f"/v1/models/{subject.name}{where}")
        assert status == 200
        assert list(answer) == ["model_version_status"]
        assert answer["model_version_status"][0] == {
            "version": str(subject.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }


def test_metadata(rest_address: str, subject: ServedModel) -> None:
    status, answer = rest(rest_address, "GET", f"/v1/models/{subject.name}/metadata")
    assert status == 200
    assert answer["model_spec"]["name"] == subject.name
    assert answer["model_spec"]["version"] == str(subject.version)
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "gradcam", "__saved_model_init_op"} <= set(signatures)
    volume = signatures["serving_default"]["inputs"]["volume"]
    assert (
        volume["dtype"]
        == {"int16": "DT_INT16", "float32": "DT_FLOAT"}[subject.spec.intensity.dtype]
    )
    assert [dim["size"] for dim in volume["tensor_shape"]["dim"]] == [
        "-1",
        *map(str, subject.spec.grid.shape),
        "1",
    ]


def test_rows_of_a_single_input(rest_address: str, subject: ServedModel) -> None:
    volume = subject.volume(2)
    status, answer = predict(rest_address, subject, {"instances": volume.tolist()})
    assert status == 200, answer
    assert list(answer) == ["predictions"]
    assert len(answer["predictions"]) == 2
    for row in answer["predictions"]:
        assert sorted(row) == ["cam", "class_index", "heatmap", "scores"]
        assert np.shape(row["scores"]) == (subject.classes,)
        assert np.shape(row["heatmap"]) == subject.spec.grid.shape
        assert isinstance(row["class_index"], int)


def test_rows_of_named_inputs(rest_address: str, subject: ServedModel) -> None:
    rows = [{"volume": v.tolist(), "class_index": 0} for v in subject.volume(2)]
    status, answer = predict(
        rest_address, subject, {"signature_name": "gradcam", "instances": rows}
    )
    assert status == 200, answer
    assert [row["class_index"] for row in answer["predictions"]] == [0, 0]


def test_columns(rest_address: str, subject: ServedModel) -> None:
    body = {
        "signature_name": "gradcam",
        "inputs": {"volume": subject.volume(2).tolist(), "class_index": [0, 0]},
    }
    status, answer = predict(rest_address, subject, body, f"/versions/{subject.version}")
    assert status == 200, answer
    assert list(answer) == ["outputs"]
    assert answer["outputs"]["class_index"] == [0, 0]
    assert np.shape(answer["outputs"]["scores"]) == (2, subject.classes)


def test_a_single_output_stands_without_its_name(rest_address: str, subject: ServedModel) -> None:
    columns = {"signature_name": "spec", "inputs": {"key": ["model_spec"]}}
    rows = {"signature_name": "spec", "instances": ["model_spec"]}
    for body, key in ((columns, "outputs"), (rows, "predictions")):
        status, answer = predict(rest_address, subject, body)
        assert status == 200, answer
        [text] = answer[key]
        assert json.loads(text)["name"] == subject.spec.name


def test_strings_as_base64(rest_address: str, subject: ServedModel) -> None:
    key = {"b64": base64.b64encode(b"model_spec").decode()}
    for body in ({"inputs": {"key": [key]}}, {"inputs": [key]}, {"instances": [{"key": key}]}):
        status, answer = predict(rest_address, subject, {"signature_name": "spec", **body})
        assert status == 200, answer
        [text] = answer.get("outputs") or answer["predictions"]
        assert json.loads(text)["name"] == subject.spec.name


def test_unknown_input(rest_address: str, subject: ServedModel) -> None:
    body = {"inputs": {"vol": [1]}}
    text = refusal(rest_address, subject, body)
    assert text == "Missing named input: volume in 'inputs' object."


def test_no_instances(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, {"instances": []})
    assert re.fullmatch(r"(?s)JSON Value: \{.*\} No values in 'instances' array", text)


def test_an_element_without_the_input(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, {"instances": [{}]})
    assert text == (
        "Failed to process element: 0 of 'instances' list. JSON object: {} "
        "keys must be equal to: volume"
    )


def test_both_formats(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, {"instances": [1], "inputs": [1]})
    assert (
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        in text
    )


def test_no_json(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, b"{scan}")
    assert re.fullmatch(r"JSON Parse error: .+ at offset: 1", text)


def test_unknown_signature(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, {"signature_name": "nope", "inputs": [1]})
    assert text == 'Serving signature name: "nope" not found in signature def'


def test_a_signature_without_inputs(rest_address: str, subject: ServedModel) -> None:
    body = {"signature_name": "__saved_model_init_op", "inputs": {}}
    text = refusal(rest_address, subject, body)
    assert text == "Failed to get input map for signature: __saved_model_init_op"


def test_wrong_shape(rest_address: str, subject: ServedModel) -> None:
    text = refusal(rest_address, subject, {"inputs": [1, 2, 3, 4, 5]})
    assert re.search(r"Shape of tensor .* \[5\] is not compatible with expected shape", text)


def test_class_index_out_of_range(rest_address: str, subject: ServedModel) -> None:
    index = subject.classes
    body = {
        "signature_name": "gradcam",
        "inputs": {"volume": subject.volume().tolist(), "class_index": [index]},
    }
    assert f"indices = {index} is not in [0, {index})" in refusal(rest_address, subject, body)


def test_unknown_model_version_and_path(rest_address: str, subject: ServedModel) -> None:
    assert rest(rest_address, "GET", "/v1/models/nope") == (
        404,
        {"error": "Could not find any versions of model nope"},
    )
    where = f"/v1/models/{subject.name}/versions/{NO_VERSION}"
    assert rest(rest_address, "GET", where) == (
        404,
        {"error": f"Could not find version {NO_VERSION} of model {subject.name}"},
    )
    assert rest(rest_address, "GET", "/nope")[0] == 404


def test_a_label_that_names_nothing(rest_address: str, subject: ServedModel) -> None:
    where = f"/v1/models/{subject.name}"
    every = rest(rest_address, "GET", where)
    assert rest(rest_address, "GET", f"{where}/labels/nope") == every
    assert every[0] == 200
    status, answer = predict(rest_address, subject, {"inputs": [1]}, "/labels/nope")
    assert (status, list(answer)) == (400, ["error"])


def test_predict_of_an_unknown_model_or_version(rest_address: str, subject: ServedModel) -> None:
    status, answer = rest(rest_address, "POST", "/v1/models/nope:predict", {"inputs": [1]})
    assert status == 404
    assert "nope" in answer["error"]
    status, answer = predict(rest_address, subject, {"inputs": [1]}, f"/versions/{NO_VERSION}")
    assert status == 404
    assert str(NO_VERSION) in answer["error"]
