"""A run: what it leaves behind, and that interruptions and second runs change nothing."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from vcam_client.errors import ConfigError, VcamError
from vcam_training import train
from vcam_training.config import Config, load, override
from vcam_training.data.dataset import DataSet
from vcam_training.intensity import Window
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.history import Row
from vcam_training.run_folder import RunFolder, read_config, read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

EPOCHS = 3
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def config() -> Config:
    return override(load("solids", tiny=True), [f"epochs={EPOCHS}"])


@pytest.fixture(scope="module")
def reported() -> list[str]:
    return []


@pytest.fixture(scope="module")
def finished(config: Config, reported: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    return train.run(config, out, data_folder=out.parent, report=reported.append)


def quiet(config: Config, out: Path, report: Callable[[str], None] = lambda line: None) -> Path:
    return train.run(config, out, data_folder=out.parent, report=report)


def read_history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def stop_at_evaluation(*arguments: object) -> None:
    raise KeyboardInterrupt


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def weights(path: Path) -> list[bytes]:
    return [weight.tobytes() for weight in keras.models.load_model(path).get_weights()]


def state(run: Path) -> dict[str, int]:
    return {
        str(path.relative_to(run)): path.stat().st_mtime_ns
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.relative_to(run).parts[0] != "tensorboard"
    }


def test_a_run_leaves_everything_in_its_folder(finished: Path) -> None:
    assert {name for name in state(finished) if not name.startswith(("errors/", "examples/"))} == {
        "config.json",
        "data.json",
        "versions.json",
        "history.csv",
        "curves.png",
        "gallery.png",
        "montage.png",
        "predictions.csv",
        "confusion.png",
        "roc.png",
        "reliability.png",
        "errors.csv",
        "errors.png",
        "examples.png",
        "report.html",
        "best.keras",
        "metrics.json",
        f"checkpoints/epoch-{EPOCHS:04d}.keras",
    }
    assert (finished / "curves.png").read_bytes().startswith(PNG)


def test_the_config_is_read_back(finished: Path, config: Config) -> None:
    assert read_config(finished) == config


def test_versions_and_data_are_noted(finished: Path) -> None:
    versions = read_finished(finished, "versions.json")
    assert versions["keras"] == keras.__version__
    assert {"code", "python", "numpy", "tensorflow", "vcam-training"} <= set(versions)
    data = read_finished(finished, "data.json")
    assert data["name"] == "solids"
    assert len(data["sha256"]) == 64
    assert (data["train"], data["validation"], data["test"]) == (12, 4, 8)


def test_history_has_one_row_for_each_epoch(finished: Path) -> None:
    history = read_history(finished)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for row in history:
        trained, checked = ["loss", "accuracy"], ["val_loss", "val_accuracy", "val_auc"]
        assert list(row) == ["epoch", *trained, *checked, "learning_rate", "seconds"]
        assert row["loss"] > 0
        assert 0 <= row["accuracy"] <= 1


def test_metrics_name_the_test_split_and_its_size(finished: Path) -> None:
    metrics = read_finished(finished, "metrics.json")
    assert metrics["layer"] == "relu2"
    assert metrics["parameters"] == keras.models.load_model(finished / "best.keras").count_params()
    by_name = {metric["name"]: metric for metric in metrics["metrics"]}
    accuracy = by_name["accuracy"]
    assert accuracy["count"] == 8
    assert accuracy["lower"] < accuracy["value"] < accuracy["upper"] or accuracy["value"] in (0, 1)
    assert {metric["split"] for metric in by_name.values()} == {"test"}
    assert by_name["pointing, within one cell"]["chance"] > 0


def test_a_run_reports_what_it_does(finished: Path, reported: list[str]) -> None:
    text = "\n".join(reported)
    assert "plain_cnn_3d: 224 parameters" in text
    assert "a perfect map reaches a Dice of" in text
    assert f"epoch {EPOCHS}/{EPOCHS}  loss" in text
    assert "0:00 left" in text
    assert "accuracy: " in text
    assert "on 8 held out (95 % interval" in text
    assert reported[-1].endswith(str(finished))


def test_the_best_network_is_the_one_of_the_lowest_validation_loss(
    finished: Path, config: Config
) -> None:
    lowest = min(row["val_loss"] for row in read_history(finished))
    data = config.data.load(finished.parent, lambda line: None)
    checked = keras.models.load_model(finished / "best.keras").evaluate(
        data.validation.volumes[..., None], np.eye(2)[data.validation.labels], verbose=0
    )
    assert checked[0] == pytest.approx(lowest, rel=1e-5)


def test_an_earlier_network_is_kept_when_a_later_one_is_worse(
    config: Config, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path, config)
    folder.begin({"sha256": ""})
    model = config.model.build((15, 15, 15), Window(0.0, 1.0), 2)
    bytes_of_best = []
    rows = []
    for epoch, val_loss in enumerate((0.7, 0.5, 0.6), start=1):
        model.get_layer("logits").bias.assign([epoch, 0])
        values = {"loss": 1.0, "val_loss": val_loss}
        rows.append(Row(epoch=epoch, values=values, learning_rate=1.0, seconds=1.0))
        folder.write_epoch(model, rows)
        bytes_of_best.append(weights(folder.best))
    assert bytes_of_best[0] != bytes_of_best[1] == bytes_of_best[2]
    assert folder.history() == rows
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-0003.keras"]


def test_the_loss_of_an_epoch_is_the_mean_over_its_volumes(config: Config, tmp_path: Path) -> None:
    """With weights that hardly move, it is the loss of the untrained network."""
    still = replace(
        config, augmentation=Augmentation(), learning_rate=1e-12, epochs=2, batch_size=5
    )
    run = quiet(still, tmp_path / "still")
    data = still.data.load(tmp_path, lambda line: None)
    assert len(data.train) % still.batch_size  # the last batch is smaller
    model = keras.models.load_model(run / "best.keras")
    for prefix, split in (("", data.train), ("val_", data.validation)):
        loss, accuracy = model.evaluate(
            split.volumes[..., None], np.eye(2)[split.labels], verbose=0, batch_size=4
        )
        for row in read_history(run):
            assert row[f"{prefix}loss"] == pytest.approx(loss, rel=1e-4)
            assert row[f"{prefix}accuracy"] == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize(
    "setting", ["monitor=auk", "model.target_layer=none", "augmentation.mirror=5"]
)
def test_what_is_refused_leaves_nothing(setting: str, config: Config, tmp_path: Path) -> None:
    with pytest.raises(VcamError):
        train.run(override(config, [setting]), tmp_path / "run", data_folder=tmp_path / "data")
    assert not (tmp_path / "run").exists()


def test_running_twice_changes_nothing(finished: Path, config: Config) -> None:
    before = state(finished)
    lines: list[str] = []
    assert quiet(config, finished, lines.append) == finished
    assert state(finished) == before
    assert "is finished; nothing to do" in lines[0]
    assert any("accuracy: " in line for line in lines)


def test_the_same_seed_gives_the_same_weights(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    again = quiet(config, tmp_path / "again")
    assert weights(again / "best.keras") == weights(finished / "best.keras")
    other = quiet(replace(config, seed=1), tmp_path / "other")
    assert weights(other / "best.keras") != weights(finished / "best.keras")


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_a_run_stopped_after_an_epoch_resumes(
    finished: Path, config: Config, tmp_path: Path, epoch: int
) -> None:
    def stop(line: str) -> None:
        if line.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        quiet(config, out, stop)
    assert not (out / "metrics.json").exists()
    assert len(read_history(out)) == epoch

    lines: list[str] = []
    quiet(config, out, lines.append)
    assert f"Resuming after epoch {epoch} of {EPOCHS}" in lines
    assert_same_run(out, finished)


@pytest.mark.parametrize("name", ["best.keras", "history.csv", "checkpoints/epoch-0002.keras"])
def test_a_run_stopped_while_it_writes_resumes(
    finished: Path, config: Config, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of epoch 2 was written: it is trained again, to the same end."""
    written = RunFolder.replace

    def stop(folder: RunFolder, file: str, write: Callable[[Path], object]) -> None:
        place = folder.path / name
        if file == name and (folder.path / "checkpoints/epoch-0001.keras").exists():
            for left in (f".part-{place.name}", ".vcam-0123456789abcdef.part.keras"):
                place.with_name(left).write_bytes(b"half")
            raise KeyboardInterrupt
        written(folder, file, write)

    monkeypatch.setattr(RunFolder, "replace", stop)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        quiet(config, out)
    monkeypatch.undo()
    lines: list[str] = []
    quiet(config, out, lines.append)
    assert f"Resuming after epoch 1 of {EPOCHS}" in lines
    assert_same_run(out, finished)
    assert not [path for path in out.rglob(".*") if path.name != "tensorboard"]


