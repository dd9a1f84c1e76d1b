"""What a model's figures say, and how far its maps were found to be trustworthy."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A held-out figure or an explanation check, with its 95 % interval and chance."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    count: int | None = None
    split: str = ""
    chance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far a model's maps were found to be trustworthy, on held-out data.

    Attributes:
        summary: one line for people.
        signature: the explanation that was tested.
        depends_on_weights: whether maps change when the weights are randomised; None
            where that was not tested.
        figures: each with its interval and, where that means something, chance or a
            control.
        measured_at: RFC 3339, UTC.
    """

    summary: str
    signature: str
    depends_on_weights: bool | None = None
    figures: tuple[Metric, ...] = ()
    measured_at: str = ""
