"""The logit of a score, ln(p / (1 − p)), from what the model says before its activation.

A score close to 0 or 1 hardly moves, whatever is hidden; its logit does. It is computed from the
logits of the model, never from the score, so it doesn't saturate.
"""

import numpy as np
from numpy.typing import NDArray

from vcam_client._explaining import is_stack, together
from vcam_client.spec import Activation, ExplainDefault, ModelSpec, SliceAggregation

_Rows = NDArray[np.float64]


def score_logits(logits: _Rows, spec: ModelSpec) -> _Rows:
    """Logits of a scan's scores; for a regression the values themselves.

    Slices are put together so that the sigmoid of what is returned is `scores.aggregate` of their
    scores.

    Args:
        logits: float64 [S, K], of the scan, or of each of its slices.
        spec: the model's.

    Returns:
        float64 [K].
    """
    rows = logits / (spec.calibration_temperature or 1.0)
    if spec.activation is Activation.IDENTITY or (len(spec.labels) == 1 and spec.exclusive):
        return together(rows, spec)
    is_class, is_another = _logarithms(rows, spec)
    odds: _Rows = is_class - is_another
    if is_stack(spec):
        odds = _of_stack(odds, is_class, is_another, spec)
    one: _Rows = odds[0]
    return one


def _of_stack(odds: _Rows, is_class: _Rows, is_another: _Rows, spec: ModelSpec) -> _Rows:
    """[1, K] of all slices together."""
    one: _Rows
    if spec.slice_aggregation is SliceAggregation.MEAN:
        sums = [np.logaddexp.reduce(part, axis=0, keepdims=True) for part in (is_class, is_another)]
        one = sums[0] - sums[1]
    elif spec.explain_default is ExplainDefault.POSITIVE_CLASS:
        one = odds[[int(np.argmax(odds[:, 1]))]]
    elif spec.exclusive:
        highest = is_class.max(axis=0, keepdims=True)
        one = highest - _others(highest)
    else:
        one = odds.max(axis=0, keepdims=True)
    return one


def _logarithms(rows: _Rows, spec: ModelSpec) -> tuple[_Rows, _Rows]:
    """ln p and ln(1 − p) of each score, [S, K]."""
    if spec.activation is Activation.SIGMOID:
        return -np.logaddexp(0, -rows), -np.logaddexp(0, rows)
    whole = np.logaddexp.reduce(rows, axis=1, keepdims=True)
    return rows - whole, _others(rows) - whole


def _others(rows: _Rows) -> _Rows:
    """ln of the sum of the exponentials of all other classes, [S, K]."""
    kept = range(rows.shape[1])
    return np.stack([np.logaddexp.reduce(np.delete(rows, k, axis=1), axis=1) for k in kept], axis=1)
