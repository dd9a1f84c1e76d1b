"""Optimisers as a config names them."""

from dataclasses import dataclass
from typing import Any

import keras

from vcam_client.errors import ConfigError

NAMES = ("adam", "adamw", "sgd")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What follows the gradients.

    Attributes:
        name: "adam", "adamw" or "sgd".
        momentum: of "sgd".
        weight_decay: of "adamw", per step, times the learning rate.
        clip_norm: gradients longer than it are shortened to it; 0 for never.
    """

    name: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigError(
                f"Expected an optimizer out of {NAMES}, received {self.name!r}. Set optimizer.name."
            )

    def build(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> keras.optimizers.Optimizer:
        """The Keras optimizer with that learning rate."""
        options: dict[str, Any] = {"learning_rate": learning_rate}
        if self.clip_norm > 0:
            options["clipnorm"] = self.clip_norm
        if self.name == "sgd":
            return keras.optimizers.SGD(momentum=self.momentum, **options)
        if self.name == "adamw":
            return keras.optimizers.AdamW(weight_decay=self.weight_decay, **options)
        return keras.optimizers.Adam(**options)
