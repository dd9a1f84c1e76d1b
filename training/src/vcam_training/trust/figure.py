"""A figure of a trust report, with its interval, its control and what it means."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcam_client.spec import Metric
from vcam_training.evaluation.intervals import (
    RESAMPLES,
    mean_interval,
    percentile_interval,
    wilson_interval,
)

SHARE, NUMBER, VOXELS = "share", "number", "voxels"
"""Kinds of figures: a share is written in percent, voxels with their unit."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of a trust report.

    Attributes:
        group: of figures that belong together.
        name: for people, unique.
        value: of the figure.
        lower, upper: its 95 % interval, or None where there is none.
        count: scans it was measured on.
        control: the same for something that is known to mean nothing (or everything), or None.
        control_name: what that is.
        meaning: one sentence.
        kind: SHARE, NUMBER or VOXELS.
    """

    group: str
    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    count: int
    control: float | None = None
    control_name: str = ""
    meaning: str
    kind: str = NUMBER

    @property
    def metric(self) -> Metric:
        """The same for a model spec."""
        return Metric(
            name=self.name,
            value=self.value,
            lower=self.lower,
            upper=self.upper,
            count=self.count,
            split="test",
            chance=self.control,
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def words(self, value: float | None) -> str:
        """A value of this kind for people; "" for None."""
        return in_words(value, self.kind)


def in_words(value: float | None, kind: str) -> str:
    """A value for people: percent, two or three digits, voxels."""
    if value is None:
        return ""
    if kind == SHARE:
        return f"{100 * value:.1f} %"
    if kind == VOXELS:
        return f"{value:.2f}"
    return f"{value:.3f}"


def mean_figure(values: ArrayLike, **fields: Any) -> Figure:
    """A mean with its bootstrap interval; values [n], finite, at least one."""
    given = np.asarray(values, np.float64)
    lower, upper = mean_interval(given)
    return Figure(value=float(given.mean()), lower=lower, upper=upper, count=given.size, **fields)


def share_figure(hits: ArrayLike, **fields: Any) -> Figure:
    """A proportion with its score interval; hits bool [n], at least one."""
    given = np.asarray(hits, bool)
    lower, upper = wilson_interval(int(given.sum()), given.size)
    return Figure(
        value=float(given.mean()), lower=lower, upper=upper, count=given.size, kind=SHARE, **fields
    )


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean over scans at several points, with its 95 % interval.

    Attributes:
        name: for people.
        values, lower, upper: one for each point.
    """

    name: str
    values: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def of_scans(cls, name: str, values: NDArray[np.float64]) -> "Curve":
        """From float64 [scans, points]."""
        return cls._of(name, values.mean(axis=0), [mean_interval(point) for point in values.T])

    @classmethod
    def of_draws(cls, name: str, values: NDArray[np.float64]) -> "Curve":
        """From float64 [points, draws, scans], such as draws of random weights.

        For the interval draws and scans are both resampled: few draws are a reason for
        doubt as few scans are.
        """
        return cls._of(name, values.mean(axis=(1, 2)), [_two_way_interval(p) for p in values])

    @classmethod
    def _of(
        cls, name: str, values: NDArray[np.float64], bounds: Sequence[tuple[float, float]]
    ) -> "Curve":
        return cls(
            name=name,
            values=tuple(map(float, values)),
            lower=tuple(low for low, _ in bounds),
            upper=tuple(high for _, high in bounds),
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _two_way_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of [draws, scans]."""
    rng = np.random.default_rng(seed)
    draws, scans = values.shape
    rows = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    columns = rng.multinomial(scans, np.full(scans, 1 / scans), RESAMPLES) / scans
    return percentile_interval(np.einsum("rd,ds,rs->r", rows, values, columns))
