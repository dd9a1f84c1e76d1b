"""Images of bright and dark squares for every task, and a network that learns them in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, SliceAggregation
from vcam_training.config import KINDS, Config
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks, sha256_of
from vcam_training.task import Task

SIDE = 16
SQUARE = 5
NAMES = {
    "classes": ("nothing", "bright", "dark"),
    "two": ("nothing", "bright"),
    "findings": ("bright", "dark", "rare"),
    "regression": ("brightness", "darkness"),
}


def shapes(task: str, count: int, seed: int, noise: float = 0.2) -> Split:
    """Noise with a bright square, a dark one, both or none of them, and their masks.

    Classes take turns; findings are there or not by a coin, "rare" never; values are how
    bright, and how dark, the squares are.
    """
    rng = np.random.default_rng(seed)
    images = rng.normal(0, noise, (count, SIDE, SIDE)).astype(np.float32)
    masks = np.zeros((2, *images.shape), bool)
    if task in ("classes", "two"):
        labels = (np.arange(count) % len(NAMES[task])).astype(np.int32)
        strength = np.stack([labels == 1, labels == 2], axis=1).astype(float)
    elif task == "findings":
        strength = (rng.random((count, 2)) < 0.5).astype(float)
        labels = np.concatenate([strength > 0, np.zeros((count, 1), bool)], axis=1)
    else:
        strength = rng.uniform(0.2, 1.0, (count, 2))
        labels = strength.astype(np.float32)
    for n, kind in np.argwhere(strength > 0):
        i, j = rng.integers(0, SIDE - SQUARE), kind * 8 + rng.integers(0, 8 - SQUARE)
        masks[kind, n, i : i + SQUARE, j : j + SQUARE] = True
        images[n][masks[kind, n]] += (1, -1)[kind] * strength[n, kind]
    of_findings = task == "findings"
    return Split(
        volumes=images,
        labels=labels,
        masks=no_masks(images.shape) if of_findings else masks.any(axis=0),
        finding_masks={0: masks[0], 1: masks[1]} if of_findings else {},
        names=tuple(f"image {n}" for n in range(count)),
    )


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """A source: squares of some task."""

    task: str = "classes"
    count: int = 30
    test: int = 30
    noise: float = 0.2
    scale: float = 1.0
    seed: int = 0

    @property
    def contract(self) -> DataContract:
        return DataContract(
            task=Task(self.task) if self.task != "two" else Task.CLASSES,
            labels=NAMES[self.task],
            grid=Grid(shape=(SIDE, SIDE), axes=(), fit=Fit.STRETCH),
            intensity=Intensity(window=(-1.5 * self.scale, 1.5 * self.scale)),
            unit="a.u." if self.task == "regression" else "",
            slice_aggregation=SliceAggregation.NONE,
        )

    def load(self, folder: Path, report: Report) -> DataSet:
        counts = (2 * self.count, self.count, self.test)
        splits = [
            shapes(self.task, count, 10 * self.seed + at, self.noise)
            for at, count in enumerate(counts)
        ]
        return DataSet(
            name="shapes",
            contract=self.contract,
            train=splits[0],
            validation=splits[1],
            test=splits[2],
            sha256=sha256_of(*splits),
        )


@dataclass(frozen=True, kw_only=True)
class KeptAside(Shapes):
    """The same, which can also read one split out of a file that names its seed and labels."""

    def load_split(self, name: str, folder: Path, report: Report) -> Split:
        if name != "test":
            raise ConfigError(f"Expected the split test, received {name}.")
        return shapes(self.task, self.test, int(folder.read_text().split()[0]), self.noise)

    def label_names(self, folder: Path) -> tuple[str, ...]:
        return tuple(folder.read_text().split()[1:])


@dataclass(frozen=True, kw_only=True)
class ShapesNet:
    """Two convolutions, and the largest answer of each filter."""

    target_layer: str = "cells"
    filters: int = 6

    def build(self, grid: tuple[int, ...], intensity: object, outputs: int) -> keras.Model:
        image = keras.Input((*grid, 1), name="volume")
        x = intensity(image)
        x = layers.Conv2D(self.filters, 3, strides=2, padding="same", activation="relu")(x)
        x = layers.Conv2D(self.filters, 3, padding="same", activation="relu", name="cells")(x)
        x = layers.GlobalMaxPooling2D()(x)
        return keras.Model(image, layers.Dense(outputs, name="logits")(x), name="shapes_net")


@contextmanager
def shapes_known() -> Iterator[None]:
    """Configs can name them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(KINDS["data"], "shapes", Shapes)
        patched.setitem(KINDS["data"], "kept_aside", KeptAside)
        patched.setitem(KINDS["model"], "shapes", ShapesNet)
        yield


def shapes_config(task: str, **changes: object) -> Config:
    """An experiment of that task."""
    config = Config(
        name=f"shapes-{task}",
        description=f"Squares, {task}.",
        data=Shapes(task=task, noise=0.2 if task == "regression" else 0.5),
        model=ShapesNet(),
        epochs=12,
        batch_size=10,
        learning_rate=0.02,
    )
    return replace(config, **changes)
