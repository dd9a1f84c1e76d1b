"""Networks are found in runs, exported models and files."""

from pathlib import Path

import keras
import pytest
from keras import layers

from vcam_client.errors import ConfigError, ContractError
from vcam_client.spec import Activation, ExplainDefault, Fit, Grid, Intensity, ModelSpec
from vcam_serving.verify import MODEL_FILE, SPEC_FILE
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.config import load
from vcam_training.data.contract import DataContract
from vcam_training.intensity import Window
from vcam_training.learning.history import Row
from vcam_training.network import read_network
from vcam_training.run_folder import RunFolder
from vcam_training.task import Task

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SPACING = (3.0, 2.0, 2.0)


def small(bias: float = 0.0) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 9, 10, 1)),
            Window(0, 1),
            layers.Conv3D(2, 3, activation="relu", name="first"),
            layers.Conv3D(2, 3, activation="relu", name="second"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(2, name="head", bias_initializer=keras.initializers.Constant(bias)),
        ]
    )


def bias_of(model: keras.Model) -> float:
    return float(model.get_layer("head").bias[0])


def written_run(folder: Path, epochs: int) -> Path:
    """Epoch n leaves a network whose bias is n; the second has the lowest loss."""
    config = load("ct_phantom", tiny=True)
    run = RunFolder(folder, config)
    contract = DataContract(
        task=Task.CLASSES,
        labels=("a", "b"),
        grid=Grid(shape=(8, 9, 10), spacing_mm=SPACING, fit=Fit.SPACING),
        intensity=Intensity(),
    )
    run.begin({"sha256": "0", "contract": contract.to_json_dict()})
    history: list[Row] = []
    for epoch in range(1, epochs + 1):
        loss = abs(epoch - 2.0)
        values = {"loss": 0.5, "val_loss": loss}
        history.append(Row(epoch=epoch, values=values, learning_rate=0.1, seconds=1.0))
        run.write_epoch(small(epoch), history)
    return folder


def written_version(folder: Path, *, bias: float = 0.0, layer: str = "first") -> Path:
    model = small(bias)
    spec = ModelSpec(
        name="m",
        labels=("a", "b"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(shape=(8, 9, 10), fit=Fit.SPACING, spacing_mm=SPACING),
        intensity=Intensity(window=(0, 1)),
        cam_layers=(cam_layer(model, layer), cam_layer(model, "second")),
    )
    (folder / SPEC_FILE).parent.mkdir(parents=True)
    (folder / SPEC_FILE).write_text(spec.to_json())
    model.save(folder / MODEL_FILE)
    return folder


def test_a_run_gives_its_best_network(tmp_path: Path) -> None:
    network = read_network(written_run(tmp_path, 3))
    assert network.path == tmp_path / "best.keras"
    assert bias_of(network.model) == 2
    assert network.spacing_mm == SPACING
    assert network.explained == ("last",)
    assert network.grid == (8, 9, 10)


def test_a_run_without_its_best_network_gives_the_last_checkpoint(tmp_path: Path) -> None:
    (written_run(tmp_path, 3) / "best.keras").unlink()
    network = read_network(tmp_path)
    assert network.path.name == "epoch-0003.keras"
    assert bias_of(network.model) == 3


def test_a_run_without_an_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has not finished an epoch"):
        read_network(written_run(tmp_path, 0))


def test_a_model_gives_its_highest_version(tmp_path: Path) -> None:
    for number in (2, 10):
        written_version(tmp_path / str(number), bias=number)
    network = read_network(tmp_path)
    assert network.path == tmp_path / "10" / MODEL_FILE
    assert (bias_of(network.model), bias_of(read_network(tmp_path / "2").model)) == (10, 2)
    assert network.spacing_mm == SPACING
    assert network.explained == ("first", "second")


def test_a_version_without_its_keras_model_is_refused(tmp_path: Path) -> None:
    (written_version(tmp_path / "1") / MODEL_FILE).unlink()
    for place in (tmp_path, tmp_path / "1"):
        with pytest.raises(ConfigError, match=r"model\.keras' in '.*1', found none.* run's folder"):
            read_network(place)


def test_a_version_of_another_maker_is_refused(tmp_path: Path) -> None:
    (written_version(tmp_path / "00007") / SPEC_FILE).unlink()
    with pytest.raises(ConfigError, match=r"exported by vcam in '.*00007', found no assets.extra"):
        read_network(tmp_path)


def test_a_damaged_spec_is_refused(tmp_path: Path) -> None:
    (written_version(tmp_path / "1") / SPEC_FILE).write_text("{}")
    with pytest.raises(ContractError):
        read_network(tmp_path / "1")


def test_a_file_gives_a_bare_network(tmp_path: Path) -> None:
    small(4).save(tmp_path / "mine.keras")
    network = read_network(tmp_path / "mine.keras")
    assert bias_of(network.model) == 4
    assert (network.spacing_mm, network.explained) == ((), ())


def test_a_file_that_keras_can_not_read_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.keras", b"no zip"), ("b.txt", b"text")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=rf"Expected a Keras model in '.*{name}', received"):
            read_network(tmp_path / name)


def damaged(content: bytes, kind: str) -> bytes:
    """A file as a full disk, a broken copy or a failing disk leaves it."""
    if kind == "changed":
        middle = len(content) // 2
        return content[:middle] + b"\xff" * 64 + content[middle + 64 :]
    return {
        "empty": b"",
        "half": content[: len(content) // 2],
        "without its end": content[:-10],
        "zeros": bytes(len(content)),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "half", "without its end", "zeros", "changed"])
def test_a_damaged_network_is_named_as_such(tmp_path: Path, kind: str) -> None:
    bare = tmp_path / "mine.keras"
    small().save(bare)
    run, version = written_run(tmp_path / "run", 1), written_version(tmp_path / "model" / "1")
    for place, file, advice in (
        (bare, bare, "Copy it again"),
        (run, run / "best.keras", "Put it back from a copy, or train again"),
        (version, version / MODEL_FILE, "Export the run again"),
    ):
        file.write_bytes(damaged(file.read_bytes(), kind))
        with pytest.raises(ConfigError) as caught:
            read_network(place)
        said = str(caught.value)
        assert f"Expected a Keras model in '{file}', received a" in said
        assert "damaged" in said or "empty" in said
        assert advice in said
        assert "not found" not in said


def test_a_network_with_unknown_layers_is_refused(tmp_path: Path) -> None:
    class Mine(layers.Layer):
        def call(self, volume):
            return volume

    model = keras.Sequential([keras.Input((8, 8, 1)), Mine(), layers.Flatten(), layers.Dense(1)])
    model.save(tmp_path / "mine.keras")
    with pytest.raises(ConfigError, match="without layers of your own") as caught:
        read_network(tmp_path / "mine.keras")
    assert "\n" not in str(caught.value)


def test_a_grid_of_unknown_size_is_refused(tmp_path: Path) -> None:
    stack = [keras.Input((None, 8, 1)), layers.Conv2D(1, 3), layers.GlobalAveragePooling2D()]
    keras.Sequential(stack).save(tmp_path / "any.keras")
    with pytest.raises(ConfigError, match="known sizes"):
        _ = read_network(tmp_path / "any.keras").grid


def test_other_folders_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=r"found none of them in .* Give the folder that"):
            read_network(place)


def test_one_of_several_models_has_to_be_named(tmp_path: Path) -> None:
    for name in ("two", "one"):
        written_version(tmp_path / name / "1")
    with pytest.raises(ConfigError, match=r"found the models one, two .* Name one"):
        read_network(tmp_path)
