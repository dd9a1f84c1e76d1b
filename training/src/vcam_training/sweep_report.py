"""What a sweep found: a table, CSV, JSON and a figure."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from vcam_client.errors import ConfigError
from vcam_client.table_cells import CsvWriter
from vcam_client.writing import replace_file
from vcam_training.drawing import GREY, canvas, plain
from vcam_training.sweep import Done

_LOG_FROM = 8.0
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""
_DPI = 110
_SPREAD = 0.012
"""How far apart the seeds of one value are drawn, as a share of the axis."""


def write_figures(out: Path | str, runs: Sequence[Done]) -> None:
    """Writes sweep.csv, a row for each run, and sweep.json."""
    names = metric_names(runs)
    keys = list(runs[0].trial.values)
    rows: list[list[Any]] = [[*keys, "seed", "run", *(c for n in names for c in _columns(n))]]
    for run in runs:
        row = [*run.trial.values.values(), run.trial.seed, run.trial.folder]
        for name in names:
            metric = run.metric(name)
            row += ["", "", ""] if metric is None else [metric.value, metric.lower, metric.upper]
        rows.append(row)

    def write_csv(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as stream:
            CsvWriter(stream).writerows(rows)

    values = {
        "config": runs[0].trial.config.name,
        "runs": [
            {
                "settings": dict(run.trial.values),
                "seed": run.trial.seed,
                "run": run.trial.folder,
                "metrics": [asdict(metric) for metric in run.metrics],
            }
            for run in runs
        ],
        "means": [
            {"settings": dict(group[0].trial.values), "seeds": len(group), **_means(group, names)}
            for group in groups(runs)
        ],
    }
    replace_file(Path(out) / "sweep.csv", write_csv)
    text = json.dumps(values, indent=2) + "\n"
    replace_file(Path(out) / "sweep.json", lambda part: part.write_text(text, encoding="utf-8"))


def metric_names(runs: Sequence[Done]) -> list[str]:
    """The figures that any of the runs has, in the order of the first that has them."""
    return list(dict.fromkeys(metric.name for run in runs for metric in run.metrics))


def chosen_metrics(runs: Sequence[Done], wanted: Sequence[str]) -> list[str]:
    """The figures that are wanted, else the first one.

    Raises:
        ConfigError: no run has such a figure.
    """
    known = metric_names(runs)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"Expected --metric to be one of {', '.join(map(repr, known))}, received "
                f"{name!r}. Finished runs are kept: give the same command with another one."
            )
    return list(wanted) or known[:1]


def groups(runs: Sequence[Done]) -> list[list[Done]]:
    """Runs that differ in nothing but their seed, together."""
    found: dict[tuple[Any, ...], list[Done]] = {}
    for run in runs:
        found.setdefault(tuple(run.trial.values.values()), []).append(run)
    return list(found.values())


def table(runs: Sequence[Done], names: Sequence[str]) -> str:
    """Each combination with mean, lowest, highest and each seed's figure, for each figure."""
    parts = []
    for name in names:
        heads = [*runs[0].trial.values, "seeds", "mean", "lowest", "highest", "each"]
        rows = [heads]
        for group in groups(runs):
            values = _values(group, name)
            figures = [np.mean(values), min(values), max(values)] if values else []
            rows.append(
                [
                    *map(str, group[0].trial.values.values()),
                    str(len(values)),
                    *(f"{figure:.4f}" for figure in figures or [np.nan] * 3),
                    " ".join(f"{value:.4f}" for value in values),
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(row[:-1], widths[:-1], strict=True))
            + f"  {row[-1]}"
            for row in rows
        ]
        parts.append("\n".join([name, *lines]))
    return "\n\n".join(parts)


