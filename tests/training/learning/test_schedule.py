"""Learning rates: as formulas say, as the history logs them, and as steps really use them."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_training import train
from vcam_training.config import Config, load
from vcam_training.learning.schedule import Schedule
from vcam_training.running import epochs

EPOCHS, PEAK = 5, 0.02
AREAS = (0.6, 0.7, 0.7, 0.65, 0.8)
"""Of validation, by epoch, in runs here: better, better, no better, no better, better."""


@pytest.fixture
def config() -> Config:
    """Twelve solids in three batches an epoch."""
    return replace(
        load("solids", tiny=True),
        epochs=EPOCHS,
        batch_size=4,
        learning_rate=PEAK,
        monitor="auc",
        patience=0,
    )


@pytest.fixture(autouse=True)
def _only_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation is as in AREAS; runs end where the test split would be looked at."""
    areas = iter(AREAS)
    monkeypatch.setattr(epochs, "epoch_figures", lambda *_: {"auc": next(areas)})

    def stop(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "evaluate", stop)


def logged(config: Config, out: Path) -> list[float]:
    """The column learning_rate of history.csv."""
    with pytest.raises(KeyboardInterrupt):
        train.run(config, out, data_folder=out.parent)
    with (out / "history.csv").open(newline="") as stream:
        return [float(row["learning_rate"]) for row in csv.DictReader(stream)]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Is filled with the rate that the optimizer has in the last step of each epoch."""
    rates: list[float] = []
    real = epochs.Epochs.train

    def watched(self: object, model: keras.Model, epoch: int, report: object) -> object:
        steps: list[float] = []

        class Watch(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
                steps.append(float(self.model.optimizer.learning_rate))

        fit = model.fit
        monkeypatch.setattr(
            model, "fit", lambda *a, callbacks, **k: fit(*a, callbacks=[*callbacks, Watch()], **k)
        )
        row = real(self, model, epoch, report)
        monkeypatch.setattr(model, "fit", fit)
        rates.append(steps[-1])
        return row

    monkeypatch.setattr(epochs.Epochs, "train", watched)
    return rates


STEPS = 3


def cosine(step: int, warm_up: int) -> float:
    """The rate of a step, counted from 0."""
    if step < warm_up:
        return PEAK * step / warm_up
    done = (step - warm_up) / (EPOCHS * STEPS - warm_up)
    return PEAK * 0.5 * (1 + math.cos(math.pi * done))


LAST_STEPS = [epoch * STEPS - 1 for epoch in range(1, EPOCHS + 1)]
KNOWN = {
    "cosine": (Schedule(warm_up=1.0), [cosine(step, STEPS) for step in LAST_STEPS]),
    "exponential": (
        Schedule(kind="exponential", factor=0.5, steps=4),
        [PEAK * 0.5 ** (step // 4) for step in LAST_STEPS],
    ),
    "constant": (Schedule(kind="constant"), [PEAK] * EPOCHS),
    "plateau": (
        # after epochs 3 and 4, which were no better
        Schedule(kind="plateau", patience=1),
        [PEAK, PEAK, PEAK, PEAK / 10, PEAK / 100],
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_history_logs_the_rate_that_steps_used(
    name: str, config: Config, tmp_path: Path, used: list[float]
) -> None:
    schedule, wanted = KNOWN[name]
    found = logged(replace(config, schedule=schedule), tmp_path / "run")
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(used, wanted, rtol=1e-5)


def test_cosine_without_warm_up_begins_at_its_peak() -> None:
    rate = Schedule(warm_up=0.0).by_step(PEAK, EPOCHS, STEPS)
    found = [float(rate(step)) for step in range(EPOCHS * STEPS)]
    np.testing.assert_allclose(found, [cosine(s, 0) for s in range(EPOCHS * STEPS)], rtol=1e-5)


@pytest.mark.parametrize(
    ("patience", "waited", "drops"),
    [
        (1, [], 0),
        (1, [0, 1, 2, 0, 1], 3),
        (2, [0, 1, 2, 0, 1], 1),
        (2, [0, 1, 2, 3, 4], 2),
        (3, [0, 1, 2, 0, 1, 2], 0),
    ],
)
def test_a_plateau_drops_after_each_time_it_was_waited_for(
    patience: int, waited: list[int], drops: int
) -> None:
    rate = Schedule(kind="plateau", patience=patience, factor=0.5).after(PEAK, waited)
    assert rate == pytest.approx(PEAK * 0.5**drops)


def test_other_kinds_leave_the_rate_to_the_optimizer() -> None:
    assert [Schedule(kind=kind).after(PEAK, [0, 1]) for kind in ("cosine", "constant")] == [
        None
    ] * 2


def test_a_resumed_run_has_the_rates_it_would_have_had(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after the third epoch, the first that was no better."""
    schedule, wanted = KNOWN["plateau"]
    config = replace(config, schedule=schedule)
    real = epochs.Epochs.train

    def stops(self: object, model: keras.Model, epoch: int, report: object) -> object:
        if epoch == 3:
            raise KeyboardInterrupt
        return real(self, model, epoch, report)

    with monkeypatch.context() as patch:
        patch.setattr(epochs.Epochs, "train", stops)
        assert len(logged(config, tmp_path / "run")) == 3
    np.testing.assert_allclose(logged(config, tmp_path / "run"), wanted, rtol=1e-5)


def test_a_plateau_and_patience_stop_a_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plateau ÷ 10 after each epoch without a better one, stop after three of them."""
    monkeypatch.setattr(epochs, "epoch_figures", lambda *_: {"auc": 0.7})
    stubborn = replace(config, epochs=9, patience=3, schedule=Schedule(kind="plateau"))
    found = logged(stubborn, tmp_path / "run")
    np.testing.assert_allclose(found, [PEAK, PEAK, PEAK / 10, PEAK / 100], rtol=1e-5)


@pytest.mark.parametrize(
    "values",
    [{"kind": "linear"}, {"factor": 0.0}, {"factor": 1.5}, {"patience": 0}, {"warm_up": -1.0}],
)
def test_impossible_schedules_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match="schedule"):
        Schedule(**values)
