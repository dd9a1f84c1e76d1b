"""The experiment: what it is set to, and a tiny fold of it from the command line."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from vcam_client.spec import ExplainDefault
from vcam_training import _cli
from vcam_training.config import Config, load, override
from vcam_training.data.scans.montage import montage
from vcam_training.data.sources import CtPhantomSource
from vcam_training.evaluation.confidence import confidence_text
from vcam_training.evaluation.evaluate import ON_VALIDATION
from vcam_training.intensity import intensity_layer
from vcam_training.learning.pipeline import plain_batches, training_batches

RUN = Path("build/runs/ct_pneumonia-tiny-fold-1-of-2")


def vcam_train(*arguments: str) -> int:
    """Exit code of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vcam-train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
    return stopped.value.code or 0


def network(config: Config) -> keras.Model:
    contract = config.data.contract
    scaling = intensity_layer(config.scaling, contract.intensity, contract.grid)
    return config.model.build(contract.grid.shape, scaling, config.outputs(contract))


def test_it_is_set_as_the_keras_example() -> None:
    config = load("ct-pneumonia")
    assert network(config).count_params() == 1_352_897
    assert config.explain_default is ExplainDefault.POSITIVE_CLASS
    assert (config.data.validation, config.data.test) == (0.3, 0.0)
    assert config.augmentation.angles == (5.0, 10.0, 20.0)
    assert config.data.contract.grid.axes[config.augmentation.rotate_axis] == "S"
    assert (config.optimizer.name, config.batch_size) == ("adam", 2)
    assert (config.monitor, config.patience) == ("loss", 15)
    rate = config.schedule.by_step(config.learning_rate, config.epochs, 70)
    found = [float(rate(step)) for step in (0, 99_999, 100_000, 200_000)]
    np.testing.assert_allclose(found, [1e-4, 1e-4, 0.96e-4, 0.96**2 * 1e-4], rtol=1e-6)


def test_its_network_can_be_trained_on_the_phantoms_of_the_demo() -> None:
    config = override(load("ct_pneumonia"), ["data=ct_phantom"])
    assert config.data == CtPhantomSource()
    assert network(config).count_params() == 1_352_897


def test_only_training_volumes_are_rotated(tmp_path: Path) -> None:
    config = load("ct_pneumonia", tiny=True)
    source = replace(config.data, shape=(6, 24, 24), phantoms=3)
    data = source.load(tmp_path, lambda line: None)
    grid, targets = data.grid, data.train.labels[:, None].astype(np.float32)
    batches = training_batches(
        data.train,
        targets,
        None,
        grid=grid,
        augmentation=config.augmentation,
        batch_size=1,
        seed=0,
        epoch=0,
    )
    known = [np.asarray(v, np.float32) for v in data.train.volumes]
    for volumes, _ in batches:
        turned = volumes.numpy()[0, ..., 0]
        assert min(abs(turned - v).mean() for v in known) > 10  # HU; none is as it was
        # about the long axis: each slice keeps its tissue, up to what leaves at the corners
        means = [abs(turned.mean(axis=(1, 2)) - v.mean(axis=(1, 2))).max() for v in known]
        assert min(means) < 40
    checked = np.concatenate([batch.numpy() for batch in plain_batches(data.validation, 1)])
    np.testing.assert_array_equal(checked[..., 0], data.validation.volumes)


def test_confidence_is_the_percentage_of_each_class() -> None:
    logits = np.array([[-1.774, 1.774]], np.float32)
    text = confidence_text(logits[0], 1.0, ("normal", "abnormal"))
    assert text == "97.20 percent confident of abnormal, 2.80 percent confident of normal"
    halved = confidence_text(logits[0], 2.0, ("normal", "abnormal"))
    assert halved.startswith("85.50 percent confident of abnormal")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The work folder of a tiny fold, and what was printed."""
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        lines: list[str] = []
        patch.setattr("click.echo", lambda text="", **_: lines.append(str(text)))
        assert vcam_train("run", "ct_pneumonia", "--tiny", "--fold", "1/2") == 0
    return work, "\n".join(lines)


def test_a_tiny_fold_goes_all_the_way(said: tuple[Path, str]) -> None:
    work, text = said
    run = work / RUN
    assert json.loads((run / "config.json").read_text())["fold"] == "1/2"
    facts = json.loads((run / "data.json").read_text())
    assert (facts["train"], facts["validation"], facts["tested_on"]) == (5, 5, "validation")
    assert "Fold 1 of 2: 5 train, 5 validation" in text
    assert (run / "curves.png").exists()


def test_figures_of_validation_are_called_so(said: tuple[Path, str]) -> None:
    work, text = said
    figures = json.loads((work / RUN / "metrics.json").read_text())
    assert {metric["split"] for metric in figures["metrics"]} == {"validation"}
    assert ON_VALIDATION in figures["notes"]
    assert ON_VALIDATION in text
    assert "held out" not in text
    assert re.search(r"accuracy: .* on 5 of the validation split", text)


def test_each_class_has_its_confidence(said: tuple[Path, str]) -> None:
    found = re.findall(
        r"(CT-\d+)/study_\d+\.nii\.gz, which is (\w+): ([\d.]+) percent confident of (\w+), "
        r"([\d.]+) percent confident of (\w+)",
        said[1],
    )
    assert [row[:2] for row in found] == [("CT-0", "normal"), ("CT-23", "abnormal")]
    for _, _, first, one, second, other in found:
        assert {one, other} == {"normal", "abnormal"}
        assert float(first) >= float(second)
        assert float(first) + float(second) == pytest.approx(100, abs=0.02)


def test_the_montage_shows_a_validation_scan(said: tuple[Path, str]) -> None:
    work, _ = said
    config = load("ct_pneumonia", tiny=True)
    with Image.open(work / RUN / "montage.png") as opened:
        picture = np.asarray(opened.convert("L"), np.float32)
    assert picture.shape[1] == 1200
    shown = picture[-480:].reshape(4, 120, 10, 120).mean(axis=(1, 3)).ravel()
    data = config.data.load(work / "build/data", lambda line: None)
    names = set(data.train.names) | set(data.validation.names)
    assert names
    likeness = [
        np.corrcoef(
            shown,
            np.clip(montage(np.asarray(v)), -1000, 400)
            .reshape(4, 48, 10, 48)
            .mean(axis=(1, 3))
            .ravel(),
        )[0, 1]
        for split in (data.train, data.validation)
        for v in split.volumes
    ]
    assert max(likeness) > 0.999


def test_another_fold_needs_another_folder(
    said: tuple[Path, str], capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(said[0])
    arguments = ["run", "ct_pneumonia", "--tiny", "--fold", "2/2", "--out", str(RUN)]
    assert vcam_train(*arguments) == 1
    assert "found a run with fold=1/2" in capfd.readouterr().err