def draw_sweep(path: Path, runs: Sequence[Done], names: Sequence[str]) -> None:
    """A panel for each figure, as PNG.

    A dot for each run with the 95 % interval of its own figure, and the mean of the seeds;
    the band reaches from the lowest to the highest. Across is the first setting; each
    combination of the others has a colour.
    """
    figure = canvas(5.6 * len(names), 4.4, dpi=_DPI)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_metric(axes, runs, name)
    seeds = len({run.trial.seed for run in runs})
    counts = (
        f"{len(runs)} run{'s' * (len(runs) > 1)}",
        f"{seeds} seed{'s' * (seeds > 1)}",
    )
    figure.suptitle(f"{runs[0].trial.config.name}: {', '.join(counts)}")
    replace_file(path, lambda part: figure.savefig(part, format="png"))


def _draw_metric(axes: Axes, runs: Sequence[Done], name: str) -> None:
    key = next(iter(runs[0].trial.values), "")
    shown = [str(run.trial.values.get(key, "all")) for run in runs]
    kinds = {type(run.trial.values.get(key)) for run in runs}
    ticks = list(dict.fromkeys(shown))
    numeric = kinds <= {int, float}
    places = [float(text) if numeric else ticks.index(text) for text in ticks]
    logarithmic = numeric and min(places) > 0 and max(places) / min(places) >= _LOG_FROM
    place_of = {
        text: float(np.log(place)) if logarithmic else place
        for text, place in zip(ticks, places, strict=True)
    }
    reach = (max(place_of.values()) - min(place_of.values())) or 1.0
    series: dict[str, list[Done]] = {}
    for run in runs:
        others = {k: v for k, v in run.trial.values.items() if k != key}
        series.setdefault(", ".join(f"{k}={v}" for k, v in others.items()), []).append(run)
    for number, (label, members) in enumerate(series.items()):
        title = label or "mean of the seeds"
        _draw_series(axes, members, name, key, place_of, reach, f"C{number}", title, line=numeric)
    chance = [metric.chance for run in runs if (metric := run.metric(name)) is not None]
    if chance and all(one is not None for one in chance):
        axes.axhline(np.mean(chance), color=GREY, linestyle=":", label="by chance")
    if not numeric:
        axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.set_xticks([place_of[text] for text in ticks], ticks)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=key, ylabel=name)
    plain(axes)
    axes.legend(fontsize="small")


def _draw_series(
    axes: Axes,
    runs: Sequence[Done],
    name: str,
    key: str,
    place_of: dict[str, float],
    reach: float,
    colour: str,
    label: str,
    *,
    line: bool,
) -> None:
    together = [(group, _values(group, name)) for group in groups(runs)]
    together = [(group, values) for group, values in together if values]
    places = [place_of[str(group[0].trial.values.get(key, "all"))] for group, _ in together]
    means = [np.mean(values) for _, values in together]
    if line:
        axes.plot(places, means, color=colour, label=label)
        axes.fill_between(
            places,
            [min(values) for _, values in together],
            [max(values) for _, values in together],
            color=colour,
            alpha=0.12,
            linewidth=0,
        )
    else:
        axes.plot(places, means, "_", color=colour, label=label, markersize=20)
    for place, (group, _) in zip(places, together, strict=True):
        for number, run in enumerate(group):
            metric = run.metric(name)
            if metric is None:
                continue
            aside = (number - (len(group) - 1) / 2) * _SPREAD * reach
            ends = (metric.lower, metric.upper)
            low, high = (metric.value if end is None else end for end in ends)
            axes.errorbar(
                place + aside,
                metric.value,
                yerr=[[max(0.0, metric.value - low)], [max(0.0, high - metric.value)]],
                fmt="o",
                markersize=4,
                elinewidth=0.9,
                color=colour,
                alpha=0.75,
            )


def _values(group: Sequence[Done], name: str) -> list[float]:
    found = [run.metric(name) for run in group]
    return [metric.value for metric in found if metric is not None]


def _means(group: Sequence[Done], names: Sequence[str]) -> dict[str, Any]:
    """{name: mean, lowest, highest} of the figures that runs of a group have."""
    found = {name: _values(group, name) for name in names}
    return {
        "metrics": {
            name: {"mean": float(np.mean(values)), "lowest": min(values), "highest": max(values)}
            for name, values in found.items()
            if values
        }
    }


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}: lower", f"{name}: upper"
