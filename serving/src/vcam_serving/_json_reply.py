"""Writes REST answers: TensorFlow Serving's JSON, row and column format."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2

from vcam_serving._json_request import Format
from vcam_serving._status import invalid_argument

# Strings of outputs with such a name are bytes, and travel as {"b64": …}.
_BYTES_SUFFIX = "_bytes"
# float32: almost always enough digits, and always enough.
_FEW_DIGITS, _ALL_DIGITS = 6, 9


def predictions(outputs: Mapping[str, np.ndarray], form: Format) -> bytes:
    """The answer of a predict request.

    Rows: {"predictions": [one element per item of the batch]}; columns:
    {"outputs": …}. A single output stands without its name.

    Raises:
        StatusError: row format, and the outputs differ in their batch.
    """
    lists = {name: _lists(name, array) for name, array in sorted(outputs.items())}
    if form is Format.COLUMN:
        whole: Any = lists if len(lists) > 1 else next(iter(lists.values()))
        return _dump({"outputs": whole})
    size = _batch_size(outputs)
    if len(lists) == 1:
        return _dump({"predictions": next(iter(lists.values()))})
    rows = [{name: values[index] for name, values in lists.items()} for index in range(size)]
    return _dump({"predictions": rows})


def message(proto: Message) -> bytes:
    """A message by its original field names, defaults printed."""
    return _pretty(_fields(proto))


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """GetModelMetadata: model_spec and signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _pretty(
        {
            "model_spec": _fields(response.model_spec),
            "metadata": {"signature_def": _fields(signatures)},
        }
    )


def error(text: str) -> bytes:
    """{"error": "…"}; what the text quotes of the request and is not UTF-8 becomes "?"."""
    return _pretty({"error": text.encode("utf-8", "replace").decode("utf-8")})


def _fields(proto: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(
        proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _batch_size(outputs: Mapping[str, np.ndarray]) -> int:
    size = None
    for name, array in sorted(outputs.items()):
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    return size or 0


def _lists(name: str, array: np.ndarray) -> Any:
    if array.dtype.hasobject:
        return _strings(array.tolist(), as_bytes=name.endswith(_BYTES_SUFFIX))
    if array.dtype in (np.float16, np.float32):
        return _short(array.astype(np.float32)).tolist()
    return array.tolist()


def _strings(value: Any, *, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_strings(item, as_bytes=as_bytes) for item in value]
    if as_bytes:
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8", "surrogateescape")


def _short(values: np.ndarray) -> np.ndarray:
    """float64 that print with as few digits as float32 needs: 0.2, not 0.20000000298023224."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        exact = values.astype(np.float64)
    short = exact.copy()
    usual = np.isfinite(exact) & (exact != 0)
    exponents = np.floor(np.log10(np.abs(exact, where=usual, out=np.ones_like(exact))))
    for digits in (_ALL_DIGITS, _FEW_DIGITS):
        shift = digits - 1 - exponents
        up, down = 10.0 ** np.maximum(shift, 0), 10.0 ** np.maximum(-shift, 0)
        with np.errstate(all="ignore"):
            rounded = np.rint(exact * up / down) / up * down
            same = usual & (rounded.astype(np.float32) == values)
        short[same] = rounded[same]
    return short


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode(
        "utf-8", "surrogateescape"
    )
