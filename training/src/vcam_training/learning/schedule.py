"""How the learning rate changes, and when a run stops early.

All of it follows from the number of steps and from the history, so that a resumed run
goes on as if it had never stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from vcam_client.errors import ConfigError

KINDS = ("cosine", "exponential", "constant", "plateau")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A learning rate over the steps of a run.

    Attributes:
        kind: "cosine": rises over `warm_up` epochs, then falls to 0 at the last step;
            "exponential": times `factor` after every `steps` steps; "constant";
            "plateau": times `factor` whenever validation was no better for `patience`
            epochs.
        warm_up: epochs, of "cosine".
        factor, steps: of "exponential".
        patience: epochs, of "plateau".
    """

    kind: str = "cosine"
    warm_up: float = 0.5
    factor: float = 0.1
    steps: int = 100_000
    patience: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"Expected a schedule out of {KINDS}, received {self.kind!r}. Set schedule.kind."
            )
        if not (0 < self.factor <= 1 and self.steps >= 1 and self.patience >= 1):
            raise ConfigError(
                "Expected 0 < factor ≤ 1, steps ≥ 1 and patience ≥ 1, received "
                f"{self.factor:g}, {self.steps} and {self.patience}. Set schedule.NAME."
            )
        if self.warm_up < 0:
            raise ConfigError(f"Expected schedule.warm_up ≥ 0, received {self.warm_up:g}.")

    def by_step(
        self, peak: float, epochs: int, steps_per_epoch: int
    ) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """What the optimizer is given.

        Args:
            peak: the highest learning rate.
            epochs: of the whole run.
            steps_per_epoch: batches of an epoch.
        """
        if self.kind == "cosine":
            warm_up = round(self.warm_up * steps_per_epoch)
            return keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0 if warm_up else peak,
                warmup_target=peak if warm_up else None,
                warmup_steps=warm_up,
                decay_steps=max(1, epochs * steps_per_epoch - warm_up),
            )
        if self.kind == "exponential":
            return keras.optimizers.schedules.ExponentialDecay(
                peak, decay_steps=self.steps, decay_rate=self.factor, staircase=True
            )
        return peak

    def after(self, peak: float, waited: Sequence[int]) -> float | None:
        """The learning rate of the next epoch; None where the optimizer knows it by itself.

        Args:
            peak: the first learning rate.
            waited: by epoch, how many epochs validation had been no better after it,
                see `history.waited`.
        """
        if self.kind != "plateau":
            return None
        drops = sum(1 for epochs in waited if epochs and epochs % self.patience == 0)
        return peak * self.factor**drops
