"""Folds of any data set: each volume of training and validation is held out once."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity
from vcam_training.config import Config, load, override
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Split, no_masks
from vcam_training.data.folding import fold, parse_fold
from vcam_training.data.loading import load_data
from vcam_training.data.rows import Rows
from vcam_training.data.sources import DiscsSource
from vcam_training.run_folder import RunFolder
from vcam_training.task import Task

DISCS = DiscsSource(size=64, radius=10.0, images=24)
"""17 to train on, 4 to validate, 3 to test."""


def quiet(line: str) -> None:
    pass


def known(split: Split) -> list[bytes]:
    return [np.asarray(volume).tobytes() for volume in split.volumes]


def test_each_volume_is_held_out_once_and_test_never_trained_on() -> None:
    data = DISCS.load(Path(), quiet)
    ill = int(data.train.labels.sum() + data.validation.labels.sum())
    held_out: list[bytes] = []
    for number in (1, 2, 3):
        part = fold(data, number, 3, seed=0)
        assert (len(part.train), len(part.validation)) == (14, 7)
        assert part.validation.labels.sum() in (ill // 3, -(-ill // 3))
        assert not set(known(part.train)) & set(known(part.validation))
        assert part.test is data.test
        assert part.sha256 == data.sha256
        held_out += known(part.validation)
    assert sorted(held_out) == sorted(known(data.train) + known(data.validation))


@pytest.mark.parametrize("which", [("train", "validation"), ("validation",)])
def test_what_is_known_stays_with_its_volume(which: tuple[str, ...]) -> None:
    """Also where all labels of one of the splits are known."""
    rng, count = np.random.default_rng(0), 12
    volumes = np.arange(2 * count, dtype=np.float32)[:, None, None] * np.ones((1, 3, 3), np.float32)
    whole, labels = rng.random((2 * count, 2)) < 0.5, rng.random((2 * count, 2)) < 0.5
    splits = {}
    for name, at in (("train", slice(count)), ("validation", slice(count, None))):
        if name not in which:
            whole[at] = True
        splits[name] = Split(
            volumes=volumes[at],
            labels=labels[at] & whole[at],
            masks=no_masks(volumes[at].shape),
            known=whole[at] if name in which else None,
        )
    contract = DataContract(
        task=Task.FINDINGS,
        labels=("a", "b"),
        grid=Grid(shape=(3, 3), axes=(), fit=Fit.STRETCH),
        intensity=Intensity(window=(0.0, 24.0)),
    )
    data = DataSet(name="d", contract=contract, sha256="", test=splits["validation"], **splits)
    part = fold(data, 2, 3, seed=0)
    for split in (part.train, part.validation):
        rows = np.asarray(split.volumes)[:, 0, 0].astype(int)
        assert_array_equal(split.is_known, whole[rows])


def test_labels_and_masks_stay_with_their_volumes() -> None:
    data = DISCS.load(Path(), quiet)
    before = {
        volume.tobytes(): (label, mask.sum())
        for split in (data.train, data.validation)
        for volume, label, mask in zip(split.volumes, split.labels, split.masks, strict=True)
    }
    part = fold(data, 2, 3, seed=1)
    for split in (part.train, part.validation):
        for volume, label, mask in zip(split.volumes, split.labels, split.masks, strict=True):
            assert before[volume.tobytes()] == (label, mask.sum())


def stored(index: list[int], source: np.ndarray) -> Split:
    """Two findings, masks of the second one, patients of two scans."""
    rows = np.array(index)
    labels = np.stack([rows % 2 == 0, rows % 3 == 0], axis=1)
    masks = np.zeros((len(index), 2, 2), bool)
    masks[labels[:, 1]] = True
    return Split(
        volumes=Rows(source, rows),
        labels=labels,
        masks=no_masks((len(index), 2, 2)),
        finding_masks={1: masks},
        groups=np.array([f"p{n // 2}" for n in index]),
        names=tuple(f"scan {n}" for n in index),
    )


def test_findings_groups_and_names_are_divided_without_a_copy() -> None:
    source = np.arange(24 * 4, dtype=np.float32).reshape(24, 2, 2)
    validation = stored(list(range(12, 18)), source)
    data = DataSet(
        name="data",
        contract=DataContract(
            task=Task.FINDINGS,
            labels=("a", "b"),
            grid=Grid(shape=(2, 2), axes=(), fit=Fit.STRETCH),
            intensity=Intensity(),
        ),
        train=stored(list(range(12)), source),
        validation=validation,
        test=validation,
        sha256="",
    )
    parts = [fold(data, number, 3, seed=0) for number in (1, 2, 3)]
    for part in parts:
        assert part.is_tested_on_validation
        assert not set(part.train.groups) & set(part.validation.groups)
        for split in (part.train, part.validation):
            assert split.volumes.source is source
            numbers = [int(name.removeprefix("scan ")) for name in split.names]
            assert_array_equal(split.volumes, source[numbers])
            assert_array_equal(split.labels[:, 1], np.array(numbers) % 3 == 0)
            assert_array_equal(split.finding_masks[1].any(axis=(1, 2)), split.labels[:, 1])
            assert not split.masks.any()
            assert split.masks.source.strides == (0, 0, 0)  # takes no memory
    assert sorted(name for p in parts for name in p.validation.names) == sorted(
        (*data.train.names, *data.validation.names)
    )


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "2/", "-1/5", "1/5/5"])
def test_what_is_no_fold(text: str) -> None:
    with pytest.raises(ConfigError, match="fold"):
        parse_fold(text)
    with pytest.raises(ConfigError, match="fold"):
        override(load("discs", tiny=True), [f"fold={text}"])


def test_more_folds_than_volumes() -> None:
    data = DISCS.load(Path(), quiet)
    with pytest.raises(ConfigError, match="at least 22 samples"):
        fold(data, 1, 22, seed=0)
    with pytest.raises(ConfigError, match="a fold from 1 to 3, received 4"):
        fold(data, 4, 3, seed=0)


def test_a_fold_is_part_of_the_config_and_of_its_folder(tmp_path: Path) -> None:
    config = override(load("discs", tiny=True), ["fold=2/3"])
    assert Config.from_json_dict(config.to_json_dict()) == config
    RunFolder(tmp_path, config).begin({"sha256": ""})
    RunFolder(tmp_path, config)
    for other in ("fold=1/3", "fold="):
        with pytest.raises(ConfigError, match=r"found a run with fold=2/3\."):
            RunFolder(tmp_path, override(config, [other]))


def test_a_runs_data_are_its_fold() -> None:
    told: list[str] = []
    whole = load_data(DISCS, Path(), quiet)
    part = load_data(DISCS, Path(), told.append, fold_text="2/3", seed=5)
    assert known(whole.train) == known(DISCS.load(Path(), quiet).train)
    assert known(part.validation) == known(fold(whole, 2, 3, seed=5).validation)
    assert told[-1] == "Fold 2 of 3: 14 train, 7 validation"
