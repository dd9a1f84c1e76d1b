"""Follows a run for people who watch: TensorBoard always, MLflow where it is asked for.

Both are written offline. The history in history.csv stays the record: what a resumed run
trains again is written again, under the same step.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_training.config import Config
from vcam_training.inspecting.filters import filters_image, has_filters
from vcam_training.learning.history import Row

TENSORBOARD = "tensorboard"
"""Folder of the events in a run's folder; `tensorboard --logdir RUN/tensorboard` shows them."""
FILTERS = "filters of the first convolution"
"""Name of their picture."""
_PARAMETER_LENGTH = 500
"""Characters of a parameter's value that MLflow keeps."""


class Tracker(Protocol):
    """Is told each epoch of a run."""

    def epoch(self, row: Row, model: keras.Model) -> None:
        """An epoch ended; the network as it is after it."""


class TensorBoard:
    """Writes scalars of training and validation, over each other, and the first filters.

    Args:
        folder: of the events; made if need be.
    """

    def __init__(self, folder: Path | str) -> None:
        self._writers = {
            name: tf.summary.create_file_writer(str(Path(folder) / name))
            for name in ("training", "validation")
        }

    def epoch(self, row: Row, model: keras.Model) -> None:
        """Writes the row's values, and the filters as they are."""
        for name, value in {**row.values, "learning_rate": row.learning_rate}.items():
            part = "validation" if name.startswith("val_") else "training"
            with self._writers[part].as_default():
                tf.summary.scalar(name.removeprefix("val_"), value, step=row.epoch)
        if has_filters(model):
            with self._writers["training"].as_default():
                tf.summary.image(FILTERS, filters_image(model), row.epoch)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Ends the files."""
        for writer in self._writers.values():
            writer.close()


class MlFlow:
    """Writes parameters and metrics into a local folder of MLflow.

    Args:
        place: of the store, a folder on disk.
        run: folder of the run, whose name the MLflow run has.
        config: of the run.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(self, place: Path | str, run: Path, config: Config) -> None:
        check_tracking(place)
        import mlflow

        folder = Path(place).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self._mlflow: Any = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_experiment(config.name)
        mlflow.start_run(run_name=run.name)
        values = config.settings()
        mlflow.log_params({k: str(v)[:_PARAMETER_LENGTH] for k, v in values.items()})

    def epoch(self, row: Row, model: keras.Model) -> None:
        """Writes the row's values."""
        values = {**row.values, "learning_rate": row.learning_rate, "seconds": row.seconds}
        self._mlflow.log_metrics(dict(values), step=row.epoch)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()


def check_tracking(mlflow: Path | str | None) -> None:
    """Whether what is asked for can be written.

    Raises:
        ConfigError: MLflow is asked for and not installed.
    """
    if mlflow is not None and importlib.util.find_spec("mlflow") is None:
        raise ConfigError(
            "Expected the package mlflow for --mlflow, found none. Install mlflow, or "
            "leave --mlflow out: history.csv and TensorBoard's events are always written."
        )


@contextlib.contextmanager
def tracking(run: Path, config: Config, mlflow: Path | str | None) -> Iterator[list[Tracker]]:
    """The trackers of a run, closed at its end.

    Args:
        run: its folder.
        config: of the run.
        mlflow: a folder for MLflow's store; None for no MLflow.

    Raises:
        ConfigError: MLflow is asked for and not installed.
    """
    with contextlib.ExitStack() as stack:
        trackers: list[Tracker] = []
        if mlflow is not None:
            trackers.append(stack.enter_context(contextlib.closing(MlFlow(mlflow, run, config))))
        board = TensorBoard(run / TENSORBOARD)
        yield [*trackers, stack.enter_context(contextlib.closing(board))]
