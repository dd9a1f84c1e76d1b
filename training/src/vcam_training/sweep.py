"""Trains a config with several values of some settings and several seeds.

    KEY=VALUE,KEY=VALUE/seed=SEED/   a run each, see `run_folder`
    sweep.csv, sweep.json            the held-out figures of all runs, after each of them
    sweep.png                        the figures asked for, drawn

The same sweep into the same folder goes on: finished runs are kept, an interrupted one
resumes, and values and seeds can be added. The figures are of all finished runs below the
folder that differ in nothing but the same settings and the seed.
"""

import contextlib
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from vcam_client.errors import ConfigError
from vcam_client.spec import Metric
from vcam_training import train
from vcam_training.config import Config, override
from vcam_training.evaluation.evaluate import Evaluation
from vcam_training.run_folder import read_config, read_finished
from vcam_training.run_lock import locked

SEED_KEYS = ("seed", "data.seed")
"""Settings that a sweep's seeds set, the second where the data have one."""
_SEEDS = re.compile(r"(\d+)(?:-(\d+))?")

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A setting and the values that it takes.

    Attributes:
        key: as `--set` has it, such as "data.images".
        values: as `--set` has them; each once.
    """

    key: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ConfigError(
                f"Expected values of {self.key}, each once, received {list(self.values)}."
            )
        if self.key in SEED_KEYS:
            raise ConfigError(f"Expected seeds in --seeds, received {self.key} as a setting.")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep.

    Attributes:
        values: of the axes' settings, by key; numbers as such, else text.
        seed: of the run and, where they have one, of the data.
        config: of the run.
        folder: of the run, below the sweep's.
    """

    values: Mapping[str, Any]
    seed: int
    config: Config
    folder: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """A trial and its held-out figures."""

    trial: Trial
    metrics: tuple[Metric, ...]

    def metric(self, name: str) -> Metric | None:
        """The figure of that name; None where this run has none."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def axes_of(config: Config, texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes that some texts describe.

    Args:
        config: has the settings.
        texts: "KEY=VALUE,VALUE,…". A value of a setting that is a list itself keeps its
            commas: then each text has one value, and a key may come more than once.

    Raises:
        ConfigError: no such setting, or no values.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise ConfigError(f"Expected --over key=value,value, received {text!r}.")
        parts = [values] if _is_list(config, key) else values.split(",")
        found.setdefault(key, []).extend(part.strip() for part in parts)
    return tuple(Axis(key=key, values=tuple(values)) for key, values in found.items())


def seeds_of(text: str) -> tuple[int, ...]:
    """Seeds from "0-4", "0,3,7" or both.

    Raises:
        ConfigError: it is neither, or a seed comes twice.
    """
    found: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        found.extend(range(first, last + 1))
        if first > last:
            raise ConfigError(f"Expected seeds such as 0-4 or 0,3,7, received {text!r}.")
    if len(set(found)) != len(found):
        raise ConfigError(f"Expected each seed once, received {text!r}.")
    return tuple(found)


def trials(config: Config, axes: Sequence[Axis], seeds: Sequence[int]) -> tuple[Trial, ...]:
    """Every combination of values with every seed, seeds fastest.

    Raises:
        ConfigError: no such setting, or a value that does not fit.
    """
    return tuple(_trials(config, axes, seeds))


def sweep(
    config: Config,
    axes: Sequence[Axis],
    seeds: Sequence[int],
    out: Path | str,
    *,
    data_folder: Path | str = train.DATA_FOLDER,
    done: Callable[[Sequence[Done]], None] = lambda runs: None,
    report: Report = lambda line: None,
) -> tuple[Done, ...]:
    """Trains every combination, or takes the figures of those that are finished.

    Args:
        config: with whatever is the same in all runs.
        axes: what differs; without any, only seeds do.
        seeds: one run each for every combination.
        out: folder of the runs.
        data_folder: where data sets are kept.
        done: is given the runs that are finished, ascending, after each; first those that
            are there before anything is trained, if any.
        report: is told, line by line, what happens.

    Returns:
        The runs of every combination, and others of the same sweep that were in the folder.

    Raises:
        ConfigError: a setting, the data or a folder can't be used; nothing is trained
            unless all settings fit. Or another process sweeps there.
        OutputError: a folder can't be written.
    """
    planned = trials(config, axes, seeds)
    with locked(Path(out), "sweeps", report):
        return _sweep(config, axes, planned, Path(out), data_folder, done, report)


def _sweep(
    config: Config,
    axes: Sequence[Axis],
    planned: Sequence[Trial],
    out: Path,
    data_folder: Path | str,
    done: Callable[[Sequence[Done]], None],
    report: Report,
) -> tuple[Done, ...]:
    """Sweeps in a folder that is locked; arguments as for `sweep`."""
    finished = {one.trial.folder: one for one in _found(config, axes, planned, out)}
    more = len(finished.keys() - {trial.folder for trial in planned})
    if more:
        report(
            f"Other finished runs of this sweep in '{out}': {more}; they are in its table as well"
        )
    if finished:
        done(_ordered(finished.values()))
    for number, trial in enumerate(planned, start=1):
        report(f"{trial.folder}  (run {number} of {len(planned)})")
        folder = train.run(
            trial.config,
            out / trial.folder,
            data_folder=data_folder,
            report=lambda line: report(f"  {line}"),
        )
        keras.backend.clear_session()
        finished[trial.folder] = _done(trial, folder)
        done(_ordered(finished.values()))
    return _ordered(finished.values())


def _found(
    config: Config, axes: Sequence[Axis], planned: Sequence[Trial], out: Path
) -> Iterator[Done]:
    """The finished runs below a folder whose configs differ in nothing but axes and seeds."""
    wanted = {trial.folder for trial in planned}
    form = ",".join(f"{re.escape(axis.key)}=(.+)" for axis in axes) or re.escape(config.name)
    for file in sorted(out.glob("*/seed=*/metrics.json")):
        folder, seed = file.parent, file.parent.name.removeprefix("seed=")
        match = re.fullmatch(form, folder.parent.name)
        if not match or not seed.isdecimal():
            continue
        with contextlib.suppress(ConfigError):  # not a run of this sweep
            made = [
                Axis(key=axis.key, values=(text,))
                for axis, text in zip(axes, match.groups(), strict=True)
            ]
            (trial,) = trials(config, made, (int(seed),))
            again = trial.folder not in wanted and any(
                trial.config == one.config for one in planned
            )
            if not again and read_config(folder) == trial.config:
                yield _done(trial, folder)


def _done(trial: Trial, folder: Path) -> Done:
    figures = Evaluation.from_json_dict(read_finished(folder, "metrics.json"))
    return Done(trial=trial, metrics=figures.metrics)


def _ordered(runs: Iterable[Done]) -> tuple[Done, ...]:
    """Ascending by values that are numbers, else as they came, then by seed."""
    runs = tuple(runs)
    ranks = []
    for key in runs[0].trial.values:
        known = list(dict.fromkeys(run.trial.values[key] for run in runs))
        if all(isinstance(value, int | float) for value in known):
            known.sort()
        ranks.append((key, {value: rank for rank, value in enumerate(known)}))
    return tuple(
        sorted(
            runs,
            key=lambda run: (
                *(rank[run.trial.values[key]] for key, rank in ranks),
                run.trial.seed,
            ),
        )
    )


def _trials(config: Config, axes: Sequence[Axis], seeds: Sequence[int]) -> Iterator[Trial]:
    for chosen in itertools.product(*(axis.values for axis in axes)):
        settings = [f"{axis.key}={value}" for axis, value in zip(axes, chosen, strict=True)]
        changed = override(config, settings)
        seeded = SEED_KEYS if hasattr(changed.data, "seed") else SEED_KEYS[:1]
        values = {
            axis.key: _plain(_value(changed, axis.key), text)
            for axis, text in zip(axes, chosen, strict=True)
        }
        place = ",".join(settings).replace("/", "_") or config.name
        for seed in seeds:
            yield Trial(
                values=values,
                seed=seed,
                config=override(changed, [f"{key}={seed}" for key in seeded]),
                folder=f"{place}/seed={seed}",
            )


def _value(config: Config, key: str) -> Any:
    part: Any = config
    for name in key.split("."):
        part = getattr(part, name)
    return part


def _plain(value: Any, text: str) -> Any:
    """Numbers and words as they are, anything else as it was written."""
    return value if isinstance(value, int | float | str) else text


def _is_list(config: Config, key: str) -> bool:
    """Whether a setting is a list; not of one that there isn't, which `override` refuses."""
    *path, last = key.split(".")
    part: Any = config
    for name in path:
        part = getattr(part, name, None)
    hint = typing.get_type_hints(type(part)).get(last)
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return any(typing.get_origin(kind) is tuple for kind in kinds)
