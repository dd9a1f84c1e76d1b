"""MedMNIST files as data sets: splits, names, windows, duplicates, and which file is meant."""

import json
from pathlib import Path

import numpy as np
import pytest
from real_scans import ROOT

from vcam_client.errors import ConfigError
from vcam_client.spec import SliceAggregation
from vcam_training.config import Config, load, override
from vcam_training.data.checks import check
from vcam_training.data.dataset import DataSet
from vcam_training.data.sources import MedMnistSource
from vcam_training.task import Task

LABELLED = ROOT / "labelled"
COUNTS = {"train": 20, "val": 8, "test": 6}


def arrays(
    *splits: str, sides: tuple[int, ...] = (5, 6), classes: int = 2, seed: int = 0
) -> dict[str, np.ndarray]:
    """Random images; class c of image i is i % classes."""
    rng = np.random.default_rng(seed)
    made = {}
    for split in splits:
        count = COUNTS.get(split, 40)
        prefix = f"{split}_" if split else ""
        made[f"{prefix}images"] = rng.integers(0, 256, (count, *sides)).astype(np.uint8)
        made[f"{prefix}labels"] = (np.arange(count) % classes)[:, None].astype(np.uint8)
    return made


def saved(place: Path, **more: np.ndarray) -> Path:
    np.savez(place, **more)
    return place


def loaded(place: Path, **settings: object) -> tuple[DataSet, str]:
    lines: list[str] = []
    data = MedMnistSource(**settings).load(place, lines.append)
    return data, "\n".join(lines)


def test_the_splits_of_a_complete_file_stay_as_they_are(tmp_path: Path) -> None:
    made = arrays("train", "val", "test")
    data, said = loaded(saved(tmp_path / "some.npz", **made))
    for name, split in zip(("train", "val", "test"), data.splits.values(), strict=True):
        np.testing.assert_array_equal(split.volumes, made[f"{name}_images"])
        np.testing.assert_array_equal(split.labels, made[f"{name}_labels"][:, 0])
        assert split.volumes.dtype == np.uint8
        assert split.labels.dtype == np.int32
        assert not split.masks.any()
    assert data.validation.name(3) == "val_images[3]"
    assert data.contract.task is Task.CLASSES
    assert data.labels == ("0", "1")
    assert data.grid.shape == (5, 6)
    assert data.grid.axes == ()
    assert data.contract.intensity.window == (0.0, 255.0)
    assert data.contract.slice_aggregation is SliceAggregation.NONE
    assert "some.npz: 20 train_images of 5×6, values" in said
    assert "10/10 by class" in said
    assert "No test_images" not in said


def test_without_test_images_validation_is_tested_on_and_that_is_said(tmp_path: Path) -> None:
    data, said = loaded(saved(tmp_path / "some.npz", **arrays("train", "val")))
    assert data.test is data.validation
    assert len(data.train) == 20
    assert data.is_tested_on_validation
    assert "No test_images: the validation split is tested on" in said


def test_without_validation_images_some_are_kept_from_training(tmp_path: Path) -> None:
    place = saved(tmp_path / "some.npz", **arrays("train", "test"))
    data, said = loaded(place, validation_share=0.3)
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 6, 6)
    assert np.bincount(data.validation.labels).tolist() == [3, 3]
    names = set(data.train.names) | set(data.validation.names)
    assert names == {f"train_images[{index}]" for index in range(20)}
    original = np.load(place)["train_images"]
    for split in (data.train, data.validation):
        for volume, name in zip(split.volumes, split.names, strict=True):
            index = int(name.removeprefix("train_images[").removesuffix("]"))
            np.testing.assert_array_equal(volume, original[index])
    assert "6 of 20 train_images are kept for validation, seed 0" in said
    again, _ = loaded(place, validation_share=0.3)
    other, _ = loaded(place, validation_share=0.3, seed=1)
    assert again.validation.names == data.validation.names != other.validation.names


def test_training_images_alone_are_enough(tmp_path: Path) -> None:
    data, _ = loaded(saved(tmp_path / "some.npz", **arrays("train")))
    assert (len(data.train), len(data.validation)) == (17, 3)
    assert data.test is data.validation


def test_images_of_no_split_are_split_in_three(tmp_path: Path) -> None:
    made = arrays("", classes=4)
    names = np.array(["a", "b", "c", "d"])
    data, said = loaded(saved(tmp_path / "some.npz", **made, class_names=names), test_share=0.2)
    assert [len(split) for split in data.splits.values()] == [26, 6, 8]
    assert data.labels == ("a", "b", "c", "d")
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2, 2]
    assert np.bincount(data.train.labels).min() >= 6
    together = [name for split in data.splits.values() for name in split.names]
    assert sorted(together) == sorted(f"images[{index}]" for index in range(40))
    assert "Split here, seed 0: 26 + 6 + 8" in said


