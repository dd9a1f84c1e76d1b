"""Scores that mean what they say: a temperature for the logits, and where to decide.

Everything is fitted on validation logits and checked on the test split. Labels are int
[n] for exclusive classes and bool [n, K] for findings of their own. Regressions have none
of it. Source: C. Guo et al., On calibration of modern neural networks, ICML 2017
(arXiv 1706.04599).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from vcam_training.evaluation.cuts import best_cuts
from vcam_training.evaluation.reliability import Reliability, reliability

LARGEST_TEMPERATURE = 20.0
"""Temperatures are looked for from its inverse up to it."""
EVEN = 0.5
"""Score at which two classes are equally likely."""
_TOLERANCE = 1e-7
"""Of log T."""
_SMALLEST_GAIN = 1e-12
"""Of the log-likelihood: less is rounding, as where all logits are equal."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What validation says about a classifier's scores.

    Attributes:
        temperature: divides the logits before the activation.
        decision_threshold: of two exclusive classes, the second class's calibrated
            score from which on it is decided for; None for more classes, and for
            findings, where a single number could not be right for all of them.
        finding_thresholds: the same for each finding; None for one that validation
            can't set. Empty for exclusive classes, and where nobody knows.
    """

    temperature: float
    decision_threshold: float | None
    finding_thresholds: tuple[float | None, ...] = ()

    def finding_limits(self, findings: int) -> NDArray[np.float64]:
        """float64 [findings]: the thresholds; infinite where there is none."""
        known = self.finding_thresholds or (None,) * findings
        return np.array([np.inf if limit is None else limit for limit in known])


@dataclass(frozen=True, kw_only=True)
class Calibration(Fitted):
    """The same, and what the test split says about it.

    Attributes:
        before, after: reliability on the test split without and with the temperature.
    """

    before: Reliability
    after: Reliability

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values; `from_json_dict` reads them."""
        return asdict(self)

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> "Calibration":
        """The calibration that `to_json_dict` wrote."""
        read = {name: Reliability.from_json_dict(values[name]) for name in ("before", "after")}
        return cls(
            **{
                **values,
                **read,
                "finding_thresholds": tuple(values.get("finding_thresholds", ())),
            }
        )


def calibrate(
    validation_logits: NDArray,
    validation_labels: NDArray,
    test_logits: NDArray,
    test_labels: NDArray,
) -> Calibration:
    """Fits on validation, checks on test.

    Args:
        validation_logits, test_logits: [n, K], two for a model with one logit.
        validation_labels, test_labels: int [n], or bool [n, K] for findings.
    """
    return check(fit(validation_logits, validation_labels), test_logits, test_labels)


def fit(logits: NDArray, labels: NDArray, known: NDArray[np.bool_] | None = None) -> Fitted:
    """What a validation split sets.

    Args:
        logits: [n, K], two for a model with one logit.
        labels: int [n], or bool [n, K] for findings.
        known: bool [n, K], which findings are; None for all.
    """
    temperature = fit_temperature(logits, labels, known)
    if labels.ndim == 2:
        scores = scores_of(logits, temperature, exclusive=False)
        which = _all_or(known, labels)
        of_each = tuple(
            decision_threshold(scores[which[:, k], k], labels[which[:, k], k])
            for k in range(labels.shape[1])
        )
        return Fitted(temperature=temperature, decision_threshold=None, finding_thresholds=of_each)
    decision = None
    if logits.shape[1] == 2:
        decision = decision_threshold(scores_of(logits, temperature)[:, 1], labels == 1)
    return Fitted(temperature=temperature, decision_threshold=decision)


def check(
    fitted: Fitted, logits: NDArray, labels: NDArray, known: NDArray[np.bool_] | None = None
) -> Calibration:
    """What held-out volumes say about it; arguments as for `fit`."""
    before, after = (
        reliability(scores_of(logits, t, exclusive=labels.ndim == 1), labels, known)
        for t in (1.0, fitted.temperature)
    )
    return Calibration(
        temperature=fitted.temperature,
        decision_threshold=fitted.decision_threshold,
        finding_thresholds=fitted.finding_thresholds,
        before=before,
        after=after,
    )


def is_found(
    logits: NDArray, class_index: NDArray[np.int32], fitted: Fitted, *, exclusive: bool
) -> NDArray[np.bool_]:
    """bool [n]: whether the model says what each volume is asked for.

    An exclusive class must have the highest score. A finding's score must reach its
    threshold; without one it is not found.

    Args:
        logits: [n, K].
        class_index: int [n], of a class or finding.
        fitted: on validation.
        exclusive: whether classes are.
    """
    if exclusive:
        found: NDArray[np.bool_] = logits.argmax(axis=1) == class_index
        return found
    scores = scores_of(logits, fitted.temperature, exclusive=False)
    limits = fitted.finding_limits(scores.shape[1])
    rows = np.arange(len(scores))
    return scores[rows, class_index] >= limits[class_index]


