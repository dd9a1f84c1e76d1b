"""Reports on models of findings; regressions are refused."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_client.spec import Activation, ExplainDefault
from vcam_training.data.dataset import Split, no_masks
from vcam_training.trust import measure, measuring
from vcam_training.trust.cases import negative_cases, positive_cases
from vcam_training.trust.figures import NEAR, SAME_AFTER_SHIFT, SILENT_NEGATIVES, SILENT_POSITIVES

SIDE = 16
NAMES = ("bright", "dark", "unmarked")


def findings(count: int, seed: int) -> Split:
    """Grey noise with a bright square, a dark one, both or none; the third finding is chance.

    Masks of the bright and the dark one; none of the third.
    """
    rng = np.random.default_rng(seed)
    images = rng.uniform(-0.1, 0.1, (count, SIDE, SIDE)).astype(np.float32)
    labels = np.zeros((count, 3), bool)
    masks = {0: np.zeros(images.shape, bool), 1: np.zeros(images.shape, bool)}
    for n in range(count):
        labels[n] = [n % 2, n // 2 % 2, n % 7 == 0]
        for finding, value in ((0, 1.0), (1, -1.0)):
            if labels[n, finding]:
                i, j = rng.integers(0, SIDE - 4), 8 * finding + rng.integers(0, 4)
                masks[finding][n, i : i + 4, j : j + 4] = True
                images[n, i : i + 4, j : j + 4] += value
    return Split(volumes=images, labels=labels, masks=no_masks(images.shape), finding_masks=masks)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Knows the first two findings by their brightest and darkest cell, and not the third."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((SIDE, SIDE, 1))
    x = layers.AveragePooling2D(2)(x)
    cells = layers.Conv2D(2, 1, activation="relu", name="cells")
    x = layers.GlobalMaxPooling2D()(cells(x))
    logits = layers.Dense(3, name="logits")
    model = keras.Model(image, logits(x))
    cells.set_weights([np.array([[[[1, -1]]]], np.float32), np.zeros(2, np.float32)])
    weights = np.array([[8, 0, 0.1], [0, 8, -0.1]], np.float32)
    logits.set_weights([weights, np.array([-6, -6, -1], np.float32)])
    return model


def test_each_image_is_explained_for_a_finding_that_it_shows() -> None:
    split = findings(28, 0)
    cases, absent = positive_cases(split, 3), negative_cases(split, 3)
    for found, sign in ((cases, True), (absent, False)):
        assert (split.labels[found.numbers, found.classes] == sign).all()
    assert not split.labels[absent.numbers].any()  # images without anything come first
    marked = [split.finding_masks[k][n] for k, n in zip(cases.classes, cases.numbers, strict=True)
              if k < 2]  # fmt: skip
    assert np.array_equal(cases.masks[cases.classes < 2], marked)
    assert not cases.masks[cases.classes == 2].any()


def test_a_model_of_findings_is_measured(model, spec_of) -> None:
    spec = spec_of(
        model,
        labels=NAMES,
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
    )
    report = measure(model, spec, findings(56, 1), findings(56, 2), samples=8, seeds=1)
    near = report.figure(NEAR)
    # all with a bright or dark square; the third finding has no mask to point at
    assert near.count == 42
    assert near.value == 1 > near.control
    assert report.scans == 42 + 2
    assert report.figure(SILENT_POSITIVES).value <= 2 / report.figure(SILENT_POSITIVES).count
    assert report.figure(SILENT_NEGATIVES).value > 0.5
    assert report.figure(SAME_AFTER_SHIFT).value > 0.8
    assert report.reliability.count == 56 * 3
    assert 0 < report.explanation.threshold < 1
    assert any(example.mask.any() for example in report.examples)


def test_scans_of_which_something_is_unknown_are_not_taken_for_empty() -> None:
    split = findings(28, 0)
    nothing = np.flatnonzero(~split.labels.any(axis=1))
    known = np.ones(split.labels.shape, bool)
    known[nothing[1:], 2] = False
    assert set(negative_cases(split, 3).numbers) == set(nothing)
    assert set(negative_cases(replace(split, known=known), 3).numbers) == {nothing[0]}


def test_unknown_findings_are_in_no_measure(
    model, spec_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(
        model,
        labels=NAMES,
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
    )
    rng = np.random.default_rng(0)
    validation, test = (
        replace(split, labels=split.labels & known, known=known)
        for split in (findings(56, 1), findings(56, 2))
        for known in [rng.random((56, 3)) < 0.7]
    )
    fits: list[np.ndarray] = []
    fit = measuring.fit

    def fitted(logits: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None) -> object:
        fits.append(known)
        return fit(logits, labels, known)

    monkeypatch.setattr(measuring, "fit", fitted)
    report = measure(model, spec, validation, test, samples=4, seeds=1)
    assert report.reliability.count == test.known.sum()
    assert len(fits) == 1
    assert fits[0] is validation.known


def test_a_regression_is_refused_before_anything_is_measured(model, spec_of) -> None:
    spec = spec_of(
        model,
        labels=("a", "b", "c"),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="mL",
    )
    split, said = findings(8, 0), []
    with pytest.raises(ConfigError, match=r"answers values \(a, b, c\)"):
        measure(model, spec, split, split, report=said.append)
    assert said == []
