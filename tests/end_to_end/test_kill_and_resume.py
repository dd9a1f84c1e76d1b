"""A run that is killed, by SIGKILL and in the middle of an epoch, ends as if it never was."""

import random
import subprocess
import sys
import time
from pathlib import Path

import keras

from vcam_training import models as _registers_their_layers  # noqa: F401
from vcam_training.learning.history import read_history

VCAM_TRAIN = Path(sys.executable).with_name("vcam-train")
PATIENCE_S = 300.0
CONFIG = """
from dataclasses import replace

from vcam_training.learning.augmentation import Augmentation
from vcam_training.config import load
from vcam_training.models import KerasCt
from vcam_training.learning.optimizer import Optimizer
from vcam_training.learning.schedule import Schedule


def config():
    solids = load("solids", tiny=True)
    return replace(
        solids,
        data=replace(solids.data, size=46, train=68, validation=8, test=8),
        model=KerasCt(filters=(2, 2, 2, 2), dense=8, dropout=0.5, target_layer="conv2"),
        augmentation=Augmentation(symmetries=True, shift=1),
        optimizer=Optimizer(name="sgd"),
        schedule=Schedule(kind="plateau"),
        epochs=4,
        batch_size=2,
    )
"""
"""All that has a state: batch normalisation, dropout, augmentation, momentum, a plateau."""


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [VCAM_TRAIN, "run", config, "--out", out, "--data", out.parent]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(config: Path, out: Path) -> None:
    process = start(config, out)
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, error.decode()


def weights(path: Path) -> list[bytes]:
    return [weight.tobytes() for weight in keras.models.load_model(path).get_weights()]


def kill_in_epoch(number: int, config: Path, out: Path, delay_s: float) -> None:
    """Kills the run a while after the epoch before was written."""
    process = start(config, out)
    try:
        ends = time.monotonic() + PATIENCE_S
        while not (out / f"checkpoints/epoch-{number - 1:04d}.keras").exists():
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < ends
            time.sleep(0.005)
        time.sleep(delay_s)
        assert process.poll() is None, "it was over before it could be killed"
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_is_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(config, whole)
    seconds = max(row.seconds for row in read_history(whole / "history.csv")[1:])
    for epoch in (2, 3):
        kill_in_epoch(epoch, config, killed, random.uniform(0.0, 0.8 * seconds))
        assert not (killed / "metrics.json").exists()
    finish(config, killed)
    histories = [read_history(run / "history.csv") for run in (whole, killed)]
    for row, same in zip(*histories, strict=True):
        assert (row.values, row.learning_rate) == (same.values, same.learning_rate)
    for name in ("best.keras", "checkpoints/epoch-0004.keras"):
        assert weights(whole / name) == weights(killed / name)