def scores_of(
    logits: NDArray, temperature: float = 1.0, *, exclusive: bool = True
) -> NDArray[np.float64]:
    """float64 [n, K]: softmax or, for findings, sigmoid of the logits over the temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    scores: NDArray[np.float64] = softmax(scaled, axis=1) if exclusive else expit(scaled)
    return scores


def fit_temperature(
    logits: NDArray, labels: NDArray, known: NDArray[np.bool_] | None = None
) -> float:
    """The temperature that makes the labels most likely, but no certainty of few volumes.

    Above 1 it is the one with the highest likelihood. Below 1, where scores become more
    certain, it is the one with the lowest loss of smoothed labels: the likelihood of a
    split without a mistake would rise without end as T falls. Where the likelihood asks
    for less than 1 and smoothing for more, it is 1. So the labels never become less
    likely than with untouched logits.

    Args:
        logits: [n, K], at least one row, finite; two for a model with one logit.
        labels: int [n], or bool [n, K] for findings.
        known: bool [n, K], which findings are; None for all.

    Returns:
        1/20 … 20.
    """
    likeliest, cautious = (
        _lowest(lambda t, loss=loss: loss(logits, labels, t, known))
        for loss in (negative_log_likelihood, smoothed_loss)
    )
    temperature = max(likeliest, min(1.0, cautious))
    gain = negative_log_likelihood(logits, labels, 1.0, known) - negative_log_likelihood(
        logits, labels, temperature, known
    )
    return temperature if gain > _SMALLEST_GAIN else 1.0


def negative_log_likelihood(
    logits: NDArray,
    labels: NDArray,
    temperature: float,
    known: NDArray[np.bool_] | None = None,
) -> float:
    """Its mean, over the volumes, or the volumes' findings.

    Args:
        logits: [n, K]; two for a model with one logit.
        labels: int [n], or bool [n, K] for findings.
        temperature: divides the logits.
        known: bool [n, K], which findings are; None for all.
    """
    target = np.eye(logits.shape[1])[labels] if labels.ndim == 1 else labels.astype(np.float64)
    return _cross_entropy(logits, target, temperature, known, exclusive=labels.ndim == 1)


def smoothed_loss(
    logits: NDArray,
    labels: NDArray,
    temperature: float,
    known: NDArray[np.bool_] | None = None,
) -> float:
    """The same of smoothed labels.

    Each class counts as if
    it had been seen once more with each label: a volume of a class with N volumes is
    (N + 1) / (N + K) of that class and 1 / (N + K) of each other one. Source: J. Platt,
    Probabilistic outputs for support vector machines, 1999, for K = 2.
    """
    if labels.ndim == 1:
        target = _smoothed(labels, logits.shape[1])
    else:
        pairs = [
            _smoothed(finding.astype(int), 2, which)
            for finding, which in zip(labels.T, _all_or(known, labels).T, strict=True)
        ]
        target = np.stack([pair[:, 1] for pair in pairs], axis=1)
    return _cross_entropy(logits, target, temperature, known, exclusive=labels.ndim == 1)


def decision_threshold(scores: NDArray, positive: NDArray[np.bool_]) -> float | None:
    """The score from which on to decide for the positive class (Youden's J).

    Midway between the two scores beside the cut; of equally good ones the closest to
    one half.

    Args:
        scores: [n], calibrated, of the positive class.
        positive: bool [n].

    Returns:
        None where a class is missing or no threshold is better than chance.
    """
    if positive.all() or not positive.any():
        return None
    middles = [(low + high) / 2 for low, high in best_cuts(scores[positive], scores[~positive])]
    return min(middles, key=lambda middle: abs(middle - EVEN), default=None)


def _lowest(loss: Callable[[float], float]) -> float:
    """The temperature at which a loss is lowest; it has a single minimum over log T."""
    reach = np.log(LARGEST_TEMPERATURE)
    found = minimize_scalar(
        lambda log_t: loss(float(np.exp(log_t))),
        bounds=(-reach, reach),
        method="bounded",
        options={"xatol": _TOLERANCE},
    )
    return float(np.exp(found.x))


def _cross_entropy(
    logits: NDArray,
    target: NDArray[np.float64],
    temperature: float,
    known: NDArray[np.bool_] | None,
    *,
    exclusive: bool,
) -> float:
    scaled = np.asarray(logits, np.float64) / temperature
    if exclusive:
        return float(-(target * log_softmax(scaled, axis=1)).sum(axis=1).mean())
    each = -(target * log_expit(scaled) + (1 - target) * log_expit(-scaled))
    if known is not None:
        each = each[known]
    return float(each.mean()) if each.size else 0.0


def _all_or(known: NDArray[np.bool_] | None, labels: NDArray) -> NDArray[np.bool_]:
    return np.ones(labels.shape, bool) if known is None else known


def _smoothed(
    labels: NDArray, classes: int, known: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """float64 [n, K] from int [n], counted among the known ones."""
    seen = labels if known is None else labels[known]
    counts = np.bincount(seen, minlength=classes)[labels, None]
    return (counts * np.eye(classes)[labels] + 1) / (counts + classes)
