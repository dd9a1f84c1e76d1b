"""`vcam-train inspect` and `ascent` on a run and on its export."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_serving.verify import MODEL_FILE, SPEC_FILE
from vcam_training import _cli, train
from vcam_training.config import load, override
from vcam_training.exporting.export_run import model_spec
from vcam_training.inspecting.subject import read_subject
from vcam_training.network import read_network
from vcam_training.run_folder import read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

FRAMES = 2


def vcam_train(*arguments: str) -> int:
    """Exit code of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vcam-train", *arguments])
        patch.setattr("vcam_training.inspecting.files.FRAMES", FRAMES)
        patch.setattr(
            "vcam_training.inspecting.files.draw_rotation",
            lambda path, scene, frames: _few_frames(path, scene),
        )
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
    return stopped.value.code or 0


def _few_frames(path: Path, scene: object) -> None:
    from vcam_training.inspecting.scatter import draw_rotation

    draw_rotation(path, scene, frames=FRAMES)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspect")


@pytest.fixture(scope="module")
def solids(work: Path) -> Path:
    config = override(load("solids", tiny=True), ["epochs=1"])
    return train.run(config, work / "solids", data_folder=work)


@pytest.fixture(scope="module")
def discs(work: Path) -> Path:
    config = override(load("discs", tiny=True), ["epochs=1"])
    return train.run(config, work / "discs", data_folder=work)


def test_a_run_in_space(work: Path, solids: Path, capfd) -> None:
    out = work / "out"
    chosen = ["--volume", "3", "--filter", "1", "--layer", "relu1", "--class", "octahedron"]
    assert vcam_train("inspect", str(solids), "--out", str(out), *chosen) == 0
    said = capfd.readouterr().out
    assert "volume     test #3 of 8\n" in said
    assert "explained  octahedron by gradcam" in said
    assert "layer      relu1: 15×15×15 cells, 2 channels" in said
    assert "filter     1 of 0 … 1" in said
    folder = out / "test-3"
    activation, gradient, cam = (
        np.load(folder / f"{name}.npy") for name in ("activation", "gradient", "cam")
    )
    assert activation.shape == gradient.shape == (15, 15, 15, 2)
    assert cam.shape == (15, 15, 15)
    by_hand = (activation * gradient.mean(axis=(0, 1, 2))).sum(axis=-1)
    np.testing.assert_allclose(cam, by_hand, atol=1e-5 * np.abs(cam).max())
    told = json.loads((folder / "inspect.json").read_text())
    percentiles = [told["filter"]["percentiles"][k] for k in ("0", "25", "50", "75", "100")]
    np.testing.assert_allclose(percentiles, np.percentile(activation[..., 1], range(0, 101, 25)))
    above = (activation[..., 1] > percentiles[3]).sum()
    assert told["filter"]["cells_above_75"] == above
    assert f"{above} of 3375 cells above p75" in said
    assert told["explained"] == "octahedron"
    assert sum(told["scores"].values()) == pytest.approx(1)
    assert {path.name for path in folder.iterdir()} == {
        "inspect.json",
        "features.png",
        "filter-1.png",
        "map.png",
        "map.gif",
        "cam.npy",
        "activation.npy",
        "gradient.npy",
    }
    with Image.open(folder / "map.gif") as turning:
        assert turning.n_frames == FRAMES


def test_a_run_of_images_by_default(work: Path, discs: Path, capfd) -> None:
    """One logit; the volumes are chosen, and so is the filter."""
    out = work / "images"
    assert vcam_train("inspect", str(discs), "--out", str(out), "--channels-above", "-1") == 0
    said = capfd.readouterr().out
    shown = sorted(path.name for path in out.iterdir())
    assert 1 <= len(shown) <= 2
    assert said.count("explained  disc by gradcam") == len(shown)
    assert "the one that adds most to this map" in said
    assert "with a sum above -1.0: 0" in said
    temperature = read_finished(discs, "metrics.json")["calibration"]["temperature"]
    for name in shown:
        told = json.loads((out / name / "inspect.json").read_text())
        assert told["temperature"] == temperature
        files = {path.name for path in (out / name).iterdir()}
        assert "map.gif" not in files
        assert {"map.png", "features.png", "channels.png"} <= files


def test_an_exported_model_shows_what_its_run_shows(work: Path, discs: Path, capfd) -> None:
    version = work / "models" / "discs" / "1"
    for file in (SPEC_FILE, MODEL_FILE):  # what inspection reads of a version
        (version / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(discs / "best.keras", version / MODEL_FILE)
    model = read_network(discs).model
    (version / SPEC_FILE).write_text(model_spec(discs, model, name="discs").to_json())
    for place, out in ((discs, "a"), (version.parent, "b")):
        arguments = ["--volume", "0", "--out", str(work / out)]
        assert vcam_train("inspect", str(place), *arguments) == 0
    told = [json.loads((work / f"{out}/test-0/inspect.json").read_text()) for out in "ab"]
    for one in told:
        del one["network"]
    assert told[0] == told[1]
    cams = [(work / f"{out}/test-0/cam.npy").read_bytes() for out in "ab"]
    assert cams[0] == cams[1]
    capfd.readouterr()


def test_other_data_are_refused(discs: Path, tmp_path: Path) -> None:
    subject = read_subject(discs)
    assert subject.config is not None
    other = replace(subject.config, data=replace(subject.config.data, seed=9))
    with pytest.raises(ConfigError, match="Expected the data that the model was trained with"):
        replace(subject, config=other).data(tmp_path, lambda line: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--volume", "8"], "volume of the test split from 0 to 7, received '8'"),
        (["--filter", "99"], "received 99. Set --filter"),
        (["--class", "cube"], "Expected one of sphere, octahedron, received 'cube'"),
        (["--volume", "0", "--channels-above", "1e9"], "Set a lower --channels-above"),
        (["--layer", "conv9"], "conv9"),
    ],
)
def test_a_mistake_is_one_message(
    solids: Path, tmp_path: Path, arguments: list[str], message: str, capfd
) -> None:
    assert vcam_train("inspect", str(solids), "--out", str(tmp_path / "o"), *arguments) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("vcam-train: ")
    assert message in last
    assert not (tmp_path / "o").exists()


def test_an_ascent_of_a_run(work: Path, solids: Path, capfd) -> None:
    out = str(work / "ascent")
    arguments = ["--layer", "relu1", "--filter", "1", "--steps", "5", "--out", out]
    assert vcam_train("ascent", str(solids), *arguments) == 0
    assert "Filter 1 of relu1: mean activation" in capfd.readouterr().out
    pattern = np.load(work / "ascent/pattern.npy")
    assert pattern.shape == (15, 15, 15)
    assert 0 <= pattern.min() < pattern.max() <= 1
    told = json.loads((work / "ascent/ascent.json").read_text())
    assert told["activation"]["end"] > told["activation"]["start"]
