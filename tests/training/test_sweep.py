"""Sweeps: which runs there are, what is kept, and what is written of them."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_client.spec import Metric
from vcam_training import train
from vcam_training.config import Config, load, override
from vcam_training.evaluation.evaluate import Evaluation
from vcam_training.sweep import Axis, Done, axes_of, seeds_of, sweep, trials
from vcam_training.sweep_report import chosen_metrics, draw_sweep, table, write_figures


@pytest.fixture(scope="module")
def discs() -> Config:
    return load("discs", tiny=True)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", (0,)), ("0-4", (0, 1, 2, 3, 4)), ("0,3,7", (0, 3, 7)), ("5-6, 1", (5, 6, 1))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4-2", "0--1", "1,"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds such as 0-4 or 0,3,7"):
        seeds_of(text)


def test_each_seed_once() -> None:
    with pytest.raises(ConfigError, match="each seed once"):
        seeds_of("0-3,2")


def test_values_are_separated_by_commas_unless_the_setting_is_a_list(discs: Config) -> None:
    axes = axes_of(
        discs,
        ["data.images=10,20", "model.filters=2,3", "model.filters=4,8", "data.noise=0.1,0.9"],
    )
    assert axes == (
        Axis(key="data.images", values=("10", "20")),
        Axis(key="model.filters", values=("2,3", "4,8")),
        Axis(key="data.noise", values=("0.1,0.9",)),
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["data.images"], "Expected --over key=value,value"),
        (["data.images="], "Expected --over key=value,value"),
        (["data.images=10,10"], "each once"),
        (["seed=0,1"], "Expected seeds in --seeds"),
        (["data.seed=0,1"], "Expected seeds in --seeds"),
    ],
)
def test_axes_that_can_not_be(discs: Config, texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        axes_of(discs, texts)


def test_every_combination_is_a_run_with_both_seeds(discs: Config) -> None:
    planned = trials(discs, axes_of(discs, ["data.images=8,16", "epochs=1,2"]), (0, 3))
    assert [(*t.values.values(), t.seed) for t in planned] == [
        (8, 1, 0),
        (8, 1, 3),
        (8, 2, 0),
        (8, 2, 3),
        (16, 1, 0),
        (16, 1, 3),
        (16, 2, 0),
        (16, 2, 3),
    ]
    last = planned[-1]
    assert (last.config.data.images, last.config.epochs) == (16, 2)
    assert (last.config.seed, last.config.data.seed) == (3, 3)
    assert last.folder == "data.images=16,epochs=2/seed=3"
    assert len({t.folder for t in planned}) == 8
    assert trials(discs, (), (1,))[0].folder == "discs/seed=1"


def test_a_setting_that_is_not_there_is_refused_before_anything_is_trained(
    discs: Config, tmp_path: Path
) -> None:
    axes = axes_of(discs, ["data.images=16,3"])
    with pytest.raises(ConfigError, match="at least 6 images"):
        sweep(discs, axes, (0,), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"no setting 'data\.imgs'"):
        sweep(discs, axes_of(discs, ["data.imgs=1"]), (0,), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def accuracy(images: int, seed: int) -> float:
    return 0.5 + images / 50 + seed / 100


@pytest.fixture(scope="module")
def figures() -> Iterator[None]:
    """Runs leave known figures behind instead of training."""

    def run(config: Config, out: Path, **_: object) -> Path:
        out.mkdir(parents=True, exist_ok=True)
        value = accuracy(config.data.images, config.seed)
        metrics = [
            Metric(name="accuracy", value=value, lower=value - 0.1, upper=0.99, count=15),
            Metric(name="Dice", value=0.5, count=7),
        ]
        if config.data.images == 8:
            metrics = metrics[:1]
        values = {"metrics": [asdict(metric) for metric in metrics]}
        (out / "config.json").write_text(json.dumps(config.to_json_dict()))
        (out / "metrics.json").write_text(json.dumps(values))
        return out

    def evaluation(values: dict) -> Evaluation:
        metrics = tuple(Metric(**metric) for metric in values["metrics"])
        return Evaluation(metrics=metrics, calibration=None, method="gradcam", levels={})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "run", run)
        patch.setattr(Evaluation, "from_json_dict", evaluation)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def runs(discs: Config, figures: None, out: Path) -> tuple[Done, ...]:
    axes = axes_of(discs, ["data.images=8,16"])
    return sweep(discs, axes, (0, 2), out, done=lambda done: write_figures(out, done))


def test_what_is_written(runs: tuple[Done, ...], out: Path) -> None:
    with (out / "sweep.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["data.images"], row["seed"], row["run"]) for row in rows] == [
        ("8", "0", "data.images=8/seed=0"),
        ("8", "2", "data.images=8/seed=2"),
        ("16", "0", "data.images=16/seed=0"),
        ("16", "2", "data.images=16/seed=2"),
    ]
    for row in rows:
        value = accuracy(int(row["data.images"]), int(row["seed"]))
        assert float(row["accuracy"]) == pytest.approx(value)
        assert float(row["accuracy: lower"]) == pytest.approx(value - 0.1)
        assert row["Dice"] == ("" if row["data.images"] == "8" else "0.5")
    said = json.loads((out / "sweep.json").read_text())
    assert said["config"] == "discs"
    assert len(said["runs"]) == 4
    mean = said["means"][1]
    assert (mean["settings"], mean["seeds"]) == ({"data.images": 16}, 2)
    assert mean["metrics"]["accuracy"] == pytest.approx(
        {"mean": 0.83, "lowest": 0.82, "highest": 0.84}
    )


def test_the_table_has_each_seed(runs: tuple[Done, ...]) -> None:
    assert table(runs, ["accuracy"]).splitlines() == [
        "accuracy",
        "data.images  seeds    mean  lowest  highest  each",
        "          8      2  0.6700  0.6600   0.6800  0.6600 0.6800",
        "         16      2  0.8300  0.8200   0.8400  0.8200 0.8400",
    ]
    assert "nan" in table(runs, ["Dice"])


def test_figures_by_choice(runs: tuple[Done, ...]) -> None:
    assert chosen_metrics(runs, []) == ["accuracy"]
    assert chosen_metrics(runs, ["Dice", "accuracy"]) == ["Dice", "accuracy"]
    with pytest.raises(ConfigError, match="one of 'accuracy', 'Dice', received 'AUC'"):
        chosen_metrics(runs, ["AUC"])


def test_other_runs_of_the_same_sweep_are_compared_as_well(
    discs: Config, figures: None, tmp_path: Path
) -> None:
    def swept(config: Config, *texts: str, seeds: tuple[int, ...] = (0,)) -> list[tuple]:
        said: list[list[Done]] = []
        runs = sweep(config, axes_of(config, texts), seeds, tmp_path, done=said.append)
        assert said[-1] == runs
        told.append([len(one) for one in said])
        return [(*run.trial.values.values(), run.trial.seed) for run in runs]

    told: list[list[int]] = []
    swept(discs, "data.images=20,8", seeds=(1, 0))
    assert swept(discs, "data.images=16") == [(8, 0), (8, 1), (16, 0), (20, 0), (20, 1)]
    assert told == [[1, 2, 3, 4], [4, 5]]
    # other settings, another order of axes, the same value in other words: not the same sweep
    other = override(discs, ["epochs=7"])
    assert swept(other, "data.images=24") == [(24, 0)]
    assert swept(discs, "data.images=16", "epochs=1") == [(16, 1, 0)]
    assert len(swept(discs, "data.images=016")) == 5
    assert swept(discs) == [(0,)]
    assert swept(discs, seeds=(3,)) == [(0,), (3,)]


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["data.images=8,16,200"],
        ["data.images=16,20", "model.filters=2,3", "model.filters=2,4"],
        ["loss.label_smoothing=0.0,0.1", "data.images=16"],
        ["data.variant=easy,sparse"],
    ],
)
def test_every_kind_of_sweep_is_drawn(
    discs: Config, figures: None, tmp_path: Path, texts: list[str]
) -> None:
    runs = sweep(discs, axes_of(discs, texts), (0, 1), tmp_path / "runs")
    draw_sweep(tmp_path / "sweep.png", runs, ["Dice"])
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_runs_give_the_same_picture(runs: tuple[Done, ...], tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        draw_sweep(tmp_path / name, runs, ["accuracy", "Dice"])
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_a_value_is_a_value_of_the_setting(discs: Config, figures: None) -> None:
    values = trials(discs, axes_of(discs, ["data.radius=10,20.5", "model.filters=2,3"]), (0,))
    assert [dict(one.values) for one in values] == [
        {"data.radius": 10.0, "model.filters": "2,3"},
        {"data.radius": 20.5, "model.filters": "2,3"},
    ]
    assert np.isreal(values[0].values["data.radius"])
