"""How often scores come true: the expected calibration error and what it is made of.

Of two exclusive classes the score of the second is compared with how often that class
was true; of several the highest score with how often it was right; of findings each score
with how often its finding was there. Source: C. Guo et al., On calibration of modern
neural networks, ICML 2017 (arXiv 1706.04599).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_training.evaluation.intervals import RESAMPLES, percentile_interval

BINS = 15
"""Of equal width, from 0 to 1, as in the source."""
_MOST_DRAWN, _LEAST_PERFECT = 40_000_000, 200
"""Labels drawn for the error of true probabilities, and how often they are at least."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Scores of one bin: how many, their mean, and how often they came true."""

    count: int
    score: float
    frequency: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """A reliability diagram and its figure.

    Attributes:
        error: expected calibration error, mean |score − frequency| over bins, by count.
        lower, upper: its 95 % bootstrap interval. Resampling adds to an error that can't
            be below 0, so the interval leans upwards; it always holds `error`.
        error_of_perfect: the error that scores like these show on average in as many
            cases although they are true probabilities; the measured one can't be told
            from 0 unless it is well above.
        count: scores.
        bins: those with a score, ascending.
    """

    error: float
    lower: float
    upper: float
    error_of_perfect: float
    count: int
    bins: tuple[Bin, ...]

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> "Reliability":
        """Reads what `dataclasses.asdict` made."""
        return cls(**{**values, "bins": tuple(Bin(**one) for one in values["bins"])})


def reliability(
    scores: NDArray[np.float64],
    labels: NDArray,
    known: NDArray[np.bool_] | None = None,
    *,
    seed: int = 0,
) -> Reliability:
    """The reliability of scores.

    Args:
        scores: float64 [n, K], at least one row.
        labels: int [n], or bool [n, K] for findings.
        known: bool [n, K], which findings are, at least one; None for all.
        seed: of the resampling.
    """
    score, true, volume = _claims(scores, labels, known)
    at = bin_of(score)
    error = _error(at, true - score)
    rng = np.random.default_rng(seed)
    lower, upper, perfect = _resampled(at, score, true, volume, len(labels), rng)
    return Reliability(
        error=error,
        lower=min(lower, error),
        upper=max(upper, error),
        error_of_perfect=perfect,
        count=score.size,
        bins=tuple(_bin(score[at == one], true[at == one]) for one in np.unique(at)),
    )


def expected_calibration_error(scores: NDArray[np.float64], labels: NDArray) -> float:
    """Mean distance between the scores of a bin and how often they came true, by count.

    Args:
        scores: float64 [n, K].
        labels: int [n], or bool [n, K] for findings.
    """
    score, true, _ = _claims(scores, labels, None)
    return _error(bin_of(score), true - score)


def bin_of(score: NDArray[np.float64]) -> NDArray[np.intp]:
    """int [m], 0 … 14: the bin ((b) / 15, (b + 1) / 15] of each score; 0 is in the first."""
    return np.clip(np.ceil(score * BINS) - 1, 0, BINS - 1).astype(np.intp)


def _claims(
    scores: NDArray[np.float64], labels: NDArray, known: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """The scores that are checked, float64 [m], whether each came true, 0 or 1, and its volume."""
    if labels.ndim == 2:
        which = np.ones(labels.shape, bool) if known is None else known
        return scores[which], labels[which].astype(np.float64), np.nonzero(which)[0]
    volumes = np.arange(len(labels))
    if scores.shape[1] == 2:
        return scores[:, 1], (labels == 1).astype(np.float64), volumes
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    return scores.max(axis=1), right, volumes


def _error(at: NDArray[np.intp], gap: NDArray[np.float64]) -> float:
    return float(np.abs(np.bincount(at, gap, BINS)).sum() / gap.size)


def _resampled(
    at: NDArray[np.intp],
    score: NDArray[np.float64],
    true: NDArray[np.float64],
    volume: NDArray[np.intp],
    rows: int,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Bootstrap interval of the error, and the mean error were the scores probabilities.

    Volumes are resampled, with all of their findings: these hang together.
    """
    gaps = np.bincount(volume * BINS + at, true - score, rows * BINS).reshape(rows, BINS)
    counts = np.bincount(volume, minlength=rows)
    errors, perfect = np.empty(RESAMPLES), []
    for number in range(RESAMPLES):
        drawn = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        errors[number] = np.abs(drawn @ gaps).sum() / max(1, drawn @ counts)
        if number * score.size < _MOST_DRAWN or number < _LEAST_PERFECT:
            perfect.append(_error(at, (rng.random(score.size) < score) - score))
    return *percentile_interval(errors), float(np.mean(perfect))


def _bin(score: NDArray[np.float64], true: NDArray[np.float64]) -> Bin:
    return Bin(count=score.size, score=float(score.mean()), frequency=float(true.mean()))
