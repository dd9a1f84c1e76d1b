"""Scores: what they must be, percentages, the class explained by default, slices into one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ContractError
from vcam_client.spec import Activation, ExplainDefault, ModelSpec, SliceAggregation

_HUNDREDTHS = 10_000
"""Hundredths of a percent in the whole."""
_BEYOND = 1e-6
"""How far float32 arithmetic may carry a score beyond 0 or 1: eight units in the last place.
Rounding to a narrower format does not, as it holds 0 and 1 exactly."""
_SUM_OFF = 2.0**-7
"""How far the sum of exclusive scores may be from 1. A format with p significant bits rounds
by at most 2^-p of a value. bfloat16, the narrowest that models are served in, has 8 bits, and
a softmax rounds twice: its sum of exponentials and each quotient. float16 (11 bits) and
float32 (24) stay well below that."""
_SHOWN = 6
"""Scores that a message quotes."""


def promised_scores(rows: NDArray[Any], spec: ModelSpec) -> NDArray[Any]:
    """Scores that are what the spec's activation makes of logits.

    Args:
        rows: [B, K], finite, as the server sent them.

    Returns:
        [B, K]: those of classes and findings in [0, 1], where rounding left it by a hair.

    Raises:
        ContractError: a score of a class or finding outside of [0, 1], or scores of
            exclusive classes that do not sum to 1. The value of a regression may be any.
    """
    if spec.activation is Activation.IDENTITY:
        return rows
    wide = rows.astype(np.float64)
    broken = ((wide < -_BEYOND) | (wide > 1 + _BEYOND)).any(axis=1)
    if spec.exclusive:
        broken |= np.abs(wide.sum(axis=1) - 1) > _SUM_OFF
    if broken.any():
        row = wide[int(np.argmax(broken))]
        more = ", …" if row.size > _SHOWN else ""
        quoted = ", ".join(f"{score:.4g}" for score in row[:_SHOWN]) + more
        total = f", which sum to {row.sum():.4g}" if spec.exclusive else ""
        wanted = "from 0 to 1 that sum to 1" if spec.exclusive else "from 0 to 1"
        raise ContractError(
            f"Expected 'scores' {wanted}, as a {spec.activation.name.lower()} gives them; "
            f"received {quoted}{total}. Export the model again with the activation that its "
            "last layer has."
        )
    kept: NDArray[Any] = np.clip(rows, 0, 1)
    return kept


def percentages(scores: NDArray[np.float64], *, exclusive: bool) -> list[float]:
    """Percentages with two decimals.

    Args:
        scores: [K], in [0, 1].
        exclusive: the classes exclude each other: the percentages sum to exactly
            100.00 (largest remainder); else each is rounded by itself.
    """
    if not exclusive:
        return [round(100 * float(s), 2) for s in scores]
    exact = _HUNDREDTHS * scores / scores.sum()
    units = np.floor(exact).astype(int)
    missing = _HUNDREDTHS - int(units.sum())
    for n in np.argsort(-(exact - units), kind="stable")[:missing]:
        units[n] += 1
    return [int(u) / 100 for u in units]


def default_class(scores: NDArray[np.float64], spec: ModelSpec) -> int:
    """Index of the class explained where the caller names none."""
    if spec.explain_default is ExplainDefault.POSITIVE_CLASS:
        return 1
    if spec.explain_default is ExplainDefault.TARGET:
        return 0
    return int(np.argmax(scores))


def aggregate(scores: NDArray[np.float64], spec: ModelSpec) -> NDArray[np.float64]:
    """Scores of a volume from those of its slices.

    MEAN averages. MAX takes the highest score of each label; for exclusive
    classes, so that the scores still sum to one, the scores of the slice with
    the highest positive score (a model with a positive class), or the highest
    scores divided by their sum.

    Args:
        scores: [slices, K].

    Returns:
        [K].
    """
    if spec.slice_aggregation is SliceAggregation.MEAN:
        mean: NDArray[np.float64] = scores.mean(axis=0)
        return mean
    if spec.explain_default is ExplainDefault.POSITIVE_CLASS:
        row: NDArray[np.float64] = scores[int(np.argmax(scores[:, 1]))]
        return row
    highest: NDArray[np.float64] = scores.max(axis=0)
    return highest / highest.sum() if spec.exclusive else highest
