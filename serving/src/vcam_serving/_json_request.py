"""Reads a REST predict request: TensorFlow Serving's JSON, row and column format."""

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from vcam_serving._json_tensor import is_base64, quote, read_tensor
from vcam_serving._status import StatusError, invalid_argument
from vcam_serving._tensors import encode

# Python's parser and TensorFlow Serving's name the same mistakes differently.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or a closing bracket after an element.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
}
_PARSE_ERROR = "JSON Parse error: "
_TOO_DEEP = "Values are nested too deeply."
_LITERALS = ("null", "true", "false")
# Half of a character that takes two: \ud83d without \ude00.
_MAY_BE_HALF = re.compile(r"\\u[dD][89a-fA-F]")

# {input name: TensorInfo}
Inputs = Mapping[str, Any]


class Format(Enum):
    """How a request lists its tensors, and the answer too; the value is the request's key."""

    ROW = "instances"
    COLUMN = "inputs"


def read_request(
    body: bytes, request: predict_pb2.PredictRequest, inputs_of: Callable[[str], Inputs]
) -> Format:
    """Fills signature name and inputs of the request.

    Args:
        body: the JSON document.
        request: its model_spec names model and version already.
        inputs_of: gives the inputs of a signature, by its name; "" is the default.

    Raises:
        StatusError: with TensorFlow Serving's text.
    """
    try:
        return _read(_parse(body), request, inputs_of)
    except RecursionError as error:
        raise invalid_argument(f"{_PARSE_ERROR}{_TOO_DEEP} at offset: 0") from error


def _read(
    document: dict[str, Any],
    request: predict_pb2.PredictRequest,
    inputs_of: Callable[[str], Inputs],
) -> Format:
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise _wrong(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    signature = signature.encode("utf-8", "replace").decode("utf-8")  # a message holds UTF-8 only
    request.model_spec.signature_name = signature
    inputs = inputs_of(signature)
    if not inputs:
        raise invalid_argument(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if Format.ROW.value in document:
        if Format.COLUMN.value in document:
            raise _wrong(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist ",
            )
        rows = document[Format.ROW.value]
        if not isinstance(rows, list):
            raise _wrong(document, "Excepting 'instances' to be an list/array")
        if not rows:
            raise _wrong(document, "No values in 'instances' array")
        arrays, form = _from_rows(rows, inputs), Format.ROW
    elif Format.COLUMN.value in document:
        arrays, form = _from_columns(document[Format.COLUMN.value], inputs), Format.COLUMN
    else:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(encode(array, as_content=True))
    return form


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        raise invalid_argument(f"{_PARSE_ERROR}The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    try:
        document = json.loads(text)
        if _MAY_BE_HALF.search(text):
            _check_characters(body)
    except json.JSONDecodeError as error:
        reason = _PARSE_ERRORS.get(error.msg, error.msg)
        raise invalid_argument(
            f"{_PARSE_ERROR}{reason} at offset: {_offset(text, error.pos)}"
        ) from error
    except UnicodeEncodeError as error:
        raise invalid_argument(
            f"{_PARSE_ERROR}The surrogate pair in string is invalid. at offset: 0"
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise invalid_argument(
            f"{_PARSE_ERROR}Number too big to be stored in double. at offset: 0"
        ) from error
    if not isinstance(document, dict):
        raise _wrong(document, "Is not object")
    return document


def _check_characters(body: bytes) -> None:
    """Raises UnicodeEncodeError where an escape names half a character."""
    document = json.loads(body.decode("utf-8", "replace"))
    json.dumps(document, ensure_ascii=False).encode("utf-8")


def _offset(text: str, position: int) -> int:
    """Bytes up to the mistake; TensorFlow Serving's parser reads into misspelt literals."""
    for literal in _LITERALS:
        if text.startswith(literal[0], position):
            position += 1
            for expected in literal[1:]:
                if not text.startswith(expected, position):
                    break
                position += 1
            break
    return len(text[:position].encode("utf-8", "surrogateescape"))


def _from_rows(rows: list[Any], inputs: Inputs) -> dict[str, np.ndarray]:
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_object(rows[0])
    elements: dict[str, list[np.ndarray]] = {}
    for index, row in enumerate(rows):
        if named != _is_object(row):
            expected = "object but got list" if named else "value/list but got object"
            raise invalid_argument(f"Expecting {expected} at item {index} of input list")
        where = f"Failed to process element: {index}"
        for name, value in (row if named else {next(iter(inputs)): row}).items():
            try:
                _add_element(name, value, inputs, elements)
            except StatusError as error:
                key = f" key: {name}" if named else ""
                raise invalid_argument(
                    f"{where}{key} of 'instances' list. Error: {error}"
                ) from error
        if named and set(row) != set(inputs):
            raise invalid_argument(
                f"{where} of 'instances' list. JSON object: {quote(row)} "
                f"keys must be equal to: {','.join(sorted(inputs))}"
            )
    return {name: np.stack(arrays) for name, arrays in elements.items()}


def _add_element(
    name: str, value: Any, inputs: Inputs, elements: dict[str, list[np.ndarray]]
) -> None:
    if name not in inputs:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    array = read_tensor(value, inputs[name].dtype)
    others = elements.setdefault(name, [])
    if others and others[0].size != array.size:
        raise invalid_argument(f"Expecting tensor size: {others[0].size} but got: {array.size}")
    if others and others[0].shape != array.shape:
        raise invalid_argument(
            f"Expecting shape {_brackets(others[0].shape)} but got: {_brackets(array.shape)}"
        )
    others.append(array)


def _from_columns(value: Any, inputs: Inputs) -> dict[str, np.ndarray]:
    if _is_object(value):
        arrays = {}
        for name, info in sorted(inputs.items()):
            if name not in value:
                raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
            arrays[name] = read_tensor(value[name], info.dtype)
        return arrays
    if len(inputs) > 1:
        raise invalid_argument(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    [(name, info)] = inputs.items()
    return {name: read_tensor(value, info.dtype)}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _brackets(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _wrong(value: Any, text: str) -> StatusError:
    return invalid_argument(f"JSON Value: {quote(value)} {text}")
