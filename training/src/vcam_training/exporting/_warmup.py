"""Warm-up requests that TensorFlow Serving replays when it loads a version."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from vcam_client.errors import ServableError

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TensorFlow Serving looks, inside the version folder."""

MAX_RECORDS = 1000
"""TensorFlow Serving fails to load a version with more."""


def write_warmup(servable: Path, requests: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> None:
    """Writes (signature, inputs) pairs as warm-up requests of a version folder.

    Inputs that hold one value throughout are written as that value and a shape
    (TensorFlow fills the rest), which keeps the record of a volume small.

    Raises:
        ServableError: more records than TensorFlow Serving loads.
    """
    if len(requests) > MAX_RECORDS:
        raise ServableError(
            f"Expected at most {MAX_RECORDS} warm-up requests, received {len(requests)}. "
            "TensorFlow Serving would not load the model; write fewer."
        )
    path = servable / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(_tensor(np.asarray(value)))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def _tensor(value: np.ndarray) -> tensor_pb2.TensorProto:
    filled = value.dtype != object and value.size > 1 and np.all(value == value.flat[0])
    if not filled:
        return tf.make_tensor_proto(value)
    proto = tf.make_tensor_proto(value.flat[0], dtype=tf.as_dtype(value.dtype))
    proto.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return proto
