"""Compares the outputs of a served graph with what was expected."""

from collections.abc import Mapping

import numpy as np

TOLERANCE = 1e-5
"""Largest difference from the expected outputs: absolute for scores up to 1,
relative for larger values and to the largest cell for maps."""

_MAPS = ("cam", "heatmap")
_TINY = 1e-30  # keeps divisions by the largest cell finite


def difference(
    name: str,
    expected: Mapping[str, np.ndarray],
    received: Mapping[str, np.ndarray],
    map_tolerance: float = TOLERANCE,
) -> str | None:
    """How an output differs from the expected one, in words; None if it doesn't.

    Args:
        name: of the output to compare.
        expected, received: {output name: array} of one run.
        map_tolerance: takes the place of `TOLERANCE` for maps.
    """
    wanted, found = expected[name], received[name]
    if found.shape != wanted.shape:
        return f"expected {name!r} of shape {wanted.shape}, received {found.shape}"
    if wanted.dtype.kind != "f":
        return None if np.array_equal(wanted, found) else f"{name!r} is {found}, not {wanted}"
    if not wanted.size:
        return None
    # A non-finite value is as far off as can be: NaN would win no comparison.
    off = np.nan_to_num(np.abs(found.astype(np.float64) - wanted), nan=np.inf)
    tolerance = map_tolerance if name in _MAPS else TOLERANCE
    excess = off / (tolerance * _scale(name, expected))
    if excess.max() <= 1:
        return None
    worst = np.unravel_index(excess.argmax(), excess.shape)
    return f"{name!r} is {off[worst]:.3g} off, {excess[worst]:.3g} times what is allowed"


def _scale(name: str, expected: Mapping[str, np.ndarray]) -> np.ndarray:
    """What `TOLERANCE` is relative to, of a shape that broadcasts to the output."""
    values = np.abs(expected[name])
    if name == "cam":
        return np.maximum(values.max(), _TINY)
    if name == "heatmap" and "cam" in expected:
        # Dividing by the largest positive cell magnifies the cam's own rounding.
        cells = tuple(range(1, expected["cam"].ndim))
        largest = np.abs(expected["cam"]).max(axis=cells, keepdims=True)
        positive = np.maximum(expected["cam"].max(axis=cells, keepdims=True), _TINY)
        return np.maximum(largest / positive, 1)
    return np.maximum(values.max(), 1)
