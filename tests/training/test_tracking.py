"""What TensorBoard and MLflow are told is what the history holds."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vcam_client.errors import ConfigError
from vcam_training.config import load
from vcam_training.inspecting.filters import filters_image
from vcam_training.learning.history import Row
from vcam_training.running.tracking import FILTERS, TENSORBOARD, tracking

CONFIG = load("solids", tiny=True)
ROWS = [
    Row(
        epoch=epoch,
        values={"loss": 1.5 / epoch, "val_loss": 2.5 / epoch, "val_auc": 0.5 + epoch / 10},
        learning_rate=0.25**epoch,
        seconds=3.0,
    )
    for epoch in (1, 2)
]
MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return [
        (e.step, pytest.approx(float(tf.make_ndarray(e.tensor_proto))))
        for e in events.Tensors(name)
    ]


def test_tensorboard_holds_each_epoch(tmp_path: Path) -> None:
    with tracking(tmp_path, CONFIG, None) as trackers:
        for row in ROWS:
            for tracker in trackers:
                tracker.epoch(row, MODEL)
    board = tmp_path / TENSORBOARD
    assert scalars(board / "training", "loss") == [(1, 1.5), (2, 0.75)]
    assert scalars(board / "validation", "loss") == [(1, 2.5), (2, 1.25)]
    assert scalars(board / "validation", "auc") == [(1, 0.6), (2, 0.7)]
    assert scalars(board / "training", "learning_rate") == [(1, 0.25), (2, 0.0625)]


def test_tensorboard_shows_the_filters_as_they_become(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5, 5, 1)), keras.layers.Conv2D(2, 3, name="first")])
    pictures = []
    with tracking(tmp_path, CONFIG, None) as trackers:
        for row in ROWS:
            model.get_layer("first").kernel.assign(np.full((3, 3, 1, 2), row.epoch - 1.5))
            pictures.append(filters_image(model)[0])
            for tracker in trackers:
                tracker.epoch(row, model)
    events = EventAccumulator(
        str(tmp_path / TENSORBOARD / "training"), size_guidance={"tensors": 0}
    )
    events.Reload()
    shown = [
        tf.image.decode_png(tf.make_ndarray(event.tensor_proto)[2]).numpy()
        for event in events.Tensors(FILTERS)
    ]
    np.testing.assert_array_equal(shown, pictures)
    assert (pictures[0] != pictures[1]).any()


def test_mlflow_that_is_not_installed_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with (
        pytest.raises(ConfigError, match="Install mlflow"),
        tracking(tmp_path, CONFIG, tmp_path / "store"),
    ):
        pass


@pytest.mark.filterwarnings("ignore")  # of MLflow's own
def test_mlflow_holds_parameters_and_each_epoch(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the optional package mlflow is not installed")
    run = tmp_path / "my-run"
    with tracking(run, CONFIG, tmp_path / "store") as trackers:
        for row in ROWS:
            for tracker in trackers:
                tracker.epoch(row, MODEL)
    (found,) = mlflow.search_runs(experiment_names=[CONFIG.name], output_format="list")
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.runName"] == "my-run"
    assert found.data.params["data.seed"] == "0"
    assert found.data.params["optimizer.name"] == "adam"
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "val_loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.5), (2, 1.25)]
