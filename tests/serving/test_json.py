"""JSON tensors: values, types and the texts of what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

from vcam_serving._json_reply import predictions
from vcam_serving._json_request import Format, read_request
from vcam_serving._json_tensor import quote, read_tensor
from vcam_serving._status import StatusError
from vcam_serving._tensors import decode

FLOAT, INT16, STRING = types_pb2.DT_FLOAT, types_pb2.DT_INT16, types_pb2.DT_STRING
ONE = {"x": SimpleNamespace(dtype=FLOAT)}
TWO = {**ONE, "y": SimpleNamespace(dtype=INT16)}


def read(
    body: bytes, inputs: dict[str, SimpleNamespace] = ONE
) -> tuple[Format, dict[str, np.ndarray]]:
    request = predict_pb2.PredictRequest()
    form = read_request(body, request, lambda _: inputs)
    return form, {name: decode(proto) for name, proto in request.inputs.items()}


@pytest.mark.parametrize(
    ("value", "data_type", "expected"),
    [
        ([[1, 2.5], [3, -4]], FLOAT, np.float32([[1, 2.5], [3, -4]])),
        (7, FLOAT, np.float32(7)),
        ([], FLOAT, np.float32([])),
        ([float("inf"), float("-inf"), float("nan")], FLOAT, np.float32([np.inf, -np.inf, np.nan])),
        ([1, -2], INT16, np.int16([1, -2])),
        ([70000], INT16, np.int16([4464])),
        (["ä", {"b64": "YWI="}], STRING, np.array(["ä".encode(), b"ab"], object)),
        ([True, False], types_pb2.DT_BOOL, np.array([True, False])),
        ([2**40], types_pb2.DT_INT64, np.int64([2**40])),
    ],
    ids=str,
)
def test_values(value: object, data_type: int, expected: np.ndarray) -> None:
    received = read_tensor(value, data_type)
    assert received.dtype == expected.dtype
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize(
    ("value", "data_type", "text"),
    [
        ("a", FLOAT, 'JSON Value: "a" Type: String is not of expected type: float'),
        (True, FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        (None, FLOAT, "JSON Value: null Type: Null is not of expected type: float"),
        ([[1], ["b"]], FLOAT, 'JSON Value: "b" Type: String is not of expected type: float'),
        (1.5, INT16, "JSON Value: 1.5 Type: Number is not of expected type: int16"),
        ([1, 2**31], INT16, "JSON Value: 2147483648 Type: Number is not of expected type: int16"),
        (2**24, FLOAT, "Cannot convert JSON value: 16777216 to float without loss of precision."),
        ([1.5, 10**400], FLOAT, "Cannot convert JSON value: 1000"),
        ([1e39], FLOAT, "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        ([[1], 2], FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. "),
        ([1, [2]], FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([[1, 2], [3]], FLOAT, "Encountered list at unexpected size: 1 at level: 1 expected"),
        ({"b64": "%"}, STRING, "Unable to base64 decode"),
        ({"c64": "YQ=="}, STRING, "not formatted correctly for base64 data"),
    ],
    ids=str,
)
def test_refused_values(value: object, data_type: int, text: str) -> None:
    with pytest.raises(StatusError) as info:
        read_tensor(value, data_type)
    assert text in info.value.message


def test_rows_and_columns() -> None:
    form, arrays = read(b'{"instances": [{"x": [1, 2], "y": 3}, {"x": [4, 5], "y": 6}]}', TWO)
    assert form is Format.ROW
    np.testing.assert_array_equal(arrays["x"], np.float32([[1, 2], [4, 5]]))
    np.testing.assert_array_equal(arrays["y"], np.int16([3, 6]))
    form, arrays = read(b'{"inputs": [[NaN, -Infinity]]}')
    assert form is Format.COLUMN
    np.testing.assert_array_equal(arrays["x"], np.float32([[np.nan, -np.inf]]))


@pytest.mark.parametrize(
    ("body", "inputs", "text"),
    [
        (b"", ONE, "JSON Parse error: The document is empty"),
        (b"not json", ONE, "JSON Parse error: Invalid value. at offset: 1"),
        (b'{"a" 1}', ONE, "Missing a colon after a name of object member. at offset: 5"),
        (b"{} {}", ONE, "The document root must not be followed by other values. at offset: 3"),
        (b"[1]", ONE, "Is not object"),
        (b"{}", ONE, "Missing 'inputs' or 'instances' key"),
        (b'{"signature_name": 1}', ONE, "'signature_name' key must be a string value."),
        (b'{"inputs": [1]}', {}, "Failed to get input map for signature: DEFAULT"),
        (b'{"instances": {}}', ONE, "Excepting 'instances' to be an list/array"),
        (b'{"instances": [1]}', TWO, "instances is a plain list, but expecting list of objects"),
        (b'{"inputs": [1]}', TWO, "inputs is a plain value/list, but expecting an object"),
        (b'{"instances": [{"x": 1}, 2]}', ONE, "Expecting object but got list at item 1"),
        (b'{"instances": [1, {"x": 2}]}', ONE, "Expecting value/list but got object at item 1"),
        (
            b'{"instances": [{"z": 1}]}',
            ONE,
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        (b'{"instances": [[1, 2], [3]]}', ONE, "Expecting tensor size: 2 but got: 1"),
        (b'{"instances": [[1, 2], [[3], [4]]]}', ONE, "Expecting shape [2] but got: [2,1]"),
    ],
    ids=str,
)
def test_refused_requests(body: bytes, inputs: dict[str, SimpleNamespace], text: str) -> None:
    with pytest.raises(StatusError) as info:
        read(body, inputs)
    assert text in info.value.message


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(StatusError, match="JSON Parse error"):
        read(b'{"inputs": ' + b"[" * 100_000)


def test_numbers_without_end_are_refused() -> None:
    with pytest.raises(StatusError, match="JSON Parse error"):
        read(b'{"inputs": [' + b"9" * 5000 + b"]}")


def test_long_values_are_not_quoted_whole() -> None:
    assert len(quote(list(range(100_000)))) < 3000


def test_floats_print_short_and_read_back_exactly() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint32)
    values = np.concatenate([bits.view(np.float32), np.float32([0.2, 1e-45, 3.4028235e38, -0.0])])
    answer = predictions({"x": values}, Format.COLUMN)
    received = np.array(json.loads(answer)["outputs"]).astype(np.float32)
    np.testing.assert_array_equal(received, values)
    texts = json.loads(answer, parse_float=str)["outputs"]
    assert texts[5000] == "0.2"
    assert np.mean([len(text) for text in texts if isinstance(text, str)]) < 16


def test_rows_need_the_same_batch() -> None:
    outputs = {"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}
    with pytest.raises(StatusError, match="b has inconsistent batch size: 3 expecting: 2"):
        predictions(outputs, Format.ROW)
    with pytest.raises(StatusError, match="a has no shape information"):
        predictions({"a": np.zeros(())}, Format.ROW)


def test_names_ending_in_bytes_travel_as_base64() -> None:
    outputs = {"png_bytes": np.array([b"\xff"], object)}
    answer = json.loads(predictions(outputs, Format.ROW))
    assert answer == {"predictions": [{"b64": "/w=="}]}