def test_a_run_stopped_before_its_first_epoch_starts_again(
    finished: Path, config: Config, tmp_path: Path
) -> None:
    def stop(line: str) -> None:
        if "parameters" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet(config, tmp_path / "stopped", stop)
    quiet(config, tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", finished)


def assert_same_run(run: Path, expected: Path) -> None:
    """Bit by bit, but for the seconds it took."""
    assert set(state(run)) == set(state(expected))
    assert without_seconds(read_history(run)) == without_seconds(read_history(expected))
    last = f"checkpoints/epoch-{EPOCHS:04d}.keras"
    for name in ("best.keras", last):
        assert weights(run / name) == weights(expected / name)
    metrics, others = (json.loads((r / "metrics.json").read_text()) for r in (run, expected))
    assert metrics | {"finished_at": ""} == others | {"finished_at": ""}


def test_another_config_in_the_same_folder_is_refused(finished: Path, config: Config) -> None:
    before = state(finished)
    with pytest.raises(
        ConfigError, match=r"found a run with epochs=3\. Name another folder with --out"
    ):
        quiet(replace(config, epochs=EPOCHS + 1), finished)
    assert state(finished) == before


def test_other_data_under_the_same_config_is_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet(config, tmp_path, stop)
    kind, made = type(config.data), type(config.data).load

    def changed(source: object, *arguments: object) -> DataSet:
        return replace(made(source, *arguments), sha256="0" * 64)

    monkeypatch.setattr(kind, "load", changed)
    with pytest.raises(ConfigError, match=r"data of the run .* changed since it began"):
        quiet(config, tmp_path)


def test_a_config_that_can_not_be_trained_leaves_no_run(config: Config, tmp_path: Path) -> None:
    """So the corrected command may use the same folder."""
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="at least 15 voxels"):
        quiet(override(config, ["data.size=9"]), out)
    with pytest.raises(ConfigError, match="at least 46 voxels"):
        quiet(override(config, ["model=keras_ct"]), out)
    assert (quiet(override(config, ["epochs=1"]), out) / "metrics.json").exists()


