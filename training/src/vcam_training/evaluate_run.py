"""Scores a finished run, or an exported version, on a split of its data or of others.

Nothing is fitted: temperature, thresholds and levels are those that training fixed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Metric, ModelSpec
from vcam_client.syncing import make_folder
from vcam_client.write_errors import refusing
from vcam_client.writing import replace_file
from vcam_serving.verify import SPEC_FILE
from vcam_training.cams.target_layer import target_layer
from vcam_training.config import Config, override
from vcam_training.data.agreement import check_contract, check_split
from vcam_training.data.dataset import Report, Split, SplitSource, sha256_of
from vcam_training.data.loading import load_data
from vcam_training.evaluation.calibration import Fitted
from vcam_training.evaluation.evaluate import ON_VALIDATION, Evaluation, Fixed, measure_split
from vcam_training.evaluation.evidence_levels import EvidenceLevels
from vcam_training.inspecting.subject import Subject, read_subject
from vcam_training.results.answers import Answers
from vcam_training.results.page import Told, page
from vcam_training.results.run_report import REPORT
from vcam_training.results.writing import write_json, write_results
from vcam_training.run_folder import is_run, read_finished
from vcam_training.task import Task
from vcam_training.train import DATA_FOLDER

OUT_FOLDER = Path("build/evaluation")
"""Where results lie unless the caller says otherwise, a folder each, see `default_folder`."""
_LONGEST = 150
"""Characters of a folder's name, from which on what was set is named by its hash."""
FIGURES_FILE = "metrics.json"
_SEEN = {
    "train": "The network was trained on these volumes: expect worse on others.",
    "validation": "Epoch, temperature and thresholds were chosen on these volumes: expect worse "
    "on others.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What a model reached.

    Attributes:
        metrics: figures with intervals.
        notes: what has no figure, and what to beware of.
        folder: where metrics.json, predictions.csv, report.html and the pictures are.
    """

    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class _Loaded:
    """A split, and where it comes from; `name` is of the data, `sha256` of the split."""

    split: Split
    split_name: str
    name: str
    sha256: str
    notes: tuple[str, ...]


def evaluate_run(
    place: Path | str,
    data: Path | str | None = None,
    *,
    settings: Iterable[str] = (),
    split: str = "test",
    out: Path | str | None = None,
    report: Report = lambda line: None,
) -> Scored:
    """Scores a model and writes its figures, its answers and a page.

    Args:
        place: the folder of a finished run, of an exported model's versions, of which the
            newest is taken, or of one.
        data: the folder in which data sets lie, or a file that the model's kind of data
            set can be read from; by default DATA_FOLDER.
        settings: changes of its data set, as "data.KEY=VALUE".
        split: "train", "validation" or "test".
        out: folder of the results; see `default_folder`.
        report: is told what happens.

    Raises:
        ConfigError: no finished run or version with a config, no such data or split, data
            of another contract, or a folder that can't be written.
    """
    if data is not None and not Path(data).exists():
        raise ConfigError(
            f"Expected the folder of the data sets, or a file that holds one, found nothing at "
            f"'{data}'. Check --data; without it, '{DATA_FOLDER}' is taken."
        )
    settings = tuple(settings)
    subject = read_subject(place)
    fixed, layer = _fixed(subject)
    folder = Path(out) if out else default_folder(subject, split, data, settings)
    config = _with_settings(subject, settings)
    _prepare(folder)
    loaded = _load(subject, config, Path(data or DATA_FOLDER), split, report)
    if not len(loaded.split):
        raise ConfigError(
            f"Expected volumes to score, found none in the {split} split of {loaded.name}. Choose "
            "another split or other data."
        )
    report(f"Scoring {len(loaded.split)} volumes of the {loaded.split_name} split")
    measured = measure_split(
        subject.model, layer, subject.contract, loaded.split, fixed, name=loaded.split_name
    )
    answers = Answers(
        name=loaded.split_name,
        contract=subject.contract,
        split=loaded.split,
        logits=measured.logits,
        fitted=fixed.fitted,
    )
    written = write_results(
        folder,
        subject.model,
        layer,
        fixed,
        [answers],
        measured.metrics,
        measured.calibration,
        subject.name,
    )
    notes = (*loaded.notes, *_notes(answers), *measured.notes)
    told = _told(subject, loaded)
    text = page(
        folder,
        told,
        measured.metrics,
        notes,
        written,
        fixed=fixed,
        levels={fixed.method: fixed.levels},
        layer=layer.name,
    )
    replace_file(folder / REPORT, lambda part: part.write_text(text, encoding="utf-8"))
    write_json(
        folder / FIGURES_FILE,
        {
            "model": subject.name,
            "place": str(subject.place),
            "data": loaded.name,
            "split": loaded.split_name,
            "sha256": loaded.sha256,
            "count": len(loaded.split),
            "layer": layer.name,
            "method": fixed.method,
            "metrics": [asdict(metric) for metric in measured.metrics],
            "calibration": measured.calibration and measured.calibration.to_json_dict(),
            "confusions": written.confusions,
            "notes": notes,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return Scored(metrics=measured.metrics, notes=notes, folder=folder)


def default_folder(
    subject: Subject, split: str, data: Path | str | None, settings: Sequence[str]
) -> Path:
    """Where an evaluation lies: what was scored, on what; other data, another folder.

    NAME-SPLIT in OUT_FOLDER, such as `solids-test` of a run's folder `solids`, or `solids-2-test`
    of version 2 of a model; the name of `data` and the settings, if any, follow:
    `solids-test-data.seed=1`.
    """
    place = subject.place.resolve()
    named = [] if data is None else [Path(data).resolve().stem]
    rest = [text.replace("/", "_").replace(" ", "") for text in (*named, *settings)]
    parts = [place.name if is_run(place) else f"{subject.name}-{place.name}", split, *rest]
    if len("-".join(parts)) > _LONGEST:
        digest = hashlib.sha256("\0".join(rest).encode()).hexdigest()
        parts = [*parts[:2], digest[:12]]
    return OUT_FOLDER / "-".join(parts)


def _fixed(subject: Subject) -> tuple[Fixed, CamLayer]:
    """What training fixed, and the layer that it was measured on."""
    if is_run(subject.place):
        figures = read_finished(subject.place, "metrics.json")
        layer = target_layer(subject.model, figures["layer"]).place
        return Evaluation.from_json_dict(figures).fixed, layer
    spec = ModelSpec.from_json((subject.place / SPEC_FILE).read_text(encoding="utf-8"))
    default = spec.default_explanation
    fitted = None
    if subject.contract.task is not Task.REGRESSION:
        fitted = Fitted(
            temperature=spec.calibration_temperature or 1.0,
            decision_threshold=spec.decision_threshold,
        )
    levels = EvidenceLevels(
        reference_maximum=default.reference_maximum,
        evidence_minimum=default.evidence_minimum,
        threshold=default.threshold,
    )
    return Fixed(fitted=fitted, method=default.method, levels=levels), spec.default_layer


def _notes(answers: Answers) -> list[str]:
    if answers.task is Task.FINDINGS and not np.isfinite(answers.limits).any():
        return [
            "Nothing is decided: thresholds of findings don't travel with an exported model. "
            "Score its run's folder for mistakes and confusion."
        ]
    return []


def _prepare(folder: Path) -> None:
    if is_run(folder):
        raise ConfigError(
            f"Expected a folder of its own for the results, '{folder}' is a run's. Name another "
            "with --out."
        )
    with refusing(folder):
        make_folder(folder)


def _with_settings(subject: Subject, settings: Sequence[str]) -> Config:
    if subject.config is None:
        raise ConfigError(
            f"Expected the config of its training in the model spec of '{subject.place}', found "
            "none. Export the run again with `vcam-train export`, or give the run's folder."
        )
    for setting in settings:
        if not setting.strip().startswith("data."):
            raise ConfigError(
                f"Expected settings of the data, as data.KEY=VALUE, received {setting!r}. The "
                "network is trained; only what it is scored on can be set."
            )
    return override(subject.config, settings)


def _load(subject: Subject, config: Config, place: Path, split: str, report: Report) -> _Loaded:
    source = config.data
    if isinstance(source, SplitSource):
        found = source.load_split(split, place, report)
        check_split(subject.contract, found, source.label_names(place))
        name = place.stem if place.is_file() else str(getattr(source, "file", place.name))
        return _Loaded(
            split=found,
            split_name=split,
            name=name,
            sha256=sha256_of(found),
            notes=() if split == "test" else (_SEEN[split],),
        )
    if place.is_file():
        raise ConfigError(
            f"Expected the folder in which the data set lies, received the file '{place}'. Give "
            "its folder with --data, and name files with --set data.KEY=VALUE."
        )
    data = load_data(source, place, report, fold_text=config.fold, seed=config.seed)
    check_contract(subject.contract, data.contract)
    notes = []
    own = data.sha256 == subject.data_sha256
    report(
        "These are the data of its training"
        if own
        else "These are not the data of its training; volumes of it may be among them"
    )
    if split == "test" and data.is_tested_on_validation:
        split, notes = "validation", [ON_VALIDATION]
    elif own and split in _SEEN:
        notes = [_SEEN[split]]
    return _Loaded(
        split=data.splits[split],
        split_name=split,
        name=data.name,
        sha256=sha256_of(data.splits[split]),
        notes=tuple(notes),
    )


def _told(subject: Subject, loaded: _Loaded) -> Told:
    sizes: Mapping[str, str] = {
        "model": f"{subject.name}, {subject.place}",
        "data": f"{loaded.name}, {len(loaded.split)} volumes of the {loaded.split_name} split",
        "hash of the split": loaded.sha256[:16],
        "labels": ", ".join(subject.contract.labels),
        "network": f"{subject.model.name}, {subject.model.count_params():,} parameters",
    }
    return Told(
        title=f"{subject.name} on {loaded.name}",
        description=subject.config.description if subject.config else "",
        line=f"{datetime.now(UTC):%Y-%m-%d} · nothing was fitted on these data",
        subject="What was scored",
        trained=list(sizes.items()),
        config={},
        versions={},
        next_steps=[],
    )
