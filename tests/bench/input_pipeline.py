"""What feeding training costs, and how fast volumes are turned.

The Keras CT network (1,352,897 parameters) trained by two volumes of 128×128×64 voxels
in a step, turned by ±5, ±10 or ±20 degrees about the long axis. Volumes are int16 and
lie on disk, as a memory map. Peers: the same training on one batch that is in memory;
and the input pipeline of the Keras example "3D image classification from CT scans",
which turns float32 volumes in memory by SciPy's cubic splines and clips them.
"""

import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

from vcam_client.spec import Grid, Intensity
from vcam_training.data.dataset import Split, no_masks
from vcam_training.intensity import intensity_layer
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.pipeline import training_batches
from vcam_training.models.keras_ct import KerasCt

GRID = Grid(shape=(64, 128, 128), padding_value=-1000.0)
WINDOW = (-1000.0, 400.0)
AUGMENTATION = Augmentation(angles=(5.0, 10.0, 20.0))
BATCH = 2
STEPS = 3
"""Of the network in a run of each side, which takes seconds each."""

VOLUMES = 24
"""Of an epoch of the pipelines alone."""

STEP_ROUNDS, FEED_ROUNDS = 5, 5
"""Runs of each side are ours – peer – peer – ours, that often; the fastest counts, so that
a busy machine meets neither."""

STEP_LIMIT, FEED_LIMIT = 1.1, 1 / 3


def run() -> list[dict]:
    """One row for a training step, one for the pipeline alone."""
    with tempfile.TemporaryDirectory() as name:
        split = _split(Path(name) / "volumes.bin")
        return [_step_row(split), _feed_row(split)]


def _step_row(split: Split) -> dict:
    model = _network()
    few = Split(
        volumes=split.volumes[: STEPS * BATCH],
        labels=split.labels[: STEPS * BATCH],
        masks=split.masks[: STEPS * BATCH],
    )
    inputs, targets = next(iter(_ours(few, 0)))

    def train(batches: tf.data.Dataset) -> None:
        for volumes, wanted in batches:
            model.train_on_batch(volumes, wanted)

    epoch = iter(range(1000))
    ratio, ours, peer = _compare(
        lambda: train(_ours(few, next(epoch))),
        lambda: train([(inputs, targets)] * STEPS),
        STEP_ROUNDS,
    )
    seconds = f"{ours / STEPS:.2f} s a step against {peer / STEPS:.2f} s"
    return {
        "name": "training step, fed",
        "what": f"batches of {BATCH} from disk, turned, {seconds}; runs of {STEPS} steps",
        "peer": "the same steps on a batch in memory",
        "ratio": ratio,
        "limit": STEP_LIMIT,
        "peak_memory_mb": _peak_mb(),
    }


def _feed_row(split: Split) -> dict:
    peer_batches = _keras_example(split)
    epoch = iter(range(1000))
    ratio, ours, peer = _compare(
        lambda: _drain(_ours(split, next(epoch))), lambda: _drain(peer_batches), FEED_ROUNDS
    )
    rates = f"{VOLUMES / ours:.1f} volumes a second against {VOLUMES / peer:.1f}"
    return {
        "name": "input pipeline alone",
        "what": f"from disk and turned, {rates}, {1 / ratio:.1f} × as fast",
        "peer": "the Keras CT example's, from memory, scipy rotate (order 3)",
        "ratio": ratio,
        "limit": FEED_LIMIT,
        "peak_memory_mb": _peak_mb(),
    }


def _ours(split: Split, epoch: int) -> tf.data.Dataset:
    """As a training run makes it for each epoch."""
    return training_batches(
        split,
        split.labels[:, None].astype(np.float32),
        None,
        grid=GRID,
        augmentation=AUGMENTATION,
        batch_size=BATCH,
        seed=0,
        epoch=epoch,
    )


def _keras_example(split: Split) -> tf.data.Dataset:
    """The example's, with its axes [W, H, D] and values in [0, 1]."""
    low, high = WINDOW
    scaled = (np.clip(split.volumes, low, high) - low) / (high - low)
    volumes = np.ascontiguousarray(scaled.transpose(0, 3, 2, 1), np.float32)

    def scipy_rotate(volume: np.ndarray) -> np.ndarray:
        angle = random.choice([-20, -10, -5, 5, 10, 20])
        volume = ndimage.rotate(volume, angle, reshape=False)
        volume[volume < 0] = 0
        volume[volume > 1] = 1
        return volume

    def preprocess(volume: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        volume = tf.numpy_function(scipy_rotate, [volume], tf.float32)
        return tf.expand_dims(volume, axis=3), label

    data = tf.data.Dataset.from_tensor_slices((volumes, split.labels))
    return data.shuffle(len(volumes)).map(preprocess).batch(BATCH).prefetch(2)


def _network() -> keras.Model:
    keras.utils.set_random_seed(0)
    layer = intensity_layer("window", Intensity(units="HU", window=WINDOW), GRID)
    model = KerasCt().build(GRID.shape, layer, 1)
    model.compile(keras.optimizers.Adam(1e-4), keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def _split(path: Path) -> Split:
    """Smooth bodies with noise in air, int16, on disk."""
    rng = np.random.default_rng(0)
    shape = (VOLUMES, *GRID.shape)
    stored = np.memmap(path, np.int16, "w+", shape=shape)
    _, j, k = np.ogrid[: shape[1], : shape[2], : shape[3]]
    body = ((j - 64) / 40) ** 2 + ((k - 64) / 55) ** 2 < 1
    for number in range(VOLUMES):
        stored[number] = np.where(body, rng.normal(0, 60, GRID.shape), -1000)
    stored.flush()
    volumes = np.memmap(path, np.int16, "r", shape=shape)
    labels = (np.arange(VOLUMES) % 2).astype(np.int32)
    return Split(volumes=volumes, labels=labels, masks=no_masks(shape))


def _compare(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Ratio of the fastest of alternating runs, and the seconds of both."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], peer: []}
    for side in (ours, peer) + (ours, peer, peer, ours) * rounds:
        start = time.perf_counter()
        side()
        seconds[side].append(time.perf_counter() - start)
    fastest = min(seconds[ours]), min(seconds[peer])
    return fastest[0] / fastest[1], *fastest


def _drain(batches: tf.data.Dataset) -> None:
    for _ in batches:
        pass


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
