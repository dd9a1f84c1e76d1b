"""One volume as a network sees it: what is said of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.dataset import Split
from vcam_training.inspecting.gallery import truth_text
from vcam_training.inspecting.look import STRONG, Look
from vcam_training.inspecting.pictures import channels_above
from vcam_training.inspecting.subject import Subject
from vcam_training.task import Task

MOST_SCORES = 5
"""Scores that the table shows, the highest ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """One volume of a split, and what the network makes of it.

    Attributes:
        subject: the network.
        split: of its data.
        split_name: "train", "validation" or "test".
        index: of the volume in the split.
        seen: the layer, taken apart.
        threshold: sum above which channels are listed and drawn; None for no list.

    Raises:
        ConfigError: no channel's sum is above the threshold.
    """

    subject: Subject
    split: Split
    split_name: str
    index: int
    seen: Look
    threshold: float | None = None

    def __post_init__(self) -> None:
        self.channels  # noqa: B018  checks the threshold

    @property
    def volume(self) -> NDArray[np.float32]:
        """float32 [*grid], physical values."""
        return np.asarray(self.split.volumes[self.index], np.float32)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool [*grid]: what makes the explained class true, if anything does."""
        return self.split.mask(self.index, self.seen.class_index)

    @property
    def truth(self) -> str:
        """What is known of the volume."""
        return truth_text(self.split, self.index, self.subject.contract)

    @property
    def title(self) -> str:
        """Of pictures: model, volume and truth."""
        volume = f"{self.split_name} {self.split.name(self.index)}"
        return f"{self.subject.name}, {volume} ({self.truth})"

    @property
    def map_title(self) -> str:
        """Of the map."""
        explained = self.subject.contract.labels[self.seen.class_index]
        return f"{self.title}\nfor {explained}, {self.seen.method}, {self.seen.place.name}"

    @property
    def filter_title(self) -> str:
        """Of the filter."""
        return f"{self.title}\nfilter {self.seen.filter_index} of {self.seen.place.name}"

    def to_json_dict(self) -> dict[str, Any]:
        """Everything that is said."""
        seen, contract = self.seen, self.subject.contract
        channels = self.channels
        return {
            "network": str(self.subject.network.path),
            "split": self.split_name,
            "volume": self.index,
            "name": self.split.name(self.index),
            "truth": self.truth,
            "scores": {
                name: float(score) for name, score in zip(contract.labels, seen.scores, strict=True)
            },
            "unit": contract.unit,
            "temperature": self.subject.temperature,
            "explained": contract.labels[seen.class_index],
            "method": seen.method,
            "layer": {
                "name": seen.place.name,
                "cells": list(seen.place.cells),
                "offset": list(seen.place.offset),
                "stride": list(seen.place.stride),
                "channels": seen.activation.shape[-1],
            },
            "filter": {
                "index": seen.filter_index,
                "adds_most_to_the_map": seen.is_strongest,
                "percentiles": {str(k): value for k, value in seen.percentiles.items()},
                f"cells_above_{STRONG}": int(seen.strong.sum()),
                "cells": int(seen.strong.size),
            },
            "channels_above": None
            if channels is None
            else {
                "threshold": self.threshold,
                "sums": {str(k): float(seen.sums[k]) for k in channels},
            },
            "cam": {"lowest": float(seen.cam.min()), "highest": float(seen.cam.max())},
        }

    def text(self) -> str:
        """The same as a small table for people."""
        seen, contract = self.seen, self.subject.contract
        order = range(len(seen.scores))
        left_out = ""
        if len(seen.scores) > MOST_SCORES:
            order = np.argsort(-seen.scores)[:MOST_SCORES]
            left_out = f"  … {len(seen.scores) - MOST_SCORES} lower ones"
        texts = [_score_text(float(one), contract.task, contract.unit) for one in seen.scores]
        scores = "  ".join(f"{contract.labels[k]} {texts[k]}" for k in order)
        name = f": {self.split.names[self.index]}" if self.split.names else ""
        filters = seen.activation.shape[-1]
        which = ", the one that adds most to this map" if seen.is_strongest else ""
        rows = [
            ("volume", f"{self.split_name} #{self.index} of {len(self.split)}{name}"),
            ("truth", self.truth),
            ("scores", scores + left_out),
            ("explained", f"{contract.labels[seen.class_index]} by {seen.method}"),
            ("layer", f"{seen.place.name}: {_times(seen.place.cells)} cells, {filters} channels"),
            ("filter", f"{seen.filter_index} of 0 … {filters - 1}{which}"),
            ("", "  ".join(f"p{k} {value:.4g}" for k, value in seen.percentiles.items())),
            ("", f"{seen.strong.sum()} of {seen.strong.size} cells above p{STRONG}"),
        ]
        channels = self.channels
        if channels is not None:
            listed = ", ".join(map(str, channels))
            rows.append(
                ("channels", f"{len(channels)} with a sum above {self.threshold}: {listed}")
            )
        return "\n".join(f"{head:<11}{value}" for head, value in rows)

    @property
    def channels(self) -> list[int] | None:
        """Those whose sum is above the threshold; None without one."""
        return None if self.threshold is None else channels_above(self.seen, self.threshold)


def _score_text(score: float, task: Task, unit: str) -> str:
    if task is Task.REGRESSION:
        return f"{score:.4g}{f' {unit}' * bool(unit)}"
    return f"{score:.2%}"


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
