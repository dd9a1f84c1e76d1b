"""Unknown labels are in no figure: each is that of the known ones alone."""

from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.dataset import Split, no_masks
from vcam_training.evaluation.calibration import (
    check,
    fit,
    negative_log_likelihood,
    smoothed_loss,
)
from vcam_training.evaluation.epoch_figures import epoch_figures
from vcam_training.evaluation.roles import roles
from vcam_training.evaluation.score_metrics import finding_metrics, unmeasured
from vcam_training.task import Task

NAMES = ("first", "second", "third")
ROWS = 60


def sample(seed: int = 0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((ROWS, 3)) < 0.4
    logits = rng.normal(labels * 1.5 - 0.7, 1.3)
    return logits, labels


@pytest.mark.parametrize(
    "noise", [50.0, -50.0, np.random.default_rng(9).normal(-0.3, 0.4, (ROWS, 3))]
)
def test_rows_that_are_unknown_are_as_if_they_were_not_there(noise: float | NDArray) -> None:
    logits, labels = sample()
    known = np.repeat((np.arange(ROWS) % 3 > 0)[:, None], 3, axis=1)
    rows = known[:, 0]
    noisy = np.where(known, logits, noise)  # nothing that is unknown may matter
    given = labels & known
    fitted, wanted = fit(noisy, given, known), fit(logits[rows], labels[rows])
    assert fitted.temperature == pytest.approx(wanted.temperature, rel=1e-6)
    assert fitted.finding_thresholds == pytest.approx(wanted.finding_thresholds)
    for temperature in (0.3, 1.0, 4.0):
        for loss in (negative_log_likelihood, smoothed_loss):
            assert loss(noisy, given, temperature, known) == pytest.approx(
                loss(logits[rows], labels[rows], temperature)
            )
    one, other = check(fitted, noisy, given, known), check(wanted, logits[rows], labels[rows])
    assert one.after.error == pytest.approx(other.after.error)
    assert one.after.count == other.after.count == 3 * rows.sum()
    assert [asdict(bin_) for bin_ in one.after.bins] == [asdict(bin_) for bin_ in other.after.bins]
    found = finding_metrics(noisy, given, one, NAMES, known)
    expected = finding_metrics(logits[rows], labels[rows], other, NAMES)
    assert [metric.name for metric in found] == [metric.name for metric in expected]
    assert [m.value for m in found] == pytest.approx([m.value for m in expected])
    assert epoch_figures(Task.FINDINGS, noisy, given, known) == pytest.approx(
        epoch_figures(Task.FINDINGS, logits[rows], labels[rows])
    )


def test_each_finding_has_its_own_unknown_labels() -> None:
    logits, labels = sample(1)
    known = np.random.default_rng(2).random((ROWS, 3)) < 0.6
    noisy, given = np.where(known, logits, -80.0), labels & known
    calibration = check(fit(noisy, given, known), noisy, given, known)
    found = {m.name: m for m in finding_metrics(noisy, given, calibration, NAMES, known)}
    for k, name in enumerate(NAMES):
        there, absent = (
            logits[known[:, k] & labels[:, k], k],
            logits[known[:, k] & ~labels[:, k], k],
        )
        area = np.mean([(a > b) + 0.5 * (a == b) for a in there for b in absent])
        assert found[f"AUC, {name}"].value == pytest.approx(area)
        assert found[f"AUC, {name}"].count == known[:, k].sum()
    mean = found["mean AUC"]
    assert mean.value == pytest.approx(np.mean([found[f"AUC, {name}"].value for name in NAMES]))
    assert mean.lower < mean.value < mean.upper
    assert calibration.after.count == known.sum()
    assert calibration.after.lower <= calibration.after.error <= calibration.after.upper


def test_a_finding_that_is_never_known_has_no_figure() -> None:
    logits, labels = sample()
    known = np.ones((ROWS, 3), bool)
    known[:, 1] = False
    given = labels & known
    fitted = fit(logits, given, known)
    assert fitted.finding_thresholds[1] is None
    assert fitted.finding_thresholds[0] is not None
    metrics = finding_metrics(logits, given, check(fitted, logits, given, known), NAMES, known)
    assert "AUC, second" not in {metric.name for metric in metrics}
    assert unmeasured(given, NAMES, known) == ("No AUC of the finding second: it is never known.",)


def test_nothing_unknown_is_explained_as_absent() -> None:
    """Ten images show the first finding; in none of the others is anything known."""
    labels = np.repeat([[True, False], [False, False]], 10, axis=0)
    known = np.repeat([[True, True], [False, False]], 10, axis=0)
    volumes = np.zeros((20, 2, 2), np.float32)
    split = Split(volumes=volumes, labels=labels, masks=no_masks(volumes.shape), known=known)
    shown, absent = roles(split, 2).class_index.T
    assert shown.tolist() == [0] * 10 + [-1] * 10
    assert absent.tolist() == [-1] * 20


def test_what_is_explained_as_absent_is_known_to_be() -> None:
    labels = np.array([[True, False], [False, False], [False, True], [False, False]])
    known = np.array([[True, True], [False, False], [True, True], [True, False]])
    volumes = np.zeros((4, 2, 2), np.float32)
    split = Split(volumes=volumes, labels=labels, masks=no_masks(volumes.shape), known=known)
    for at, (_, absent) in enumerate(roles(split, 2).class_index):
        assert absent == -1 or (known[at, absent] and not labels[at, absent])
    assert (roles(split, 2).class_index[1] == -1).all()


def test_what_is_known_has_the_shape_of_the_labels() -> None:
    volumes = np.zeros((4, 2, 2), np.float32)
    with pytest.raises(ConfigError, match="Expected known labels of findings"):
        Split(
            volumes=volumes,
            labels=np.zeros((4, 2), bool),
            masks=no_masks(volumes.shape),
            known=np.ones((4, 3), bool),
        )
