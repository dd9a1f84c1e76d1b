"""A page with one row for each finished run, made from the runs' folders alone."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vcam_client.errors import ConfigError
from vcam_client.spec import Metric
from vcam_client.table_cells import markdown_cell, markdown_code
from vcam_client.writing import written_together
from vcam_training import config as configs
from vcam_training.config import Config
from vcam_training.learning.history import read_history
from vcam_training.run_folder import read_config, read_contract, read_finished
from vcam_training.task import Task

PICTURES = ("examples.png", "scatter.png", "curves.png")
"""What may stand for a run, the first that is there."""
HEADLINES = {
    Task.CLASSES: ("accuracy", "AUC", "mean Dice", "pointing, inside"),
    Task.FINDINGS: ("mean AUC", "mean Dice", "pointing, inside"),
    Task.REGRESSION: ("MSE", "R²"),
}
"""Beginnings of the names of the figures that a row shows."""
_MANY_FIGURES = 6


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A finished run, as the page shows it.

    Attributes:
        run: its folder.
        name: of its config.
        description: of its config.
        command: that repeats it.
        seconds: of its epochs, each as long as their median.
        epochs: that were trained.
        machine: what it ran on.
        figures: the headline figures.
        picture: a PNG file of the run; None if it has none.
    """

    run: Path
    name: str
    description: str
    command: str
    seconds: float
    epochs: int
    machine: str
    figures: tuple[Metric, ...]
    picture: Path | None


def read_experiment(run: Path | str) -> Experiment:
    """What a run's folder says.

    Raises:
        ConfigError: it is no finished run.
    """
    run = Path(run)
    config, task = read_config(run), read_contract(run).task
    figures = read_finished(run, "metrics.json")
    versions = read_finished(run, "versions.json")
    history = read_history(run / "history.csv")
    metrics = [Metric(**metric) for metric in figures["metrics"]]
    shown = [m for m in metrics if m.name.startswith(HEADLINES[task])][:_MANY_FIGURES]
    return Experiment(
        run=run,
        name=config.name,
        description=config.description,
        command=command(config) + _given(read_finished(run, "data.json")),
        seconds=len(history) * statistics.median(row.seconds for row in history),
        epochs=len(history),
        machine=versions.get("machine", ""),
        figures=tuple(shown),
        picture=next((run / name for name in PICTURES if (run / name).exists()), None),
    )


def command(config: Config) -> str:
    """The command that trains a config: its name, and what differs from the named one.

    Or from the tiny one of that name, where less differs from it.
    """
    if config.name not in configs.names():
        return f"vcam-train run {config.name}.py"
    full = _changes(configs.load(config.name), config)
    tiny = ["--tiny", *_changes(configs.load(config.name, tiny=True), config)]
    return " ".join(["vcam-train run", config.name, *min(full, tiny, key=len)])


def _changes(base: Config, config: Config) -> list[str]:
    """The options that make one config of another."""
    parts = {part: type(getattr(config, part)) for part in configs.KINDS}
    other = {part: kind for part, kind in parts.items() if type(getattr(base, part)) is not kind}
    base = replace(base, **{part: kind() for part, kind in other.items()})
    known, wanted = base.settings(), config.settings()
    chosen = [f"--set {part}={wanted[f'{part}.kind']}" for part in other]
    return chosen + [f"--set {k}={_text(wanted[k])}" for k in wanted if known[k] != wanted[k]]


def _given(facts: dict[str, Any]) -> str:
    return f" --data {facts['read_from']}" if "read_from" in facts else ""


def write_page(runs: Iterable[Path | str], page: Path | str) -> None:
    """Writes the page, and its pictures into a folder beside it that has its name.

    Args:
        runs: folders of finished runs, in their order on the page.
        page: a Markdown file.

    Raises:
        ConfigError: a run is not finished, or two are of the same command.
        OutputError: the page can't be written.
    """
    page = Path(page)
    experiments = [read_experiment(run) for run in runs]
    commands = [one.command for one in experiments]
    twice = {one for one in commands if commands.count(one) > 1}
    if twice:
        raise ConfigError(
            f"Expected runs of different commands, received several of {', '.join(sorted(twice))}. "
            "Name each experiment once."
        )
    folder = page.with_suffix("")
    pictures = []
    with written_together() as files:
        for number, one in enumerate(experiments, start=1):
            place = None
            if one.picture is not None:
                place = folder / f"{number:02d}-{one.name}.png"
                files.add(place, one.picture.read_bytes())
            pictures.append(place and place.relative_to(page.parent))
        files.add(page, page_text(experiments, pictures).encode())


def page_text(experiments: Sequence[Experiment], pictures: Sequence[Path | None]) -> str:
    """The page, Markdown."""
    machines = sorted({one.machine for one in experiments if one.machine})
    head = (
        "# Experiments, as they were measured\n\n"
        "Made by `vcam-train page` from the folders of these runs; nothing is typed by hand. "
        "Figures are of the split that they name, with 95 % intervals; the time is the number of "
        "epochs times their median, an upper bound where other work shared the machine"
        + (f", on {markdown_cell('; '.join(machines))}" if machines else "")
        + ".\n"
    )
    rows = [
        "| experiment | command | time | result | picture |",
        "|---|---|---|---|---|",
        *(_row(one, picture) for one, picture in zip(experiments, pictures, strict=True)),
    ]
    return head + "\n" + "\n".join(rows) + "\n"


def _row(one: Experiment, picture: Path | None) -> str:
    seen = _picture(picture, one.name) if picture else ""
    minutes, seconds = divmod(round(one.seconds), 60)
    time = f"{minutes} min {seconds} s, {one.epochs} epoch{'s' * (one.epochs > 1)}"
    figures = "<br>".join(_figure(metric) for metric in one.figures)
    named = f"**{markdown_cell(one.name)}**: {markdown_cell(one.description)}"
    cells = [named, markdown_code(one.command), time, figures, seen]
    return f"| {' | '.join(cells)} |"


def _picture(place: Path, name: str) -> str:
    """HTML, within a cell of Markdown."""
    source, text = (
        escape(one).replace("|", "&#124;").replace("`", "&#96;")
        for one in (quote(place.as_posix()), " ".join(name.split()))
    )
    return f'<img src="{source}" width="360" alt="{text}">'


def _figure(metric: Metric) -> str:
    text = f"{markdown_cell(metric.name)} {_number(metric.value)}"
    if metric.lower is not None and metric.upper is not None:
        text += f" ({_number(metric.lower)} to {_number(metric.upper)})"
    if metric.chance is not None:
        text += f", by chance {_number(metric.chance)}"
    return f"{text}, {markdown_cell(metric.split)} n = {metric.count}"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(_text(one) for one in value)
    return str(value)
