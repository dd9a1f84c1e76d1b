"""Replays the warm-up requests that travel with a model."""

from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from vcam_serving._predict import predict
from vcam_serving._status import StatusError, from_tensorflow, invalid_argument
from vcam_serving.session import Servable

WARMUP_REQUESTS = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000  # TensorFlow Serving's own limit


def replay(servable: Servable) -> int:
    """Runs every warm-up request once and returns their number; 0 without a file.

    Raises:
        StatusError: a request fails, there are too many, or the file is no TFRecord.
    """
    path = servable.path / WARMUP_REQUESTS
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            _run(servable, record)
            count += 1
            if count > MAX_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
    except tf.errors.DataLossError as error:
        raise StatusError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from error
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    return count


def _run(servable: Servable, record: bytes) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record: {record[:80]!r}") from error
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    predict(servable, log.predict_log.request)
