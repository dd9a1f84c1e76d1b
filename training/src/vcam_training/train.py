"""Trains one config, from top to bottom."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Metric
from vcam_training.batches import batches, steps_per_epoch
from vcam_training.config import Config
from vcam_training.curves import draw_curves, draw_reliability
from vcam_training.data.dataset import DataSet, Split
from vcam_training.evaluate import Evaluation, evaluate
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.provenance import code_version, library_versions
from vcam_training.receptive_field import cam_layer
from vcam_training.run_folder import Row, RunFolder, read_finished

DATA_FOLDER = Path("build/data")
"""Where data sets lie unless the caller says otherwise; runs share them."""
WARM_UP_EPOCHS = 0.5
"""The learning rate rises this long before it falls."""
_REPORT_EVERY_S = 15.0

Report = Callable[[str], None]


def run(
    config: Config,
    out: Path | str,
    *,
    data_folder: Path | str = DATA_FOLDER,
    report: Report = lambda line: None,
) -> Path:
    """Trains and evaluates; goes on where an interrupted run stopped.

    Args:
        config: the experiment.
        out: the run's folder, see `run_folder`. A finished run is left as it is.
        data_folder: where data sets are kept.
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

    keras.utils.set_random_seed(config.seed)
    data = config.data.load(Path(data_folder), report)
    steps = steps_per_epoch(config, data.train)
    checkpoint = folder.last_checkpoint()
    model = keras.models.load_model(checkpoint) if checkpoint else _build(config, steps)
    layer = cam_layer(model, config.model.target_layer)
    folder.begin(_facts(data))
    folder.write_json("versions.json", {"code": code_version(), **library_versions()})
    report(f"{model.name}: {model.count_params():,} parameters")
    report(
        f"Map on {layer.name}: {'×'.join(map(str, layer.cells))} cells; "
        f"{_ceiling(data.validation, layer)}"
    )

    history = folder.history()
    if history:
        report(f"Resuming after epoch {len(history)} of {config.epochs}")
    for epoch in range(len(history), config.epochs):
        row = _train_epoch(config, model, data, epoch, report)
        if not np.isfinite([row.loss, row.val_loss]).all():
            raise ConfigError(
                f"Expected finite losses, epoch {row.epoch}'s training loss is {row.loss} and its "
                f"validation loss is {row.val_loss}. Set a smaller learning_rate than "
                f"{config.learning_rate:g} and another folder with --out."
            )
        history = [*history, row]
        folder.write_epoch(model, history)
        left = (config.epochs - epoch - 1) * float(np.median([r.seconds for r in history]))
        report(
            f"epoch {row.epoch}/{config.epochs}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}"
            f"  validation loss {row.val_loss:.4f}  accuracy {row.val_accuracy:.4f}"
            f"  {row.seconds:.0f} s, {_clock(left)} left"
        )
    folder.replace("curves.png", lambda part: draw_curves(part, history, config.name))

    report("Evaluating the best checkpoint on the test split")
    best = keras.models.load_model(folder.best)
    evaluation = evaluate(best, layer, data.validation, data.test)
    calibration = evaluation.calibration
    folder.replace("reliability.png", lambda part: draw_reliability(part, calibration, config.name))
    folder.write_json(
        "metrics.json",
        {
            **evaluation.to_json_dict(),
            "layer": layer.name,
            "parameters": model.count_params(),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    _report_figures(folder.path, report)
    report(f"Finished in {_clock(time.monotonic() - started)}: {folder.path}")
    return folder.path


def _build(config: Config, steps: int) -> keras.Model:
    """The untrained network with its optimizer and loss."""
    window = config.data.intensity.window
    assert window is not None
    model = config.model.build(config.data.grid.shape, window, config.outputs)
    warm_up = round(WARM_UP_EPOCHS * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, config.epochs * steps - warm_up),
    )
    if config.outputs == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=[accuracy])
    return model


def _train_epoch(
    config: Config, model: keras.Model, data: DataSet, epoch: int, report: Report
) -> Row:
    """One pass over the training split, then over the validation split."""
    started = told = time.monotonic()
    steps = steps_per_epoch(config, data.train)
    losses, accuracies, sizes = [], [], []
    for step, (volumes, labels) in enumerate(batches(config, data.train, epoch), start=1):
        seen = model.train_on_batch(volumes, labels[:, None], return_dict=True)
        losses.append(float(seen["loss"]))
        accuracies.append(float(seen["accuracy"]))
        sizes.append(len(labels))
        now = time.monotonic()
        if now - told > _REPORT_EVERY_S:
            told = now
            left = (now - started) / step * (steps - step)
            report(
                f"epoch {epoch + 1}, step {step}/{steps}  loss {np.mean(losses):.4f}  "
                f"{_clock(left)} left in this epoch"
            )
    checked = model.evaluate(
        data.validation.volumes[..., None].astype(np.float32),
        data.validation.labels[:, None],
        batch_size=config.batch_size,
        verbose=0,
        return_dict=True,
    )
    return Row(
        epoch=epoch + 1,
        loss=float(np.average(losses, weights=sizes)),
        accuracy=float(np.average(accuracies, weights=sizes)),
        val_loss=float(checked["loss"]),
        val_accuracy=float(checked["accuracy"]),
        seconds=round(time.monotonic() - started, 2),
    )


def _facts(data: DataSet) -> dict[str, object]:
    sizes = {name: len(getattr(data, name)) for name in ("train", "validation", "test")}
    return {"name": data.name, "sha256": data.sha256, **sizes}


def _ceiling(split: Split, layer: CamLayer) -> str:
    dice = [perfect_map_dice(mask, layer) for mask in split.masks if mask.any()]
    if not dice:
        return "the validation split shows no object on this grid"
    return f"a perfect map reaches a Dice of {min(dice):.2f} or more on the validation objects"


def _report_figures(run: Path, report: Report) -> None:
    evaluation = Evaluation.from_json_dict(read_finished(run, "metrics.json"))
    for metric in evaluation.metrics:
        report(f"  {_in_words(metric)}")


def _in_words(metric: Metric) -> str:
    if metric.lower is None or metric.upper is None:
        return f"{metric.name}: {metric.value:.3f} of {metric.count}"
    words = (
        f"{metric.name}: {metric.value:.2%} on {metric.count} held out "
        f"(95 % interval {metric.lower:.2%} to {metric.upper:.2%})"
    )
    return words if metric.chance is None else f"{words}, by chance {metric.chance:.2%}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
