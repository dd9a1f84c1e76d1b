"""A config's network with its loss and optimizer, before its first step."""

import contextlib
from collections.abc import Callable, Iterator

import keras

from vcam_training.config import Config
from vcam_training.data.dataset import DataSet
from vcam_training.intensity import intensity_layer
from vcam_training.running.transfer import freeze_backbone, start_from
from vcam_training.task import Task


def build(config: Config, data: DataSet, steps: int, report: Callable[[str], None]) -> keras.Model:
    """The compiled network, untrained or with the weights it is to start from.

    Args:
        config: the experiment.
        data: what it is trained on.
        steps: of an epoch.
        report: is told what is taken over and what is frozen.

    Raises:
        ConfigError: weights that can't be taken over, or settings that don't fit.
    """
    contract = data.contract
    scaling = intensity_layer(config.scaling, contract.intensity, contract.grid)
    with _precision(config.precision):
        model = config.model.build(contract.grid.shape, scaling, config.outputs(contract))
    if config.start_from:
        taken, layers = start_from(model, config.start_from)
        report(f"{taken} of {layers} layers start with the weights of {config.start_from}")
    if config.freeze:
        report(f"Backbone frozen: {freeze_backbone(model):,} parameters are trained")
    rate = config.schedule.by_step(config.learning_rate, config.epochs, steps)
    model.compile(
        config.optimizer.build(rate),
        config.loss.build(
            contract.task,
            config.outputs(contract),
            all_known=all(split.known is None for split in data.splits.values()),
        ),
        metrics=_metrics(contract.task, config.outputs(contract)),
    )
    return model


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _metrics(task: Task, outputs: int) -> list[keras.metrics.Metric]:
    """Figures that are gathered while an epoch is trained."""
    if task is Task.REGRESSION:
        return [keras.metrics.MeanAbsoluteError(name="mae")]
    if task is Task.FINDINGS:
        return []
    if outputs == 1:
        return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]
