"""Warm-up requests are replayed at load, and can fail it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tensorflow as tf
from served.calls import request
from served.publishing import publish_with_warmup
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from vcam_serving._models import Models, State

if TYPE_CHECKING:
    from golden import Golden

KEY = {"key": np.array([b"model_spec"], object)}


def records(tmp_path: Path, logs: Iterable[prediction_log_pb2.PredictionLog]) -> bytes:
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return path.read_bytes()


def log_of(message: predict_pb2.PredictRequest) -> prediction_log_pb2.PredictionLog:
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=message)
    )


def load(golden: "dict[str, Golden]", tmp_path: Path, content: bytes) -> tuple[str, str]:
    """(state, error) of a version with these warm-up requests."""
    path = publish_with_warmup(golden["bright"].path, tmp_path / "model", content)
    models = Models()
    models.update("model", {1: path})
    [status] = models.statuses("model")
    models.close()
    return State.Name(status.state), str(status.error or "")


def test_good_requests_load(golden: "dict[str, Golden]", tmp_path: Path) -> None:
    logs = [log_of(request("anything", KEY, signature="spec"))] * 3
    assert load(golden, tmp_path, records(tmp_path, logs)) == ("AVAILABLE", "")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (request("m", KEY, signature="nope"), 'Serving signature key "nope" not found.'),
        (
            request("m", {"volume": np.zeros((1, 12, 16, 20, 1))}),
            "to be int16 but double is provided",
        ),
        (request("m", {"volume": np.zeros(5, np.int16)}), "is not compatible with expected shape"),
    ],
    ids=["signature", "dtype", "shape"],
)
def test_a_wrong_request_fails_the_load(
    golden: "dict[str, Golden]",
    tmp_path: Path,
    message: predict_pb2.PredictRequest,
    text: str,
) -> None:
    state, error = load(golden, tmp_path, records(tmp_path, [log_of(message)]))
    assert state == "END"
    assert text in error


def test_too_many_requests_fail_the_load(golden: "dict[str, Golden]", tmp_path: Path) -> None:
    logs = [log_of(request("m", KEY, signature="spec"))] * 1001
    state, error = load(golden, tmp_path, records(tmp_path, logs))
    assert state == "END"
    assert "Number of warmup records exceeds the maximum (1000)" in error


def test_no_tfrecord_fails_the_load(golden: "dict[str, Golden]", tmp_path: Path) -> None:
    state, error = load(golden, tmp_path, b"not a TFRecord, but long enough to be read as one")
    assert state == "END"
    assert error.startswith("DATA_LOSS")
    assert "verify your warmup data is in TFRecord format" in error


def test_another_kind_of_request_fails_the_load(
    golden: "dict[str, Golden]", tmp_path: Path
) -> None:
    log = prediction_log_pb2.PredictionLog(
        classify_log=prediction_log_pb2.ClassifyLog(
            request=classification_pb2.ClassificationRequest()
        )
    )
    state, error = load(golden, tmp_path, records(tmp_path, [log]))
    assert state == "END"
    assert "classify_log" in error
