"""Calls and answers as TensorFlow Serving's JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Call, Target, VersionStatus
from vcam_client.errors import ContractError

_KIND_OF = {"class_index": "i", "model_spec": "O"}
"""Kinds of outputs that are not floats: JSON does not say."""


def path_of(target: Target) -> str:
    """The path of a model, of one of its versions, or of a label."""
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    return f"{path}/labels/{quote(target.label, safe='')}" if target.label else path


def body_of(call: Call) -> bytes:
    """The body of a call, in columns."""
    inputs = b",".join(
        json.dumps(alias).encode() + b":" + b"".join(_pieces(value))
        for alias, value in call.inputs.items()
    )
    name = json.dumps(call.signature).encode()
    return b'{"signature_name":' + name + b',"inputs":{' + inputs + b"}}"


def outputs_of(text: bytes, call: Call, address: str) -> Mapping[str, NDArray[Any]]:
    """Outputs by alias; a single output comes without its name.

    Raises:
        ContractError: the text is no such answer.
    """
    answer = _parsed(text, address)
    if "outputs" not in answer:
        raise unreadable(address, f"JSON without 'outputs': {_start(text)}")
    outputs = answer["outputs"]
    if not (isinstance(outputs, dict) and outputs.keys() >= set(call.outputs)):
        if isinstance(outputs, dict) or len(call.outputs) != 1:
            # what is missing is said where the outputs are checked
            found = outputs if isinstance(outputs, dict) else {}
            return {a: _array(found[a], a, address) for a in call.outputs if a in found}
        outputs = {call.outputs[0]: outputs}
    return {alias: _array(outputs[alias], alias, address) for alias in call.outputs}


def statuses_of(text: bytes, address: str) -> list[VersionStatus]:
    """Versions, newest first.

    Raises:
        ContractError: the text is no such answer.
    """
    try:
        found = [
            VersionStatus(
                version=int(item["version"]),
                state=str(item["state"]),
                error=str(item.get("status", {}).get("error_message", "")),
            )
            for item in _parsed(text, address)["model_version_status"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(address, _start(text)) from error
    return sorted(found, key=lambda status: -status.version)


def version_of(text: bytes, address: str) -> int:
    """The version in an answer about a model's metadata.

    Raises:
        ContractError: the text is no such answer.
    """
    try:
        return int(_parsed(text, address)["model_spec"]["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(address, _start(text)) from error


def error_of(text: bytes) -> str | None:
    """TensorFlow Serving's text of an error; None where something else answered."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return str(content["error"]) if isinstance(content, dict) and "error" in content else None


def unreadable(address: str, received: str) -> ContractError:
    """The error for an answer that is none of TensorFlow Serving."""
    return ContractError(
        f"Expected an answer of TensorFlow Serving from {address}, received {received}. Does the "
        "address name its REST port (8501 by default)?"
    )


def _parsed(text: bytes, address: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(address, f"what is no JSON: {_start(text)}") from error
    if not isinstance(content, dict):
        raise unreadable(address, _start(text))
    return content


def _start(text: bytes) -> str:
    return repr(text[:60].decode("utf-8", "replace")) if text else "nothing"


def _pieces(value: NDArray[Any] | Sequence[bytes]) -> Iterator[bytes]:
    """JSON of an array, row by row: no piece takes so long that other threads wait."""
    if not isinstance(value, np.ndarray):
        yield json.dumps([text.decode() for text in value]).encode()
    elif value.ndim <= 1 or value.size == 0:
        yield json.dumps(value.tolist(), separators=(",", ":")).encode()
    elif value.size == len(value):
        # a row of single channels, without a list for each of them
        deep = value.ndim - 1
        row = json.dumps(value.ravel().tolist(), separators=(",", ":"))[1:-1]
        opened, closed = "[" * deep, "]" * deep
        yield f"[{opened}{row.replace(',', closed + ',' + opened)}{closed}]".encode()
    else:
        for index, part in enumerate(value):
            yield b"," if index else b"["
            yield from _pieces(part)
        yield b"]"


def _array(value: Any, alias: str, address: str) -> NDArray[Any]:
    """An array of the kind that the output has; where it can't be, as it came."""
    try:
        array = np.asarray(value)
        kind = _KIND_OF.get(alias, "f")
        if kind == "O" and array.dtype.kind == "U":
            strings = [text.encode() for text in array.ravel().tolist()]
            return np.array(strings, object).reshape(array.shape)
        if kind == "f" and array.dtype.kind in "if":
            with np.errstate(over="ignore"):
                return array.astype(np.float32)
    except (ValueError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise unreadable(address, f"{alias!r} that is no array") from error
    return array
