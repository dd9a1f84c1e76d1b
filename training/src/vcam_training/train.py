"""Trains one config, from top to bottom."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.confidence import first_confidences
from vcam_training.config import Config
from vcam_training.curves import draw_curves
from vcam_training.data.checks import check
from vcam_training.data.dataset import DataSet, Split
from vcam_training.data.loading import load_data
from vcam_training.data.montage import draw_first
from vcam_training.epoch_figures import epoch_figures
from vcam_training.evaluate import Evaluation, evaluate
from vcam_training.history import Row, best, waited
from vcam_training.inspecting.gallery import draw_gallery
from vcam_training.intensity import intensity_layer
from vcam_training.metric_text import in_words
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.pipeline import plain_batches, steps_per_epoch, training_batches
from vcam_training.precision import in_float32
from vcam_training.provenance import code_version, library_versions, machine
from vcam_training.receptive_field import cam_layer
from vcam_training.results.run_report import write_run_page, write_run_results
from vcam_training.run_folder import RunFolder, read_finished
from vcam_training.task import Task
from vcam_training.tracking import tracking
from vcam_training.transfer import freeze_backbone, start_from

DATA_FOLDER = Path("build/data")
"""Where data sets lie unless the caller says otherwise; runs share them."""
STRATEGIES = ("default", "mirrored")
_REPORT_EVERY_S = 15.0

Report = Callable[[str], None]


def run(
    config: Config,
    out: Path | str,
    *,
    data_folder: Path | str = DATA_FOLDER,
    strategy: str = "default",
    mlflow: Path | str | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Trains and evaluates; goes on where an interrupted run stopped.

    Args:
        config: the experiment.
        out: the run's folder, see `run_folder`. A finished run is left as it is.
        data_folder: where data sets are kept.
        strategy: "mirrored" to train on all GPUs at once.
        mlflow: folder of an MLflow store that is written as well.
        report: is told, line by line, what happens.

    Returns:
        The run's folder.

    Raises:
        ConfigError: the config, the data or the folder can't be used.
    """
    folder = RunFolder(out, config)
    if folder.finished:
        report(f"The run in {folder.path} is finished; nothing to do.")
        _report_figures(folder.path, report)
        return folder.path
    started = time.monotonic()

    report(f"Training on {device_text(strategy)}")
    keras.utils.set_random_seed(config.seed)
    data = load_data(config.data, data_folder, report, fold_text=config.fold, seed=config.seed)
    contract = data.contract
    config.check(contract)
    for warning in check(data):
        report(f"Warning: {warning}")
    steps = steps_per_epoch(data.train, config.batch_size)
    checkpoint = folder.last_checkpoint()
    with _scope(strategy):
        if checkpoint:
            model = keras.models.load_model(checkpoint)
        else:
            model = _build(config, data, steps, report)
    layer = cam_layer(model, config.model.target_layer)
    folder.begin(_facts(data))
    folder.write_json(
        "versions.json", {"code": code_version(), "machine": machine(), **library_versions()}
    )
    report(f"{model.name}: {model.count_params():,} parameters")
    folder.replace("gallery.png", lambda part: draw_gallery(part, data))
    if data.grid.ndim == 3:
        folder.replace("montage.png", lambda part: draw_first(part, data.validation, data.contract))
    report(
        f"Map on {layer.name}: {'×'.join(map(str, layer.cells))} cells; "
        f"{_ceiling(data.validation, layer)}"
    )

    history = folder.history()
    if history:
        report(f"Resuming after epoch {len(history)} of {config.epochs}")
    training = _Training.of(config, data)
    with tracking(folder.path, config, mlflow) as trackers:
        while len(history) < config.epochs and not _is_over(config, history):
            rate = config.schedule.after(config.learning_rate, waited(history, config.monitor))
            if rate is not None:
                model.optimizer.learning_rate = rate
            row = training.epoch(model, len(history), report)
            _check_finite(row, config)
            history = [*history, row]
            for tracker in trackers:
                tracker.epoch(row, model)
            folder.write_epoch(model, history)
            left = (config.epochs - row.epoch) * float(np.median([r.seconds for r in history]))
            report(f"epoch {row.epoch}/{config.epochs}  {_in_short(row)}, {_clock(left)} left")
    if _is_over(config, history):
        report(f"No better epoch for {config.patience}: stopped after {len(history)}")
    report(f"Keeping the network of epoch {best(history, config.monitor).epoch}")
    folder.replace(
        "curves.png", lambda part: draw_curves(part, history, config.monitor, config.name)
    )

    tested = "validation split" if data.is_tested_on_validation else "test split"
    report(f"Evaluating the best checkpoint on the {tested}")
    network = in_float32(keras.models.load_model(folder.best))
    evaluated = evaluate(network, layer, contract, data.validation, data.test)
    written = write_run_results(folder.path, config, data, network, layer, evaluated)
    kept = best(history, config.monitor).epoch
    write_run_page(
        folder.path,
        config,
        evaluated.evaluation,
        written,
        layer=layer.name,
        trained={
            "network": f"{model.name}, {model.count_params():,} parameters",
            "epochs": f"{len(history)}, kept the network of epoch {kept}",
        },
    )
    folder.write_json(
        "metrics.json",
        {
            **evaluated.evaluation.to_json_dict(),
            "confusions": written.confusions,
            "layer": layer.name,
            "parameters": model.count_params(),
            "epochs": len(history),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    _report_figures(folder.path, report)
    for line in first_confidences(data, evaluated):
        report(f"  {line}")
    report(f"Finished in {_clock(time.monotonic() - started)}: {folder.path}")
    return folder.path


def device_text(strategy: str = "default") -> str:
    """What training runs on, in words."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return "the processor (no GPU found)"
    if strategy == "mirrored":
        return f"{len(gpus)} GPUs, each with its share of a batch"
    more = f"; {len(gpus) - 1} more idle, --strategy mirrored uses all" if len(gpus) > 1 else ""
    return f"{gpus[0].name.removeprefix('/device:')}{more}"


def _scope(strategy: str) -> contextlib.AbstractContextManager:
    if strategy not in STRATEGIES:
        raise ConfigError(f"Expected a strategy out of {STRATEGIES}, received {strategy!r}.")
    if strategy == "mirrored":
        return tf.distribute.MirroredStrategy().scope()
    return contextlib.nullcontext()


def _build(config: Config, data: DataSet, steps: int, report: Report) -> keras.Model:
    """The untrained network with its optimizer and loss."""
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
        config.loss.build(contract.task, config.outputs(contract)),
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Training:
    """What stays the same from epoch to epoch."""

    config: Config
    data: DataSet
    targets: NDArray[np.float32]
    val_targets: NDArray[np.float32]
    weights: NDArray[np.float32] | None

    @classmethod
    def of(cls, config: Config, data: DataSet) -> "_Training":
        task, outputs = data.contract.task, config.outputs(data.contract)
        return cls(
            config=config,
            data=data,
            targets=task.targets(data.train.labels, outputs),
            val_targets=task.targets(data.validation.labels, outputs),
            weights=config.loss.sample_weights(data.train.labels, len(data.labels)),
        )

    def epoch(self, model: keras.Model, epoch: int, report: Report) -> Row:
        """One pass over the training split, then over the validation split."""
        started = time.monotonic()
        config, data = self.config, self.data
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
        checked |= epoch_figures(data.contract.task, logits, data.validation.labels)
        return Row(
            epoch=epoch + 1,
            values={
                "loss": float(seen.pop("loss")[0]),
                **{name: float(values[0]) for name, values in seen.items()},
                **{f"val_{name}": value for name, value in checked.items()},
            },
            learning_rate=_last_rate(model.optimizer),
            seconds=round(time.monotonic() - started, 2),
        )


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
                f"loss {(logs or {})['loss']:.4f}  {_clock(left)} left in this epoch"
            )


def _last_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the step that was made last."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = inner._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        steps = int(keras.ops.convert_to_numpy(inner.iterations))
        return float(rate(max(0, steps - 1)))
    return float(keras.ops.convert_to_numpy(inner.learning_rate))


def _is_over(config: Config, history: list[Row]) -> bool:
    """Whether validation has been no better for as long as the config has patience."""
    if not (config.patience and history) or len(history) >= config.epochs:
        return False
    return waited(history, config.monitor)[-1] >= config.patience


def _check_finite(row: Row, config: Config) -> None:
    losses = [row.values["loss"], row.values["val_loss"]]
    if not np.isfinite(losses).all():
        raise ConfigError(
            f"Expected finite losses, epoch {row.epoch}'s training loss is {losses[0]} and its "
            f"validation loss is {losses[1]}. Set a smaller learning_rate than "
            f"{config.learning_rate:g} and another folder with --out."
        )


def _facts(data: DataSet) -> dict[str, object]:
    sizes: dict[str, object] = {name: len(split) for name, split in data.splits.items()}
    if data.is_tested_on_validation:
        sizes["tested_on"] = "validation"
    contract = data.contract.to_json_dict()
    return {"name": data.name, "sha256": data.sha256, **sizes, "contract": contract}


def _ceiling(split: Split, layer: CamLayer) -> str:
    dice = [perfect_map_dice(mask, layer) for mask in split.masks if mask.any()]
    if not dice:
        return "the validation split shows no object on this grid"
    return f"a perfect map reaches a Dice of {min(dice):.2f} or more on the validation objects"


def _report_figures(run: Path, report: Report) -> None:
    evaluation = Evaluation.from_json_dict(read_finished(run, "metrics.json"))
    for metric in evaluation.metrics:
        report(f"  {in_words(metric)}")
    for note in evaluation.notes:
        report(f"  {note}")


def _in_short(row: Row) -> str:
    trained = {k: v for k, v in row.values.items() if not k.startswith("val_")}
    checked = {k.removeprefix("val_"): v for k, v in row.values.items() if k not in trained}
    texts = ["  ".join(f"{k} {v:.4f}" for k, v in part.items()) for part in (trained, checked)]
    return f"{texts[0]}  validation {texts[1]}  {row.seconds:.0f} s"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