def test_a_run_that_diverges_is_one_clear_error(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss is .*learning_rate"):
        quiet(replace(config, learning_rate=1e30), tmp_path)


def test_a_folder_that_can_not_be_written_is_one_clear_error(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"Can't write to .*--out"):
        quiet(config, tmp_path / "file" / "run")


def test_held_out_volumes_are_never_trained_on(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume is known by its sorted voxels, which the cube's symmetries leave alone."""

    def known(volumes: np.ndarray) -> set[bytes]:
        flat = np.asarray(volumes, np.float32).reshape(len(volumes), -1)
        return {np.sort(volume).tobytes() for volume in flat}

    trained: set[bytes] = set()
    checked: set[bytes] = set()
    fit, predict = keras.Model.fit, keras.Model.predict

    def spy_fit(model: keras.Model, x: tf.data.Dataset, **kwargs: object) -> object:
        for volumes, _ in x:
            trained.update(known(volumes.numpy()))
        return fit(model, x, **kwargs)

    def spy_predict(model: keras.Model, x: tf.data.Dataset, **kwargs: object) -> object:
        for volumes in x:
            checked.update(known(volumes.numpy()))
        return predict(model, x, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", spy_fit)
    monkeypatch.setattr(keras.Model, "predict", spy_predict)
    monkeypatch.setattr(train, "evaluate", stop_at_evaluation)
    with pytest.raises(KeyboardInterrupt):
        quiet(replace(config, epochs=2), tmp_path / "run")
    data = config.data.load(tmp_path, lambda line: None)
    assert trained == known(data.train.volumes)
    assert checked == known(data.validation.volumes)
    assert not (trained | checked) & known(data.test.volumes)
