"""What spoils training is found before it: leaks, empty splits, labels that never vary."""

import numpy as np
import pytest

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity
from vcam_training.data.agreement import check_split
from vcam_training.data.checks import check
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Split, no_masks, sha256_of
from vcam_training.task import Task

GRID = (3, 4, 5)
LABELS = {
    Task.CLASSES: np.array([0, 1, 0, 1], np.int32),
    Task.FINDINGS: np.array([[0, 1], [1, 0], [0, 0], [1, 1]], bool),
    Task.REGRESSION: np.array([[0, 1], [1, 0], [2, 0], [3, 1]], np.float32),
}


def split(seed: int, task: Task = Task.CLASSES, **changes: object) -> Split:
    volumes = np.random.default_rng(seed).normal(50, 20, (4, *GRID)).astype(np.float32)
    values = {"volumes": volumes, "labels": LABELS[task], "masks": no_masks(volumes.shape)}
    return Split(**{**values, **changes})


def data_set(task: Task = Task.CLASSES, **splits: Split) -> DataSet:
    made = {name: split(n, task) for n, name in enumerate(("train", "validation", "test"))}
    return DataSet(
        name="data",
        contract=DataContract(
            task=task,
            labels=("a", "b"),
            grid=Grid(shape=GRID, axes=(), fit=Fit.STRETCH),
            intensity=Intensity(window=(0.0, 100.0)),
        ),
        sha256="",
        **{**made, **splits},
    )


@pytest.mark.parametrize("task", Task)
def test_sound_data_have_no_remarks(task: Task) -> None:
    assert check(data_set(task)) == ()


def test_labels_that_nobody_knows_are_named() -> None:
    """A finding that is the same wherever it is known never varies; a split needs a known label."""
    labels = LABELS[Task.FINDINGS]
    some = np.array([[1, 0], [1, 1], [1, 0], [1, 1]], bool)
    given = split(0, Task.FINDINGS, labels=labels & some, known=some)
    assert check(data_set(Task.FINDINGS, train=given)) == ()
    some[0::2, 0] = False  # of the first finding, only those that are there are left
    given = split(0, Task.FINDINGS, labels=labels & some, known=some)
    (said,) = check(data_set(Task.FINDINGS, train=given))
    assert said.endswith("of train: a.")
    none = np.zeros(labels.shape, bool)
    unknown = split(1, Task.FINDINGS, labels=none, known=none)
    with pytest.raises(ConfigError, match="no known label in the validation split"):
        check(data_set(Task.FINDINGS, validation=unknown))
    contract = data_set(Task.FINDINGS).contract
    check_split(contract, given, ())
    with pytest.raises(ConfigError, match="Expected labels that are known, received none"):
        check_split(contract, unknown, ())


def test_the_hash_of_splits_tells_unknown_from_absent() -> None:
    labels = np.zeros((4, 2), bool)
    hashes = {
        sha256_of(split(0, Task.FINDINGS, labels=labels, known=known))
        for known in (None, np.eye(4, 2, dtype=bool), np.eye(4, 2, 1, dtype=bool))
    }
    assert len(hashes) == 3


def test_groups_in_two_splits_are_named() -> None:
    leaking = data_set(
        train=split(0, groups=np.array(["p1", "p2", "p3", "p4"])),
        validation=split(1, groups=np.array(["p5", "p2", "p5", "p6"])),
        test=split(2, groups=np.array(["p7", "p7", "p2", "p4"])),
    )
    with pytest.raises(ConfigError, match="2 problems") as caught:
        check(leaking)
    assert "group 'p2' in the splits train, validation, test" in str(caught.value)
    assert "group 'p4' in the splits train, test" in str(caught.value)


def test_everything_is_named_at_once() -> None:
    nothing = split(
        1,
        Task.FINDINGS,
        volumes=np.zeros((0, *GRID), np.float32),
        labels=np.zeros((0, 2), bool),
        masks=no_masks((0, *GRID)),
    )
    same = split(0, Task.FINDINGS, labels=np.ones((4, 2), bool))
    strange = split(2, Task.FINDINGS, finding_masks={2: no_masks((4, *GRID))})
    with pytest.raises(ConfigError, match="3 problems") as caught:
        check(data_set(Task.FINDINGS, train=same, validation=nothing, test=strange))
    assert "no volume in the validation split" in str(caught.value)
    assert "masks of finding 2 in the test split, of 2 labels" in str(caught.value)
    assert "the same findings in all of the train split" in str(caught.value)


def test_one_class_only_never_becomes_a_data_set() -> None:
    with pytest.raises(ConfigError, match=r"each of \('a', 'b'\) in the validation split"):
        data_set(validation=split(1, labels=np.zeros(4, np.int32)))
    with pytest.raises(ConfigError, match="found 0 to 2 in the train split"):
        data_set(train=split(1, labels=np.array([0, 1, 2, 1], np.int32)))


def test_masks_of_another_shape_never_become_a_split() -> None:
    with pytest.raises(ConfigError, match="as many labels and masks as volumes"):
        split(0, masks=no_masks((4, 3, 4, 4)))


@pytest.mark.parametrize("task", [Task.FINDINGS, Task.REGRESSION])
def test_a_label_that_never_varies_is_a_warning(task: Task) -> None:
    labels = LABELS[task].copy()
    labels[:, 1] = labels[0, 1]
    (warning,) = check(data_set(task, train=split(0, task, labels=labels)))
    assert warning == "Nothing can be learned of what is the same in all of train: b."


def test_volumes_that_show_nothing_are_a_warning() -> None:
    """One value everywhere, or all of it beyond one end of the window."""
    volumes = split(0).volumes.copy()
    volumes[1], volumes[3] = 40.0, np.linspace(100, 4000, 60).reshape(GRID)
    (warning,) = check(data_set(train=split(0, volumes=volumes)))
    assert warning.startswith("2 of 4 volumes of the train split have one value everywhere")
    assert "#1, #3" in warning


def test_the_same_volume_in_two_splits_is_a_warning() -> None:
    volumes = split(2).volumes.copy()
    volumes[3] = split(0).volumes[1]
    names = ("t0", "t1", "t2", "t3")
    (warning,) = check(data_set(test=split(2, volumes=volumes, names=names)))
    assert "1 volumes are in train and in test" in warning
    assert "#1 and t3" in warning


def test_twice_in_the_same_split_is_no_leak() -> None:
    volumes = split(0).volumes.copy()
    volumes[3] = volumes[1]
    assert check(data_set(train=split(0, volumes=volumes))) == ()


def test_a_validation_split_that_stands_in_for_test_is_no_leak() -> None:
    both = split(1, groups=np.array(["p1", "p2", "p3", "p4"]))
    data = data_set(
        train=split(0, groups=np.array(["p5", "p6", "p7", "p8"])), validation=both, test=both
    )
    assert data.is_tested_on_validation
    assert check(data) == ()
