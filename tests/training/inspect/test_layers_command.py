"""`vcam-train layers` as a user runs it."""

import re
import sys
from pathlib import Path

import keras
import pytest
from keras import layers
from training_networks import keras_ct

from vcam_serving.verify import MODEL_FILE
from vcam_training import _cli
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.inspecting._layer_text import table_text
from vcam_training.inspecting.layer_table import Radii, layer_table
from vcam_training.intensity import Window
from vcam_training.network import Network

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

RUN = Path("build/runs/solids-tiny")


def vcam_train(*arguments: str, cwd: Path) -> int:
    """Exit code of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["vcam-train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
    return stopped.value.code or 0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run, exported."""
    folder = tmp_path_factory.mktemp("work")
    assert vcam_train("run", "solids", "--tiny", cwd=folder) == 0
    assert vcam_train("export", str(RUN), "--to", "models/solids", cwd=folder) == 0
    return folder


def table(said: str) -> list[str]:
    """The rows, spaces made one, without the heads."""
    block = said.split("\n\n")[1].splitlines()
    heads = ["#", "layer", "cells", "stride", "offset", "field", "channels", "covers"]
    assert block[0].split()[:8] == heads
    return [" ".join(line.split()) for line in block[1:]]


def test_a_run(work: Path, capfd) -> None:
    assert vcam_train("layers", str(RUN), "--radius", "3", "--radius", "1.5", cwd=work) == 0
    said = capfd.readouterr()
    assert said.out.startswith(f"{RUN}/best.keras: a grid of 15×15×15 voxels\n\n")
    rows = table(said.out)
    assert re.fullmatch(r"0 relu1 15×15×15 1 0 3 \d+ 100% 1\.00 1\.00", rows[0])
    assert re.fullmatch(r"1 relu2 7×7×7 2 0\.5 8 \d+ 81% 0\.\d\d 0\.\d\d last, explained", rows[1])
    assert len(rows) == 2
    assert " r=1.5   r=3" in said.out
    assert "its radius in voxels" in said.out
    assert said.out.rstrip().endswith("vcam-train export RUN --layer NAME")
    assert max(map(len, said.out.splitlines())) <= 100
    assert said.err == ""


def test_an_exported_model_and_its_version_have_the_runs_table(work: Path, capfd) -> None:
    found = []
    for place in (str(RUN), "models/solids", "models/solids/1", str(RUN / "best.keras")):
        capfd.readouterr()
        assert vcam_train("layers", place, cwd=work) == 0
        found.append(table(capfd.readouterr().out))
    assert found[0] == found[1] == found[2]
    assert found[0][1].endswith("last, explained")
    assert found[3] == [line.replace(", explained", "") for line in found[0]]


def test_layers_can_be_exported_by_what_the_table_says(work: Path, capfd) -> None:
    for name, given in (("relu1", "relu1"), ("relu1", "0"), ("relu1", "-2")):
        arguments = ("export", str(RUN), "--to", "models/other", "--layer", given)
        assert vcam_train(*arguments, cwd=work) == 0
        capfd.readouterr()
        assert vcam_train("layers", "models/other", cwd=work) == 0
        rows = table(capfd.readouterr().out)
        assert [row.split()[1] for row in rows if row.endswith("explained")] == [name]


def test_a_grid_with_a_spacing_takes_millimetres(tmp_path: Path, capfd) -> None:
    assert vcam_train("run", "ct-phantom", "--tiny", cwd=tmp_path) == 0
    capfd.readouterr()
    assert vcam_train("layers", "build/runs/ct_phantom-tiny", "--radius", "60", cwd=tmp_path) == 0
    said = capfd.readouterr().out
    assert "a grid of 12×16×16 voxels of 20 mm" in said
    assert "its radius in mm" in said
    assert "r=60" in said


def test_branches_are_listed_with_all(tmp_path: Path, capfd) -> None:
    x = inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, padding="same", name="stem")(Window(0, 1)(x))
    y = layers.Conv2D(2, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add(name="sum")([x, layers.Conv2D(2, 3, padding="same")(y)])
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert cam_layer(model).name == "sum"
    model.save(tmp_path / "net.keras")
    assert vcam_train("layers", "net.keras", cwd=tmp_path) == 0
    assert [row.split()[1] for row in table(capfd.readouterr().out)] == ["stem", "sum"]
    assert vcam_train("layers", "net.keras", "--all", cwd=tmp_path) == 0
    rows = table(capfd.readouterr().out)
    assert [row.split()[0] for row in rows] == ["0", "branch", "1"]
    assert rows[1].endswith("bypassed")


def test_a_version_without_its_keras_model(work: Path, capfd) -> None:
    assert vcam_train("export", str(RUN), "--to", "models/old", cwd=work) == 0
    (work / "models/old/1" / MODEL_FILE).unlink()
    capfd.readouterr()
    assert vcam_train("layers", "models/old", cwd=work) == 1
    said = capfd.readouterr().err
    assert said.startswith("vcam-train: Expected the Keras model 'assets.extra/model.keras'")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build/none"], 1, "found none of them in 'build/none'"),
        ([str(RUN), "--radius", "0"], 2, "0.0 is not in the range x>0"),
        ([str(RUN), "--radius", "nan"], 1, "Expected positive radii"),
    ],
)
def test_a_mistake_is_told(
    work: Path, arguments: list[str], code: int, message: str, capfd
) -> None:
    assert vcam_train("layers", *arguments, cwd=work) == code
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said


def documented_tables() -> list[str]:
    page = (Path(__file__).parents[3] / "docs" / "layers.md").read_text(encoding="utf-8")
    return re.findall(r"^```text\n(.*?)^```", page, re.M | re.S)


def test_the_documented_table_is_that_of_the_tiny_run(work: Path, capfd) -> None:
    assert vcam_train("layers", str(RUN), cwd=work) == 0
    assert capfd.readouterr().out == documented_tables()[0]


def test_the_documented_table_of_the_network_for_ct_scans() -> None:
    network = Network(path=Path("ct.keras"), model=keras_ct((64, 128, 128)))
    radii = Radii(values=(4.0, 6.0, 10.0, 16.0))
    rows = layer_table(network, radii)
    assert table_text(rows, radii) == documented_tables()[1].rstrip("\n")
