"""From small MedMNIST files to figures, and to what the served model says of an image."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vcam_client._cli import main as vcam_client
from vcam_serving import EmbeddedServer
from vcam_training import train
from vcam_training._cli import cli as vcam_train
from vcam_training.config import load
from vcam_training.data.medmnist.files import luminance
from vcam_training.evaluation.calibration import scores_of
from vcam_training.exporting.export_run import export_run
from vcam_training.run_folder import read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

CLASSES = ("red", "green", "blue")
FINDINGS = ("front", "back")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def coloured(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of three classes: which of their channels is bright."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(count).integers(0, 60, (count, 12, 14, 3)).astype(np.uint8)
    images[np.arange(count), 3:9, 4:10, labels] = 250
    return images, labels[:, None].astype(np.uint8)


def volumes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Volumes of two findings: a bright block in front, one at the back, or both."""
    labels = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1)
    images = np.random.default_rng(count).integers(0, 60, (count, 8, 10, 12)).astype(np.uint8)
    images[labels[:, 0] == 1, 2:6, 1:4, 4:8] = 250
    images[labels[:, 1] == 1, 2:6, 7:10, 4:8] = 250
    return images, labels.astype(np.uint8)


def predicted(scan: str, base: Path) -> dict:
    with EmbeddedServer(base, port=0, rest_port=0) as server:
        server.wait_until_available("default")
        done = CliRunner().invoke(vcam_client, ["predict", scan, "--server", server.address])
    assert done.exit_code == 0, done.output
    (written,) = Path().glob("*_result.json")
    result: dict = json.loads(written.read_text())
    return result


def test_a_picture_of_several_classes(tmp_path: Path) -> None:
    arrays = {"class_names": np.array(CLASSES)}
    for split, count in (("train", 24), ("val", 9), ("test", 9)):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = coloured(count)
    np.savez_compressed("colours.npz", **arrays)
    done = CliRunner().invoke(
        vcam_train, ["run", "medmnist", "--tiny", "--data", "colours.npz", "--out", "run"]
    )
    assert done.exit_code == 0, done.output
    assert "Colours become grey values" in done.output
    export_run("run", "model")

    grey = luminance(arrays["test_images"][1])
    Image.fromarray(grey).save("picture.png")
    result = predicted("picture.png", tmp_path / "model")
    network = keras.models.load_model("run/best.keras")
    logits = network.predict(grey[None, ..., None].astype(np.float32), verbose=0)
    calibration = read_finished("run", "metrics.json")["calibration"]
    expected = scores_of(logits, calibration["temperature"])[0]
    assert list(result["scores"]) == list(CLASSES)
    np.testing.assert_allclose(list(result["scores"].values()), expected, rtol=1e-4)
    assert Path("picture_overlay.png").exists()


def test_volumes_of_several_findings() -> None:
    arrays = {"class_names": np.array(FINDINGS)}
    for split, count in (("train", 24), ("val", 8)):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = volumes(count)
    np.savez_compressed("blocks.npz", **arrays)
    config = replace(load("medmnist", tiny=True), epochs=1)
    lines: list[str] = []
    train.run(config, "run", data_folder="blocks.npz", report=lines.append)
    assert any("the validation split is tested on" in line for line in lines)
    figures = read_finished("run", "metrics.json")["metrics"]
    assert {figure["split"] for figure in figures} == {"validation"}
    assert {"AUC, front", "AUC, back"} <= {figure["name"] for figure in figures}