def test_volumes(tmp_path: Path) -> None:
    data, _ = loaded(saved(tmp_path / "some.npz", **arrays("train", "val", sides=(4, 5, 6))))
    assert data.grid.shape == (4, 5, 6)
    assert data.contract.slice_aggregation is None


def test_several_columns_are_findings(tmp_path: Path) -> None:
    made = arrays("train", "val", "test")
    rng = np.random.default_rng(1)
    for name, count in COUNTS.items():
        made[f"{name}_labels"] = rng.integers(0, 2, (count, 14)).astype(np.uint8)
    data, said = loaded(saved(tmp_path / "chestmnist_28.npz", **made))
    assert data.contract.task is Task.FINDINGS
    assert data.labels[0] == "atelectasis"
    assert data.train.labels.shape == (20, 14)
    assert data.train.labels.dtype == bool
    assert "with each finding" in said


def test_colours_become_grey_and_that_is_said(tmp_path: Path) -> None:
    data, said = loaded(saved(tmp_path / "some.npz", **arrays("train", "val", sides=(5, 6, 3))))
    assert data.train.volumes.shape == (20, 5, 6)
    assert "Colours become grey values (0.299 red + 0.587 green + 0.114 blue)" in said


@pytest.mark.parametrize(
    ("values", "window"),
    [
        (np.array([0, 1], np.uint8), (0.0, 1.0)),
        (np.array([0, 2], np.uint8), (0.0, 255.0)),
        (np.array([-100, 300], np.int16), (-100.0, 300.0)),
        (np.array([-0.5, 2.5]), (-0.5, 2.5)),
    ],
)
def test_the_window_follows_from_the_training_images(
    values: np.ndarray, window: tuple[float, float], tmp_path: Path
) -> None:
    made = arrays("train", "val")
    made["train_images"] = np.resize(values, (20, 5, 6))
    data, _ = loaded(saved(tmp_path / "some.npz", **made))
    assert data.contract.intensity.window == window
    assert data.grid.padding_value == window[0]
    own, _ = loaded(tmp_path / "some.npz", window=(-1.0, 7.0))
    assert own.contract.intensity.window == (-1.0, 7.0)


def test_names_come_from_settings_the_file_or_its_name(tmp_path: Path) -> None:
    made = arrays("train", "val")
    own = np.array(["off", "on"])
    plain = saved(tmp_path / "pneumoniamnist_train_val.npz", **made)
    assert loaded(plain)[0].labels == ("normal", "pneumonia")
    named = saved(tmp_path / "pneumoniamnist.npz", **made, class_names=own)
    assert loaded(named)[0].labels == ("off", "on")
    assert loaded(named, names=("a", "b"))[0].labels == ("a", "b")


def test_labels_beyond_the_names_are_refused(tmp_path: Path) -> None:
    place = saved(tmp_path / "pneumoniamnist.npz", **arrays("train", "val", classes=3))
    with pytest.raises(
        ConfigError, match=r"found labels up to 2 in .* and 2 names: normal, pneumonia"
    ):
        loaded(place)
    assert len(loaded(place, names=("a", "b", "c"))[0].labels) == 3
    made = arrays("train", "val")
    for name in ("train", "val"):
        made[f"{name}_labels"] = np.hstack([made[f"{name}_labels"]] * 2)
    saved(place, **made)
    with pytest.raises(ConfigError, match=r"found 2 findings .* and 3 names"):
        loaded(place, names=("a", "b", "c"))


def test_a_class_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    made = arrays("train", "val")
    made["val_labels"][:] = 0
    with pytest.raises(ConfigError, match="validation split"):
        loaded(saved(tmp_path / "some.npz", **made))


def test_duplicates_between_splits_have_names(tmp_path: Path) -> None:
    made = arrays("train", "val", "test")
    made["val_images"][3] = made["train_images"][7]
    made["test_images"][0] = made["val_images"][1]
    data, _ = loaded(saved(tmp_path / "some.npz", **made))
    text = " ".join(check(data))
    assert "train_images[7] and val_images[3]" in text
    assert "val_images[1] and test_images[0]" in text


