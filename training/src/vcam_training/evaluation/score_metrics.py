"""Held-out figures about scores, whatever layer or method maps are made by."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import Metric
from vcam_training.evaluation.calibration import Calibration, scores_of
from vcam_training.evaluation.epoch_figures import against_others
from vcam_training.evaluation.intervals import (
    auc_metric,
    mean_auc_metric,
    mean_metric,
    r2,
    r2_metric,
    share_metric,
)


def class_metrics(
    logits: NDArray, labels: NDArray, calibration: Calibration, names: Sequence[str]
) -> list[Metric]:
    """Figures of exclusive classes on the test split.

    By chance accuracy is what the most frequent class alone would reach. Of two classes
    also sensitivity and specificity at the decision threshold, where there is one, and
    the area under the ROC curve; the second class is the positive one. Of several the
    area of each against the others and the share of its volumes that is found; classes
    without a volume have no figure.

    Args:
        logits: [n, K]; two for a model with one logit.
        labels: int [n].
        calibration: fitted on validation, checked on these volumes.
        names: of the classes.
    """
    right = logits.argmax(axis=1) == labels
    most = np.bincount(labels).max() / len(labels)
    found = [share_metric("accuracy", right, chance=most)]
    if logits.shape[1] == 2:
        return [*found, *_of_two(logits, labels == 1, calibration), _error(calibration)]
    scores = against_others(logits / calibration.temperature)
    there = np.eye(logits.shape[1], dtype=bool)[labels]
    found += _areas("mean AUC, one against the rest", scores, there, names)
    found += [
        share_metric(f"sensitivity, {name}", right[own])
        for name, own in zip(names, there.T, strict=True)
        if own.any()
    ]
    return [*found, _error(calibration)]


def finding_metrics(
    logits: NDArray,
    labels: NDArray[np.bool_],
    calibration: Calibration,
    names: Sequence[str],
    known: NDArray[np.bool_] | None = None,
) -> list[Metric]:
    """Figures of findings of their own on the test split.

    Args:
        logits: [n, K].
        labels: bool [n, K]; a finding that is always or never there has no figure.
        calibration: fitted on validation, checked on these volumes.
        names: of the findings.
        known: bool [n, K], which labels are; None for all.
    """
    return [*_areas("mean AUC", logits, labels, names, known), _error(calibration)]


def regression_metrics(
    values: NDArray, truths: NDArray, means: Sequence[float], names: Sequence[str]
) -> list[Metric]:
    """Figures of a regression on the test split, for each target.

    Args:
        values, truths: [n, K].
        means: [K], what a model without any skill would answer: the means of the split
            that fitted it. Empty where nobody knows; figures then have no chance.
        names: of the targets. One whose truths are all alike has no R².
    """
    found = []
    for at, name in enumerate(names):
        truth = truths[:, at].astype(np.float64)
        found += _of_target(name, values[:, at] - truth, truth, means[at] if means else None)
    return found


def unmeasured(
    labels: NDArray, names: Sequence[str], known: NDArray[np.bool_] | None = None
) -> tuple[str, ...]:
    """What a split has no figure of, and why, one sentence each.

    Args:
        labels: int [n] of several classes, or bool [n, K] for findings.
        names: of the classes or findings.
        known: bool [n, K], which findings are; None for all.
    """
    there = labels if labels.ndim == 2 else np.eye(len(names), dtype=bool)[labels]
    kinds = "class" if labels.ndim == 1 else "finding"
    columns = [one if known is None else one[known[:, k]] for k, one in enumerate(there.T)]
    how = [
        "never known" if not one.size else "always there" if one.all() else "never there"
        for one in columns
    ]
    return tuple(
        f"No AUC of the {kinds} {name}: it is {what}."
        for name, one, what in zip(names, columns, how, strict=True)
        if one.all() or not one.any()
    )


def _of_two(logits: NDArray, positive: NDArray[np.bool_], calibration: Calibration) -> list[Metric]:
    if positive.all() or not positive.any():
        return []
    found = []
    if calibration.decision_threshold is not None:
        scores = scores_of(logits, calibration.temperature)[:, 1]
        decided = scores >= calibration.decision_threshold
        found += [
            share_metric("sensitivity, at threshold", decided[positive]),
            share_metric("specificity, at threshold", ~decided[~positive]),
        ]
    margin = logits[:, 1] - logits[:, 0]  # ranks as scores do, and never saturates
    return [*found, auc_metric("AUC", margin[positive], margin[~positive])]


def _areas(
    mean_name: str,
    scores: NDArray,
    labels: NDArray[np.bool_],
    names: Sequence[str],
    known: NDArray[np.bool_] | None = None,
) -> list[Metric]:
    """The mean area of the columns with both kinds of labels, and that of each."""
    which = np.ones(labels.shape, bool) if known is None else known
    there, absent = labels & which, ~labels & which
    kept = np.flatnonzero(there.any(axis=0) & absent.any(axis=0))
    if not kept.size:
        return []
    return [
        mean_auc_metric(mean_name, scores[:, kept], labels[:, kept], which[:, kept]),
        *(
            auc_metric(f"AUC, {names[k]}", scores[there[:, k], k], scores[absent[:, k], k])
            for k in kept
        ),
    ]


def _of_target(
    name: str, errors: NDArray[np.float64], truths: NDArray[np.float64], mean: float | None
) -> list[Metric]:
    by_chance = None if mean is None else mean - truths
    measures: list[tuple[str, Callable[[NDArray], NDArray]]] = [
        (f"MSE, {name}", np.square),
        (f"mean absolute error, {name}", np.abs),
    ]
    found = []
    for label, measure in measures:
        chance = None if by_chance is None else float(measure(by_chance).mean())
        found.append(mean_metric(label, measure(errors), chance=chance))
    if truths.std() > 0:
        chance = None if by_chance is None else r2(by_chance, truths)
        found.append(r2_metric(f"R², {name}", errors, truths, chance=chance))
    return found


def _error(calibration: Calibration) -> Metric:
    measured = calibration.after
    return Metric(
        name="expected calibration error",
        value=measured.error,
        lower=measured.lower,
        upper=measured.upper,
        count=measured.count,
        split="test",
    )
