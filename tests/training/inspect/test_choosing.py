"""Which volumes are shown, and how they are asked for."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_client.spec import ExplainDefault
from vcam_training.data.dataset import Split, no_masks
from vcam_training.inspecting.choosing import class_index, default_volumes, volume_index
from vcam_training.task import Task

GRID = (4, 4)


def split_of(means, labels, masks=None, names=()) -> Split:
    """Constant images of these values."""
    volumes = np.ones((len(means), *GRID), np.float32) * np.array(means)[:, None, None]
    shape = volumes.shape
    if masks is None:
        found = no_masks(shape)
    else:
        found = np.array(masks)[:, None, None] & np.ones(shape, bool)
    return Split(
        volumes=volumes.astype(np.float32), labels=np.array(labels), masks=found, names=names
    )


@pytest.fixture
def bright(subject_of):
    """Says "thing" of images brighter than 1."""
    image = keras.Input((*GRID, 1))
    cells = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(image)
    logit = layers.Dense(1, kernel_initializer="ones", bias_initializer=minus_one)
    model = keras.Model(image, logit(layers.GlobalAveragePooling2D()(cells)))
    return subject_of(model, explain_default=ExplainDefault.POSITIVE_CLASS)


def minus_one(shape, dtype=None):
    return keras.ops.full(shape, -1.0, dtype)


def test_the_first_right_one_with_a_mask_and_the_first_wrong_one(bright) -> None:
    split = split_of(
        [0.5, 1.5, 1.5, 0.5, 1.5],
        np.array([0, 0, 1, 1, 1], np.int32),
        masks=[False, False, True, True, True],
    )
    assert default_volumes(bright, split) == (2, 1)


def test_without_masks_or_mistakes(bright) -> None:
    split = split_of([0.5, 1.5], np.array([0, 1], np.int32))
    assert default_volumes(bright, split) == (0,)
    split = split_of([0.5, 1.5], np.array([1, 0], np.int32))
    assert default_volumes(bright, split) == (0,)


def test_of_findings_the_highest_score_decides(subject_of, known_model) -> None:
    model = known_model(GRID, (1.0,), [[1.0, -1.0]])
    subject = subject_of(
        model,
        task=Task.FINDINGS,
        labels=("bright", "dark"),
        explain_default=ExplainDefault.HIGHEST_FINDING,
    )
    labels = np.array([[False, True], [True, True], [False, False]])
    assert default_volumes(subject, split_of([1.0, 1.0, -1.0], labels)) == (1, 0)


def test_an_answer_that_nobody_can_judge_is_neither_right_nor_wrong(
    subject_of, known_model
) -> None:
    model = known_model(GRID, (1.0,), [[1.0, -1.0]])
    subject = subject_of(
        model,
        task=Task.FINDINGS,
        labels=("bright", "dark"),
        explain_default=ExplainDefault.HIGHEST_FINDING,
    )
    labels = np.array([[False, True], [True, True], [False, False]])
    known = np.array([[False, True], [True, True], [True, True]])
    split = replace(split_of([1.0, 1.0, -1.0], labels), known=known)
    assert default_volumes(subject, split) == (1, 2)


def test_of_a_regression_the_best_and_the_worst_answer(subject_of, known_model) -> None:
    model = known_model(GRID, (1.0,), [[1.0]])
    subject = subject_of(
        model,
        task=Task.REGRESSION,
        labels=("mean",),
        explain_default=ExplainDefault.TARGET,
    )
    truths = np.array([[1.5], [2.1], [9.0]], np.float32)
    assert default_volumes(subject, split_of([1.0, 2.0, 3.0], truths)) == (1, 2)


def test_volumes_by_number_and_by_name() -> None:
    plain = split_of([0, 1], np.array([0, 1], np.int32))
    assert volume_index(plain, "1", "test") == volume_index(plain, "#1", "test") == 1
    named = split_of([0, 1], np.array([0, 1], np.int32), names=("a slice 3", "1"))
    assert volume_index(named, "a slice 3", "test") == 0
    assert volume_index(named, "1", "test") == 1
    for asked in ("2", "-1", "b"):
        with pytest.raises(ConfigError, match="volume of the test split from 0 to 1, or a name"):
            volume_index(named, asked, "test")


def test_classes_by_name(bright) -> None:
    assert class_index(bright, "thing") == 1
    with pytest.raises(ConfigError, match="Expected one of nothing, thing, received 'other'"):
        class_index(bright, "other")
