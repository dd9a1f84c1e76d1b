"""Training on several devices at once comes to the same weights as on one."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
import tensorflow as tf

from vcam_client.errors import ConfigError
from vcam_training import train
from vcam_training.config import load
from vcam_training.running.devices import device_text

TWO_DEVICES = """
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
mirrored = tf.distribute.MirroredStrategy
replicas = []


def on_both():
    strategy = mirrored(["CPU:0", "CPU:1"])
    replicas.append(strategy.num_replicas_in_sync)
    return strategy


tf.distribute.MirroredStrategy = on_both

from vcam_training import train
from vcam_training.config import load

out = Path(sys.argv[1])
weights = []
for strategy in ("default", "mirrored"):
    run = train.run(
        load("solids", tiny=True), out / strategy, data_folder=out, strategy=strategy
    )
    weights.append(keras.models.load_model(run / "checkpoints/epoch-0002.keras").get_weights())
assert replicas == [2], replicas
for one, other in zip(*weights):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
print("equal")
"""


def test_two_devices_train_as_one(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)], capture_output=True, text=True
    )
    assert answer.stdout.endswith("equal\n"), answer.stderr


def test_an_unknown_strategy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="default"):
        train.run(load("solids", tiny=True), tmp_path, data_folder=tmp_path, strategy="many")


def test_the_device_is_named() -> None:
    gpus = tf.config.list_logical_devices("GPU")
    assert device_text() == ("the processor (no GPU found)" if not gpus else ANY)


def test_each_gpu_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [SimpleNamespace(name=f"/device:GPU:{n}") for n in range(2)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert device_text() == "GPU:0; 1 more idle, --strategy mirrored uses all"
    assert device_text("mirrored") == "2 GPUs, each with its share of a batch"
