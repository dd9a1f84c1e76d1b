"""Losses against NumPy: weights that follow from a batch, the focal loss, and their edges."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.learning.losses import BatchWeighted, Loss
from vcam_training.task import UNKNOWN, Task

TRUE = np.array([[1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], np.float32)
LOGITS = np.array([[2.0, -1.0, 0.5, -3.0], [0.0, 4.0, -0.5, 1.5], [-2.0, 0.3, 6.0, -7.0]])
THERE, ABSENT = 3, 9
"""True and false labels of TRUE."""


def entropy(truth: NDArray, logits: NDArray) -> NDArray:
    """Binary cross-entropy, from its definition in float64."""
    score = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return -(truth * np.log(score) + (1 - truth) * np.log(1 - score))


def missed(truth: NDArray, logits: NDArray) -> NDArray:
    """How far the score of each label is from it."""
    score = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return truth * (1 - score) + (1 - truth) * score


def value(loss: Loss, truth: NDArray = TRUE, logits: NDArray = LOGITS) -> float:
    built = loss.build(Task.FINDINGS, truth.shape[1])
    return float(built(truth, logits.astype(np.float32)))


def gradient(loss: Loss, truth: NDArray, logits: NDArray) -> NDArray:
    import tensorflow as tf

    built = loss.build(Task.FINDINGS, truth.shape[1])
    variable = tf.Variable(logits.astype(np.float32))
    with tf.GradientTape() as tape:
        answer = built(truth, variable)
    return tape.gradient(answer, variable).numpy()


def test_without_weights_each_label_counts_once() -> None:
    assert value(Loss()) == pytest.approx(entropy(TRUE, LOGITS).mean(), rel=1e-5)


def test_batch_ratio_counts_true_labels_n_over_p_times() -> None:
    weight = np.where(TRUE == 1, ABSENT / THERE, 1.0)
    wanted = (weight * entropy(TRUE, LOGITS)).mean()
    assert value(Loss(weights="batch_ratio")) == pytest.approx(wanted, rel=1e-5)


def test_batch_both_weighs_true_and_false_labels() -> None:
    every = THERE + ABSENT
    weight = np.where(TRUE == 1, every / THERE, every / ABSENT)
    wanted = (weight * entropy(TRUE, LOGITS)).mean()
    assert value(Loss(weights="batch_both")) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("weights", ["batch_ratio", "batch_both"])
def test_true_and_false_labels_weigh_alike_in_total(weights: str) -> None:
    """At logits of 0 each label has the same gradient but for its weight and sign."""
    slope = gradient(Loss(weights=weights), TRUE, np.zeros_like(LOGITS))
    assert slope[TRUE == 1].sum() == pytest.approx(-slope[TRUE == 0].sum(), rel=1e-5)


@pytest.mark.parametrize("weights", ["batch_ratio", "batch_both"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_batch_of_one_kind_of_label_has_nothing_to_balance(weights: str, label: float) -> None:
    alike = np.full_like(TRUE, label)
    wanted = entropy(alike, LOGITS).mean()
    assert value(Loss(weights=weights), alike) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("focusing", [0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("weights", ["none", "batch_ratio", "batch_both"])
def test_the_focal_loss_is_entropy_times_a_power_of_what_is_missed(
    weights: str, focusing: float
) -> None:
    every = THERE + ABSENT
    weight = {
        "none": np.ones_like(TRUE),
        "batch_ratio": np.where(TRUE == 1, ABSENT / THERE, 1.0),
        "batch_both": np.where(TRUE == 1, every / THERE, every / ABSENT),
    }[weights]
    wanted = (weight * missed(TRUE, LOGITS) ** focusing * entropy(TRUE, LOGITS)).mean()
    loss = Loss(kind="focal", weights=weights, focusing=focusing)
    # Keras computes its own from clipped probabilities
    assert value(loss) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("weights", ["none", "batch_ratio", "batch_both"])
def test_smoothing_moves_labels_but_not_their_weights(weights: str) -> None:
    soft = TRUE * 0.8 + 0.1
    every = THERE + ABSENT
    weight = {
        "none": np.ones_like(TRUE),
        "batch_ratio": np.where(TRUE == 1, ABSENT / THERE, 1.0),
        "batch_both": np.where(TRUE == 1, every / THERE, every / ABSENT),
    }[weights]
    wanted = (weight * entropy(soft, LOGITS)).mean()
    assert value(Loss(weights=weights, label_smoothing=0.2)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("focusing", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", ["batch_ratio", "batch_both"])
def test_logits_far_out_have_finite_losses_and_gradients(weights: str, focusing: float) -> None:
    far = np.where(TRUE == 1, 300.0, -300.0) * np.array([[1.0], [1.0], [-1.0]])
    loss = Loss(kind="focal" if focusing else "", weights=weights, focusing=focusing)
    assert np.isfinite(value(loss, TRUE, far))
    assert np.isfinite(gradient(loss, TRUE, far)).all()


def test_half_precision_counts_all_labels_of_a_split() -> None:
    """70 000 labels are more than float16 holds."""
    truth = np.zeros((5000, 14), np.float32)
    truth[::10] = 1
    logits = np.zeros(truth.shape, np.float16)
    loss = Loss(weights="batch_ratio").build(Task.FINDINGS, 14)
    assert float(loss(truth, logits)) == pytest.approx(2 * 0.9 * np.log(2), rel=1e-3)


def test_it_is_saved_with_its_settings() -> None:
    loss = BatchWeighted(both=True, focusing=1.5, label_smoothing=0.1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, BatchWeighted)
    assert (again.both, again.focusing, again.label_smoothing) == (True, 1.5, 0.1)
    truth, logits = TRUE, LOGITS.astype(np.float32)
    assert float(again(truth, logits)) == float(loss(truth, logits))


def test_balanced_classes_weigh_alike_in_total() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2], np.int32)
    weights = Loss(weights="balanced").sample_weights(labels, 3)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), 2.0, rtol=1e-6)
    assert weights.mean() == pytest.approx(1)
    assert Loss().sample_weights(labels, 3) is None


@pytest.mark.parametrize(
    ("loss", "task", "says"),
    [
        (Loss(weights="batch_ratio"), Task.CLASSES, "loss.weights"),
        (Loss(weights="balanced"), Task.FINDINGS, "loss.weights"),
        (Loss(weights="batch_both"), Task.REGRESSION, "loss.weights"),
        (Loss(kind="squared"), Task.FINDINGS, "loss.kind"),
        (Loss(kind="focal"), Task.REGRESSION, "loss.kind"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(loss: Loss, task: Task, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        loss.build(task, 3)


@pytest.mark.parametrize(
    "values", [{"kind": "hinge"}, {"weights": "batch"}, {"label_smoothing": 1.0}, {"focusing": -1}]
)
def test_unknown_settings_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match=r"loss\."):
        Loss(**values)


KNOWN = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
SOME = np.where(KNOWN, TRUE, UNKNOWN).astype(np.float32)


@pytest.mark.parametrize("kind", ["", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_unknown_labels_count_nowhere(kind: str, smoothing: float) -> None:
    """The mean over the known labels of the batch, and no gradient for the others."""
    loss = Loss(kind=kind, label_smoothing=smoothing)
    built = loss.build(Task.FINDINGS, 4, all_known=False)
    target = TRUE * (1 - smoothing) + smoothing / 2
    each = entropy(target, LOGITS) * (missed(target, LOGITS) ** 2 if kind else 1)
    assert float(built(SOME, LOGITS.astype(np.float32))) == pytest.approx(
        each[KNOWN].mean(), rel=1e-5
    )
    other = np.where(KNOWN, LOGITS, 100.0).astype(np.float32)
    assert float(built(SOME, other)) == pytest.approx(each[KNOWN].mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["", "focal"])
def test_with_all_labels_known_it_is_the_loss_of_keras(kind: str) -> None:
    loss = Loss(kind=kind, label_smoothing=0.1)
    masked = loss.build(Task.FINDINGS, 4, all_known=False)
    logits = LOGITS.astype(np.float32)
    assert isinstance(masked, BatchWeighted)
    assert float(masked(TRUE, logits)) == pytest.approx(value(loss), rel=1e-5)


@pytest.mark.parametrize(("weights", "both"), [("batch_ratio", False), ("batch_both", True)])
def test_weights_follow_from_known_labels(weights: str, both: bool) -> None:
    there, absent = int(TRUE[KNOWN].sum()), int((1 - TRUE[KNOWN]).sum())
    assert (there, absent) == (3, 2)
    for_true = (there + absent) / there if both else absent / there
    for_false = (there + absent) / absent if both else 1.0
    weight = np.where(TRUE == 1, for_true, for_false)
    wanted = (weight * entropy(TRUE, LOGITS))[KNOWN].mean()
    built = Loss(weights=weights).build(Task.FINDINGS, 4)
    assert float(built(SOME, LOGITS.astype(np.float32))) == pytest.approx(wanted, rel=1e-5)


def test_a_batch_without_a_known_label_has_no_loss_and_no_gradient() -> None:
    import tensorflow as tf

    built = Loss().build(Task.FINDINGS, 4, all_known=False)
    nothing = np.full((3, 4), UNKNOWN, np.float32)
    variable = tf.Variable(LOGITS.astype(np.float32))
    with tf.GradientTape() as tape:
        answer = built(nothing, variable)
    assert float(answer) == 0.0
    np.testing.assert_array_equal(tape.gradient(answer, variable).numpy(), 0.0)
    variable = tf.Variable(LOGITS.astype(np.float32))
    with tf.GradientTape() as tape:
        answer = built(SOME, variable)
    slope = tape.gradient(answer, variable).numpy()
    np.testing.assert_array_equal(slope != 0, KNOWN)


def test_targets_of_findings_say_what_is_unknown() -> None:
    labels = TRUE.astype(bool) & KNOWN
    np.testing.assert_array_equal(Task.FINDINGS.targets(labels, 4, KNOWN), SOME)
    np.testing.assert_array_equal(Task.FINDINGS.targets(TRUE.astype(bool), 4), TRUE)
