"""Runs one PredictRequest on a servable, with TensorFlow Serving's checks and texts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from vcam_serving._status import StatusError, from_tensorflow, invalid_argument
from vcam_serving._tensors import decode, type_name, type_of
from vcam_serving.session import DEFAULT_SIGNATURE, Servable


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a signature returned.

    Attributes:
        signature: the signature that ran.
        outputs: {output name: array}, only those asked for.
    """

    signature: str
    outputs: Mapping[str, np.ndarray]


def predict(servable: Servable, request: predict_pb2.PredictRequest) -> Prediction:
    """Runs the request's signature; its model name and version are not looked at.

    Raises:
        StatusError: the request is refused, or the graph failed.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise StatusError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    inputs = _inputs(signature, request)
    outputs = _asked(signature, request.output_filter)
    _check_types(signature, inputs)
    try:
        return Prediction(signature=name, outputs=servable.run(name, inputs, outputs))
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error


def _inputs(signature: Any, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    expected, sent = set(signature.inputs), set(request.inputs)
    if len(sent) != len(expected):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{_join(sent)}}}) != len({{{_join(expected)}}}). "
            f"Sent extra: {{{_join(sent - expected)}}}. "
            f"Missing but required: {{{_join(expected - sent)}}}."
        )
    arrays = {}
    for alias in sorted(expected):
        if alias not in sent:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not "
                "found in request and no default value provided. Inputs expected to be in the "
                f"request {{{_join(sent)}}}, or default input alias set: "
            )
        try:
            arrays[alias] = decode(request.inputs[alias])
        except (ValueError, MemoryError) as error:
            raise invalid_argument(f"tensor parsing error: {alias}") from error
    return arrays


def _asked(signature: Any, output_filter: Iterable[str]) -> list[str]:
    asked: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_join(signature.outputs)}}}."
            )
        if alias in asked:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        asked.append(alias)
    return sorted(asked or signature.outputs)


def _check_types(signature: Any, inputs: Mapping[str, np.ndarray]) -> None:
    # The runtime numbers its arguments by feed name.
    by_feed = sorted(inputs, key=lambda alias: signature.inputs[alias].name)
    for index, alias in enumerate(by_feed):
        expected, received = signature.inputs[alias].dtype, type_of(inputs[alias])
        if expected != received:
            raise invalid_argument(
                f"Expects arg[{index}] to be {type_name(expected)} "
                f"but {type_name(received)} is provided"
            )


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
