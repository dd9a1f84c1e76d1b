"""From radiographs to maps of any finding in any number of images, by the installed commands."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vcam_client._cli import main as vcam_client
from vcam_client.spec import ModelSpec
from vcam_serving import EmbeddedServer
from vcam_serving.verify import SPEC_FILE
from vcam_training import train
from vcam_training._cli import cli as vcam_train
from vcam_training.config import Config, load
from vcam_training.data.radiographs.chest_xray_table import FINDINGS
from vcam_training.data.sources import ChestXraySource
from vcam_training.exporting.export_run import export_run
from vcam_training.intensity import IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chest_xray")


@pytest.fixture(scope="module")
def config() -> Config:
    return load("chest_xray", tiny=True)


@pytest.fixture(scope="module")
def place(config: Config, work: Path) -> Path:
    """The folder of the stand-in."""
    assert isinstance(config.data, ChestXraySource)
    return work / config.data.stand_in.folder_name


@pytest.fixture(scope="module")
def run(config: Config, work: Path) -> Path:
    return train.run(config, work / "run", data_folder=work)


@pytest.fixture(scope="module")
def version(run: Path, work: Path) -> Path:
    return export_run(run, work / "models")


@pytest.fixture(scope="module")
def address(version: Path) -> Iterator[str]:
    with EmbeddedServer(version.parent, port=0, rest_port=0) as server:
        server.wait_until_available("default")
        yield server.address


def images(place: Path, *filters: str) -> list[str]:
    """What `vcam-train images` prints."""
    done = CliRunner().invoke(vcam_train, ["images", str(place / "labels.csv"), *filters])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def predict(address: str, out: Path, *arguments: str, typed: str | None = None) -> Result:
    command = ["predict", *arguments, "--server", address, "--out", str(out)]
    done = CliRunner().invoke(vcam_client, command, input=typed)
    assert done.exit_code == 0, done.output
    return done


def test_maps_of_one_finding_in_several_images(place: Path, address: str, tmp_path: Path) -> None:
    chosen = images(place, "--fold", "test", "--finding", "Mass", "--sample", "2")
    assert len(chosen) == 2
    predict(address, tmp_path, *chosen, "--class", "Pneumothorax")
    for path in chosen:
        name = Path(path).stem
        (written,) = tmp_path.rglob(f"{name}*_result.json")
        result = json.loads(written.read_text())
        assert list(result["scores"]) == list(FINDINGS)
        assert [one["label"] for one in result["explanations"]] == ["Pneumothorax"]
        (heatmap,) = tmp_path.rglob(f"{name}*_heatmap.png")
        with Image.open(heatmap) as shown, Image.open(path) as original:
            assert shown.size == original.size
        assert list(tmp_path.rglob(f"{name}*_overlay.png"))


def test_paths_can_be_piped(place: Path, address: str, tmp_path: Path) -> None:
    chosen = images(place, "--fold", "validation", "--sample", "3", "--seed", "1")
    predict(address, tmp_path, "-", "--class", "Hernia", typed="\n".join(chosen) + "\n")
    assert len(list(tmp_path.rglob("*_result.json"))) == 3


def test_every_finding_of_one_image(place: Path, address: str, tmp_path: Path) -> None:
    (path,) = images(place, "--sample", "1")
    predict(address, tmp_path, path, "--all-classes")
    (written,) = tmp_path.rglob("*_result.json")
    result = json.loads(written.read_text())
    assert [one["label"] for one in result["explanations"]] == list(FINDINGS)


def test_training_and_serving_normalise_alike(
    run: Path, version: Path, place: Path, address: str, tmp_path: Path, config: Config
) -> None:
    """ImageNet's mean and deviation, by hand, into what lies behind the intensity layer."""
    assert isinstance(config.data, ChestXraySource)
    data = config.data.load(place.parent, lambda line: None)
    stored = data.test.volumes[0].astype(np.float64)
    by_hand = (stored[..., None] / 255 - IMAGENET_MEAN) / IMAGENET_STD

    model = keras.models.load_model(run / "best.keras", compile=False)
    layer = model.get_layer("imagenet")
    seen = keras.Model(model.input, layer.output)(stored[None, ..., None].astype(np.float32))
    np.testing.assert_allclose(seen[0], by_hand, rtol=1e-4, atol=1e-5)

    behind = keras.Model(layer.output, model.output)
    logits = behind(by_hand[None].astype(np.float32)).numpy().astype(np.float64)
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text())
    expected = 1 / (1 + np.exp(-logits[0] / (spec.calibration_temperature or 1.0)))

    Image.fromarray(data.test.volumes[0]).save(tmp_path / "on_grid.png")
    predict(address, tmp_path / "out", str(tmp_path / "on_grid.png"), "--no-heatmap")
    (written,) = (tmp_path / "out").rglob("*_result.json")
    served = list(json.loads(written.read_text())["scores"].values())
    np.testing.assert_allclose(served, expected, rtol=1e-3, atol=1e-4)


def test_the_spec_says_what_the_graph_does(version: Path) -> None:
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text())
    assert spec.labels == FINDINGS
    assert spec.intensity.window == (0.0, 255.0)
    assert "ImageNet" in spec.intensity.transform
    assert spec.grid.axes == ("A", "I", "L")


def test_a_large_image_is_read_as_in_training(
    place: Path, address: str, tmp_path: Path, config: Config
) -> None:
    """The client lays the file onto the grid; training rounds that to whole grey values."""
    assert isinstance(config.data, ChestXraySource)
    data = config.data.load(place.parent, lambda line: None)
    Image.fromarray(data.test.volumes[0]).save(tmp_path / "small.png")
    large = place / "images" / data.test.names[0]
    scores = []
    for path, out in ((large, tmp_path / "one"), (tmp_path / "small.png", tmp_path / "two")):
        predict(address, out, str(path), "--no-heatmap")
        (written,) = out.rglob("*_result.json")
        scores.append(list(json.loads(written.read_text())["scores"].values()))
    np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


def test_a_second_run_can_start_from_the_first_with_its_backbone_frozen(
    run: Path, config: Config, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "evaluate", stop)
    told: list[str] = []
    tuned = replace(config, start_from=str(run), freeze=True)
    with pytest.raises(KeyboardInterrupt):
        train.run(tuned, work / "tuned", data_folder=work, report=told.append)
    assert any("Backbone frozen" in line for line in told)
    first, after = (
        keras.models.load_model(folder / "best.keras", compile=False)
        for folder in (run, work / "tuned")
    )
    for layer in first.layers:
        pairs = zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True)
        same = all(np.array_equal(one, other) for one, other in pairs)
        assert same == (layer.name != "logits"), layer.name