def test_which_file_is_meant(tmp_path: Path) -> None:
    made = arrays("train", "val")
    with pytest.raises(ConfigError, match=r"found no \.npz file\. Name the file itself with --da"):
        loaded(tmp_path)
    with pytest.raises(ConfigError, match=r"Expected one file \*\.npz in .* with --tiny makes"):
        loaded(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"found nothing at .*nothing\.npz"):
        loaded(tmp_path / "nothing.npz")
    first = saved(tmp_path / "a_1.npz", **made)
    assert loaded(tmp_path)[0].name == "a_1"
    saved(tmp_path / "b_1.npz", **made)
    with pytest.raises(ConfigError, match=r"found a_1\.npz, b_1\.npz"):
        loaded(tmp_path)
    assert loaded(tmp_path, file="b*.npz")[0].name == "b_1"
    assert loaded(tmp_path, file="b_1.npz")[0].name == "b_1"
    assert loaded(tmp_path / "elsewhere", file=str(first))[0].name == "a_1"
    assert loaded(first, file="b_1.npz")[0].name == "a_1"
    with pytest.raises(ConfigError, match=r"Expected one file c\.npz in"):
        loaded(tmp_path, file="c.npz")


def test_one_split_alone(tmp_path: Path) -> None:
    made = arrays("test")
    place = saved(tmp_path / "pneumoniamnist_test.npz", **made)
    source = MedMnistSource()
    split = source.load_split("test", place, lambda line: None)
    np.testing.assert_array_equal(split.volumes, made["test_images"])
    assert split.name(5) == "test_images[5]"
    with pytest.raises(ConfigError, match=r"Expected val_images .*, found only test_images"):
        source.load_split("validation", place, lambda line: None)
    with pytest.raises(ConfigError, match="Expected train_images to learn from"):
        source.load(place, lambda line: None)
    whole = saved(tmp_path / "held_out.npz", **arrays(""))
    assert len(source.load_split("test", whole, lambda line: None)) == 40


@pytest.mark.parametrize("sides", [(9, 12), (6, 9, 12)])
def test_made_up_images_show_their_class(sides: tuple[int, ...], tmp_path: Path) -> None:
    data, said = loaded(tmp_path, made=sides)
    assert data.grid.shape == sides
    assert "24 train_images of" in said
    for split in data.splits.values():
        brightest = split.volumes.reshape(len(split), -1).max(axis=1)
        np.testing.assert_array_equal(brightest == 200, split.labels == 1)
        assert (split.volumes[split.labels == 1] == 200).sum(axis=None) == split.labels.sum() * (
            np.prod([side // 3 for side in sides])
        )
    assert loaded(tmp_path, made=sides)[0].sha256 == data.sha256
    assert loaded(tmp_path, made=sides, seed=1)[0].sha256 != data.sha256


def test_a_file_comes_before_what_is_made_up(tmp_path: Path) -> None:
    place = saved(tmp_path / "some.npz", **arrays("train", "val"))
    assert loaded(place, made=(8, 8))[0].grid.shape == (5, 6)


def test_the_hash_is_that_of_the_data(tmp_path: Path) -> None:
    one, same, other = (
        loaded(saved(tmp_path / f"{name}.npz", **arrays("train", "val", seed=seed)))[0].sha256
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_share": 0.0}, "Expected shares above 0"),
        ({"validation_share": 0.5, "test_share": 0.5}, "below 1 together"),
        ({"window": (1.0, 1.0)}, "data.window as low,high"),
        ({"window": (1.0,)}, "data.window as low,high"),
        ({"made": (8,)}, "two or three sides"),
        ({"made": (8, 2)}, "of at least 3"),
    ],
)
def test_sources_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MedMnistSource(**settings)


@pytest.mark.parametrize("name", ["medmnist", "adrenalmnist3d", "pneumoniamnist"])
def test_configs_are_read_back(name: str) -> None:
    config = override(load(name), ["data.names=a,b", "data.window=0,1", "data.file=x.npz"])
    assert config.data.names == ("a", "b")
    assert config.data.window == (0.0, 1.0)
    assert Config.from_json_dict(json.loads(json.dumps(config.to_json_dict()))) == config


@pytest.mark.skipif(not LABELLED.is_dir(), reason="no labelled data: set VCAM_TEST_DATA")
def test_real_files() -> None:
    chests, _ = loaded(LABELLED, file="pneumoniamnist*.npz")
    assert [len(split) for split in chests.splits.values()] == [2428, 270, 270]
    assert chests.labels == ("normal", "pneumonia")
    assert any("3 volumes are in train and in validation" in line for line in check(chests))
    bodies, _ = loaded(LABELLED, file="mednist*.npz")
    assert [len(split) for split in bodies.splits.values()] == [630, 135, 135]
    assert bodies.labels == ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
    assert bodies.grid.shape == (64, 64)
