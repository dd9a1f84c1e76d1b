"""All that a finished training leaves to be read in its folder."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from vcam_client.spec import CamLayer
from vcam_client.writing import replace_file
from vcam_training.config import Config
from vcam_training.data.dataset import DataSet
from vcam_training.evaluation.evaluate import Evaluated, Evaluation
from vcam_training.results.answers import Answers
from vcam_training.results.page import Told, page
from vcam_training.results.writing import Written, write_results

REPORT = "report.html"


def write_run_results(
    folder: Path,
    config: Config,
    data: DataSet,
    model: keras.Model,
    layer: CamLayer,
    evaluated: Evaluated,
) -> Written:
    """Writes the tables and pictures of a run's evaluation.

    Args:
        folder: of the run.
        config, data: of the run.
        model: its best network.
        layer: where its maps are read.
        evaluated: it on its splits.
    """
    evaluation = evaluated.evaluation
    splits = {"validation": data.validation, "test": data.test}
    if data.is_tested_on_validation:
        del splits["test"]
    answers = [
        Answers(
            name=name,
            contract=data.contract,
            split=split,
            logits=evaluated.logits[name],
            fitted=evaluation.calibration,
        )
        for name, split in splits.items()
    ]
    return write_results(
        folder,
        model,
        layer,
        evaluation.fixed,
        answers,
        evaluation.metrics,
        evaluation.calibration,
        config.name,
    )


def write_run_page(
    folder: Path,
    config: Config,
    evaluation: Evaluation,
    written: Written,
    *,
    layer: str,
    trained: Mapping[str, str],
) -> None:
    """Writes report.html.

    Args:
        folder: of the run, with its data.json and versions.json.
        config: of the run.
        evaluation: of its best network.
        written: what `write_run_results` wrote.
        layer: where maps are read.
        trained: what was trained, name by name: the network, its epochs.
    """
    facts, versions = (
        json.loads((folder / name).read_text()) for name in ("data.json", "versions.json")
    )
    told = Told(
        title=config.name,
        description=config.description,
        line=f"{datetime.now(UTC):%Y-%m-%d} · code {str(versions['code'])[:12]} · TensorFlow "
        f"{versions['tensorflow']}, Keras {versions['keras']}",
        subject="What was trained",
        trained=[*_data(facts), *trained.items(), *_settings(config)],
        config=config.to_json_dict(),
        versions={name: str(one) for name, one in versions.items()},
        next_steps=_next_steps(folder, config),
    )
    text = page(
        folder,
        told,
        evaluation.metrics,
        evaluation.notes,
        written,
        fixed=evaluation.fixed,
        levels=evaluation.levels,
        layer=layer,
    )
    replace_file(folder / REPORT, lambda part: part.write_text(text, encoding="utf-8"))


def _data(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    contract = facts["contract"]
    sizes = ", ".join(f"{facts[name]} {name}" for name in ("train", "validation", "test"))
    labels = ", ".join(contract["labels"])
    unit = f", {contract['unit']}" if contract["unit"] else ""
    grid = "×".join(map(str, contract["grid"]["shape"]))
    return [
        ("data", f"{facts['name']}: {sizes}"),
        ("hash of the data", facts["sha256"][:16]),
        (contract["task"].lower(), f"{labels}{unit}"),
        ("grid", grid),
    ]


def _settings(config: Config) -> list[tuple[str, str]]:
    """The settings that are not as they are by default."""
    parts = [
        ("loss", _changed(config.loss)),
        ("optimizer", _changed(config.optimizer)),
        ("learning rate", f"{config.learning_rate:g}; {_changed(config.schedule)}"),
        ("batch size", str(config.batch_size)),
        ("augmentation", _changed(config.augmentation)),
        ("seed", str(config.seed)),
    ]
    if config.start_from:
        parts.append(("started from", config.start_from))
    return parts


def _changed(part: Any) -> str:
    """What is set in a part of a config, "default" for nothing."""
    found = [
        f"{one.name} {_plain(getattr(part, one.name))}"
        for one in fields(part)
        if getattr(part, one.name) != one.default
    ]
    return ", ".join(found) or "default"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _next_steps(folder: Path, config: Config) -> list[tuple[str, str]]:
    models = f"build/models/{config.name}"
    return [
        (f"vcam-train export {folder} --to {models}", "Export the network with its maps:"),
        ("vcam-serve build/models", "Serve it:"),
        (f"vcam-client predict scan.nii.gz --model {config.name}", "Ask it:"),
        (f"vcam-train trust {models}", "Measure how far its maps can be trusted:"),
        (
            f"vcam-train evaluate {folder} --data FILE_OR_FOLDER",
            "Score it on data that was kept aside:",
        ),
    ]
