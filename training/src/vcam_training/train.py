"""Trains one config, from top to bottom."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from vcam_client.spec import CamLayer
from vcam_training.cams.perfect_map import perfect_map_dice
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.config import Config
from vcam_training.data.checks import check
from vcam_training.data.dataset import DataSet, Split
from vcam_training.data.loading import load_data
from vcam_training.data.scans.montage import draw_first
from vcam_training.evaluation.confidence import first_confidences
from vcam_training.evaluation.epoch_figures import check_monitor
from vcam_training.evaluation.evaluate import Evaluation, evaluate
from vcam_training.evaluation.metric_text import in_words
from vcam_training.inspecting.gallery import draw_gallery
from vcam_training.learning.history import Row, best, waited
from vcam_training.learning.pipeline import steps_per_epoch
from vcam_training.learning.precision import in_float32
from vcam_training.network_file import OF_A_RUN, load_network
from vcam_training.results.curves import draw_curves
from vcam_training.results.run_report import write_run_page, write_run_results
from vcam_training.run_folder import RunFolder, read_finished
from vcam_training.run_lock import locked
from vcam_training.running.building import build
from vcam_training.running.devices import device_text, scope
from vcam_training.running.epochs import Epochs, clock, in_short
from vcam_training.running.provenance import code_version, library_versions, machine
from vcam_training.running.tracking import check_tracking, tracking

DATA_FOLDER = Path("build/data")
"""Where data sets lie unless the caller says otherwise; runs share them."""

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
        ConfigError: the config, the data or the folder can't be used, or another process
            trains in it.
        OutputError: the folder can't be written.
    """
    folder = RunFolder(out, config)
    if not folder.finished:
        check_tracking(mlflow)
        with locked(folder.path, "trains", report):
            folder = RunFolder(out, config)  # as another process may have left it
            if not folder.finished:
                return _train(folder, config, data_folder, strategy, mlflow, report)
    report(f"The run in {folder.path} is finished; nothing to do.")
    _report_figures(folder.path, report)
    return folder.path


def _train(
    folder: RunFolder,
    config: Config,
    data_folder: Path | str,
    strategy: str,
    mlflow: Path | str | None,
    report: Report,
) -> Path:
    """Trains in a folder that is locked; arguments as for `run`."""
    started = time.monotonic()

    report(f"Training on {device_text(strategy)}")
    keras.utils.set_random_seed(config.seed)
    data = load_data(config.data, data_folder, report, fold_text=config.fold, seed=config.seed)
    contract = data.contract
    config.check(contract)
    check_monitor(contract.task, config.monitor)
    for warning in check(data):
        report(f"Warning: {warning}")
    steps = steps_per_epoch(data.train, config.batch_size)
    checkpoint = folder.last_checkpoint()
    with scope(strategy):
        model = _resumed(checkpoint) if checkpoint else build(config, data, steps, report)
    layer = cam_layer(model, config.model.target_layer)
    folder.begin(_facts(data, Path(data_folder)))
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
    epochs = Epochs.of(config, data)
    with tracking(folder.path, config, mlflow) as trackers:
        while len(history) < config.epochs and not _is_over(config, history):
            rate = config.schedule.after(config.learning_rate, waited(history, config.monitor))
            if rate is not None:
                model.optimizer.learning_rate = rate
            row = epochs.train(model, len(history), report)
            history = [*history, row]
            for tracker in trackers:
                tracker.epoch(row, model)
            folder.write_epoch(model, history)
            left = (config.epochs - row.epoch) * float(np.median([r.seconds for r in history]))
            report(f"epoch {row.epoch}/{config.epochs}  {in_short(row)}, {clock(left)} left")
    if _is_over(config, history):
        report(f"No better epoch for {config.patience}: stopped after {len(history)}")
    report(f"Keeping the network of epoch {best(history, config.monitor).epoch}")
    folder.replace(
        "curves.png", lambda part: draw_curves(part, history, config.monitor, config.name)
    )

    tested = "validation split" if data.is_tested_on_validation else "test split"
    report(f"Evaluating the best checkpoint on the {tested}")
    network = in_float32(load_network(folder.best, "the best network of the run", OF_A_RUN))
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
    report(f"Finished in {clock(time.monotonic() - started)}: {folder.path}")
    return folder.path


def _resumed(checkpoint: Path) -> keras.Model:
    """The network and the optimizer's state of a checkpoint.

    Raises:
        ConfigError: it can't be read.
    """
    return load_network(checkpoint, "the last epoch's network", OF_A_RUN, with_optimizer=True)


def _is_over(config: Config, history: list[Row]) -> bool:
    """Whether validation has been no better for as long as the config has patience."""
    if not (config.patience and history) or len(history) >= config.epochs:
        return False
    return waited(history, config.monitor)[-1] >= config.patience


def _facts(data: DataSet, place: Path) -> dict[str, object]:
    sizes: dict[str, object] = {name: len(split) for name, split in data.splits.items()}
    if data.is_tested_on_validation:
        sizes["tested_on"] = "validation"
    if place != DATA_FOLDER:
        sizes["read_from"] = place.name
    contract = data.contract.to_json_dict()
    return {"name": data.name, "sha256": data.sha256, **sizes, "contract": contract}


def _ceiling(split: Split, layer: CamLayer) -> str:
    of_findings = split.finding_masks.values()
    marked = [mask for masks in (split.masks, *of_findings) for mask in masks if mask.any()]
    dice = [perfect_map_dice(mask, layer) for mask in marked]
    if not dice:
        return "the validation split has no masks to compare with"
    return f"a perfect map reaches a Dice of {min(dice):.2f} or more on the validation objects"


def _report_figures(run: Path, report: Report) -> None:
    evaluation = Evaluation.from_json_dict(read_finished(run, "metrics.json"))
    for metric in evaluation.metrics:
        report(f"  {in_words(metric)}")
    for note in evaluation.notes:
        report(f"  {note}")
