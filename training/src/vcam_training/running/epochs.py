"""One epoch after the other of a training."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.cams._graph import flatten
from vcam_training.config import Config
from vcam_training.data.dataset import DataSet
from vcam_training.evaluation.epoch_figures import epoch_figures
from vcam_training.learning.history import Row
from vcam_training.learning.pipeline import plain_batches, steps_per_epoch, training_batches
from vcam_training.task import Task

Report = Callable[[str], None]
_REPORT_EVERY_S = 15.0
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Epochs:
    """What stays the same from epoch to epoch."""

    config: Config
    data: DataSet
    targets: NDArray[np.float32]
    val_targets: NDArray[np.float32]
    weights: NDArray[np.float32] | None

    @classmethod
    def of(cls, config: Config, data: DataSet) -> "Epochs":
        """Of a config on its data."""
        task, outputs = data.contract.task, config.outputs(data.contract)
        return cls(
            config=config,
            data=data,
            targets=task.targets(data.train.labels, outputs, data.train.known),
            val_targets=task.targets(data.validation.labels, outputs, data.validation.known),
            weights=config.loss.sample_weights(data.train.labels, len(data.labels)),
        )

    def train(self, model: keras.Model, epoch: int, report: Report) -> Row:
        """One pass over the training split, then over the validation split.

        Raises:
            ConfigError: a loss that is no number.
        """
        started = time.monotonic()
        config, data = self.config, self.data
        _seed_layers(model, config.seed, epoch)
        batches = training_batches(
            data.train,
            self.targets,
            self.weights,
            grid=data.grid,
            augmentation=config.augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            epoch=epoch,
        )
        steps = steps_per_epoch(data.train, config.batch_size)
        progress = _Progress(epoch + 1, steps, report)
        seen = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[progress]).history
        output = model.predict(plain_batches(data.validation, config.batch_size), verbose=0)
        checked = {"loss": float(model.loss(self.val_targets, output))}
        logits = np.concatenate([-output, output], axis=1) / 2 if _is_one(output, data) else output
        checked |= epoch_figures(
            data.contract.task, logits, data.validation.labels, data.validation.known
        )
        row = Row(
            epoch=epoch + 1,
            values={
                "loss": float(seen.pop("loss")[0]),
                **{name: float(values[0]) for name, values in seen.items()},
                **{f"val_{name}": value for name, value in checked.items()},
            },
            learning_rate=_last_rate(model.optimizer),
            seconds=round(time.monotonic() - started, 2),
        )
        _check_finite(row, config)
        return row


def _seed_layers(model: keras.Model, seed: int, epoch: int) -> None:
    """What layers such as dropout draw in an epoch depends on seed and epoch alone.

    Keras keeps the state of their generators in no file.
    """
    known = [getattr(step.operation, "seed_generator", None) for step in flatten(model).steps]
    for number, generator in enumerate(one for one in known if one is not None):
        (drawn,) = np.random.SeedSequence((seed, epoch, number)).generate_state(1)
        generator.state.assign([int(drawn) & _LARGEST_SEED, 0])


def _is_one(output: NDArray, data: DataSet) -> bool:
    return output.shape[1] == 1 and data.contract.task is Task.CLASSES


class _Progress(keras.callbacks.Callback):
    """Tells where an epoch is, now and then."""

    def __init__(self, epoch: int, steps: int, report: Report) -> None:
        super().__init__()
        self._epoch, self._steps, self._report = epoch, steps, report
        self._started = self._told = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """After each step."""
        now = time.monotonic()
        if now - self._told > _REPORT_EVERY_S:
            self._told = now
            left = (now - self._started) / (batch + 1) * (self._steps - batch - 1)
            self._report(
                f"epoch {self._epoch}, step {batch + 1}/{self._steps}  "
                f"loss {(logs or {})['loss']:.4f}  {clock(left)} left in this epoch"
            )


def _last_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the step that was made last."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = inner._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        steps = int(keras.ops.convert_to_numpy(inner.iterations))
        return float(rate(max(0, steps - 1)))
    return float(keras.ops.convert_to_numpy(inner.learning_rate))


def _check_finite(row: Row, config: Config) -> None:
    losses = [row.values["loss"], row.values["val_loss"]]
    if not np.isfinite(losses).all():
        raise ConfigError(
            f"Expected finite losses, epoch {row.epoch}'s training loss is {losses[0]} and its "
            f"validation loss is {losses[1]}. Set a smaller learning_rate than "
            f"{config.learning_rate:g} and another folder with --out."
        )


def in_short(row: Row) -> str:
    """A row of the history on one line."""
    trained = {k: v for k, v in row.values.items() if not k.startswith("val_")}
    checked = {k.removeprefix("val_"): v for k, v in row.values.items() if k not in trained}
    texts = ["  ".join(f"{k} {v:.4f}" for k, v in part.items()) for part in (trained, checked)]
    return f"{texts[0]}  validation {texts[1]}  {row.seconds:.0f} s"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
