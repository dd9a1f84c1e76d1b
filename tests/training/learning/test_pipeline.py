"""Which volumes come when, that they come as they are, and that none is read early."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from vcam_client.spec import Grid
from vcam_training.data.dataset import Split, no_masks
from vcam_training.learning import pipeline
from vcam_training.learning.augmentation import Augmentation
from vcam_training.learning.pipeline import (
    masked_batches,
    plain_batches,
    steps_per_epoch,
    training_batches,
)

COUNT = 12
SHAPE = (6, 8, 7)
GRID = Grid(shape=SHAPE, padding_value=-1000.0)
VARIED = Augmentation(mirror=(2,), rotate=20.0, noise=5.0)
PLAIN = Augmentation()
AUGMENTATIONS = [PLAIN, VARIED]


def some_split(dtype: str = "int16", count: int = COUNT) -> Split:
    """Volumes whose mean tells their number; masks of their own."""
    rng = np.random.default_rng(0)
    volumes = rng.integers(0, 5, (count, *SHAPE)) + 10 * np.arange(count)[:, None, None, None]
    masks = volumes % 5 > 2
    labels = np.arange(count, dtype=np.int32)
    return Split(volumes=volumes.astype(dtype), labels=labels, masks=masks)


def epoch_of(
    split: Split,
    augmentation: Augmentation = PLAIN,
    *,
    epoch: int = 0,
    seed: int = 0,
    batch_size: int = 5,
    weights: NDArray[np.float32] | None = None,
) -> tf.data.Dataset:
    """Its targets are the volumes' numbers."""
    targets = np.arange(len(split), dtype=np.float32)[:, None]
    return training_batches(
        split,
        targets,
        weights,
        grid=Grid(shape=split.volumes.shape[1:], padding_value=-1000.0),
        augmentation=augmentation,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
    )


def arrays(data: tf.data.Dataset) -> list[tuple[NDArray, ...]]:
    return list(data.as_numpy_iterator())


def joined(data: tf.data.Dataset) -> tuple[NDArray, ...]:
    return tuple(np.concatenate(parts) for parts in zip(*arrays(data), strict=True))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["plain", "varied"])
def test_an_epoch_shows_each_volume_once_in_another_order(augmentation: Augmentation) -> None:
    split = some_split()
    orders = []
    for epoch in (0, 1, 0):
        data = epoch_of(split, augmentation, epoch=epoch)
        made = arrays(data)
        assert [len(volumes) for volumes, _ in made] == [5, 5, 2]
        assert int(data.cardinality()) == steps_per_epoch(split, 5) == 3
        for volumes, targets in made:
            assert volumes.shape[1:] == (*SHAPE, 1)
            assert volumes.dtype == targets.dtype == np.float32
            if augmentation.is_none:
                assert (volumes[..., 0] == split.volumes[targets[:, 0].astype(int)]).all()
        orders.append(np.concatenate([targets[:, 0] for _, targets in made]).tolist())
    assert sorted(orders[0]) == list(range(COUNT))
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["plain", "varied"])
def test_seed_and_epoch_decide_everything(augmentation: Augmentation) -> None:
    split = some_split()

    def all_bytes(seed: int, epoch: int) -> bytes:
        return joined(epoch_of(split, augmentation, seed=seed, epoch=epoch))[0].tobytes()

    assert all_bytes(3, 4) == all_bytes(3, 4)
    assert len({all_bytes(*pair) for pair in ((3, 4), (3, 5), (4, 4), (4, 3))}) == 4


def test_a_volume_is_changed_otherwise_in_another_epoch() -> None:
    split = some_split()
    shown = []
    for epoch in range(2):
        volumes, targets = joined(epoch_of(split, VARIED, epoch=epoch))
        shown.append(volumes[np.argsort(targets[:, 0])])
    assert (shown[0] != shown[1]).any(axis=(1, 2, 3, 4)).all()


def test_parallelism_and_batches_change_nothing() -> None:
    split = some_split(count=40)
    expected = joined(epoch_of(split, VARIED))
    for threads, batch_size in ((1, 5), (7, 5), (7, 40), (7, 1)):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = threads > 1
        found = joined(epoch_of(split, VARIED, batch_size=batch_size).with_options(options))
        for one, other in zip(found, expected, strict=True):
            assert one.tobytes() == other.tobytes()


def test_slow_volumes_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that are varied at a time, the first may take longest."""
    split = some_split()
    expected = joined(epoch_of(split, VARIED))[1]

    def slowly(volume: NDArray) -> NDArray:
        time.sleep(0.05 if int(volume.mean()) // 10 % 2 else 0)
        return volume

    def change(volume: tf.Tensor, _: tf.Tensor, mask: None) -> tuple[tf.Tensor, None]:
        return tf.ensure_shape(tf.numpy_function(slowly, [volume], tf.float32), SHAPE), mask

    monkeypatch.setattr(pipeline, "augmenter", lambda *_: change)
    assert (joined(epoch_of(split, VARIED))[1] == expected).all()


def test_volumes_are_moved_whole_or_padded() -> None:
    """By a change that makes no new values: nothing is scaled or rounded on the way."""
    split = some_split()
    volumes, targets = joined(epoch_of(split, Augmentation(shift=2)))
    moved = 0
    for volume, (number,) in zip(volumes[..., 0], targets.astype(int), strict=True):
        inside = volume[volume != GRID.padding_value]
        assert set(inside) <= set(split.volumes[number].ravel())
        moved += inside.size < volume.size
    assert moved > COUNT / 2


def test_weights_go_with_their_volumes() -> None:
    split = some_split()
    weights = np.linspace(1, 2, COUNT).astype(np.float32)
    for augmentation in AUGMENTATIONS:
        _, targets, shown = joined(epoch_of(split, augmentation, weights=weights))
        assert (shown == weights[targets[:, 0].astype(int)]).all()


@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "uint16", "float32", "float64"])
def test_values_are_physical_whatever_is_stored(dtype: str) -> None:
    split = some_split(dtype)
    volumes = np.concatenate(list(plain_batches(split, 5).as_numpy_iterator()))
    assert volumes.dtype == np.float32
    assert (volumes[..., 0] == split.volumes).all()
    shown, targets = joined(epoch_of(split))
    assert (shown[..., 0] == split.volumes[targets[:, 0].astype(int)]).all()


def test_plain_batches_come_in_order_with_a_smaller_last_one() -> None:
    data = plain_batches(some_split(), 5)
    assert [len(batch) for batch in data] == [5, 5, 2]
    assert int(data.cardinality()) == 3


def test_images_are_batched_alike() -> None:
    images = np.arange(3 * 5 * 4, dtype=np.uint8).reshape(3, 5, 4)
    split = Split(volumes=images, labels=np.zeros(3, np.int32), masks=no_masks(images.shape))
    shown, targets = joined(epoch_of(split, Augmentation(mirror=(1,)), batch_size=2))
    for image, (number,) in zip(shown[..., 0], targets.astype(int), strict=True):
        assert image.tolist() in (images[number].tolist(), images[number, :, ::-1].tolist())


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["plain", "varied"])
def test_masks_come_with_the_volumes_of_training(augmentation: Augmentation) -> None:
    split = some_split()
    volumes, targets = joined(epoch_of(split, augmentation, seed=2, epoch=1))
    with_masks = masked_batches(
        split, grid=GRID, augmentation=augmentation, batch_size=5, seed=2, epoch=1
    )
    assert int(with_masks.cardinality()) == 3
    again, masks = joined(with_masks)
    assert again.tobytes() == volumes.tobytes()
    assert masks.dtype == bool
    if augmentation.is_none:
        assert (masks == split.masks[targets[:, 0].astype(int)]).all()


def test_masks_are_moved_as_their_volumes_are() -> None:
    marked = some_split().masks
    split = Split(volumes=marked.astype(np.int16), labels=np.zeros(COUNT, np.int32), masks=marked)
    grid = Grid(shape=SHAPE, padding_value=0.0)
    moving = Augmentation(mirror=(2,), shift=1, rotate=20.0)
    volumes, masks = joined(
        masked_batches(split, grid=grid, augmentation=moving, batch_size=5, seed=0, epoch=0)
    )
    assert ((volumes[..., 0] >= 0.5) == masks).all()
    assert masks.any(axis=(1, 2, 3)).all()


class Watched(np.memmap):
    """An array on disk that notes how many rows are asked for at a time."""

    asked: list[int]
    second: threading.Event

    def __getitem__(self, key: object) -> NDArray:
        if getattr(self, "asked", None) is not None and isinstance(key, np.ndarray):
            self.asked.append(len(key))
            if len(self.asked) == 2:
                self.second.set()
        return super().__getitem__(key)


def on_disk(path: Path, count: int, shape: tuple[int, ...]) -> Watched:
    """Zeros, which take no room on the disk."""
    voxels = np.prod((count, *shape), dtype=np.int64)
    with path.open("wb") as stream:
        stream.truncate(2 * int(voxels))
    volumes = Watched(path, np.int16, "r", shape=(count, *shape))
    volumes.asked, volumes.second = [], threading.Event()
    return volumes


def split_of(volumes: NDArray) -> Split:
    labels = np.zeros(len(volumes), np.int32)
    return Split(volumes=volumes, labels=labels, masks=no_masks(volumes.shape))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["plain", "varied"])
def test_a_split_far_larger_than_memory_is_read_batch_by_batch(
    augmentation: Augmentation, tmp_path: Path
) -> None:
    """10¹² bytes: as an array in memory they would be refused."""
    shape = (64, 128, 128)
    volumes = on_disk(tmp_path / "volumes.bin", 10**12 // (2 * 64 * 128 * 128), shape)
    split = split_of(volumes)
    assert split.volumes is volumes
    taken = list(epoch_of(split, augmentation, batch_size=2).take(2).as_numpy_iterator())
    assert [values.shape for values, _ in taken] == [(2, *shape, 1)] * 2
    assert set(volumes.asked) == {2}
    assert len(volumes.asked) < 50  # two batches, and what is made ahead


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["plain", "varied"])
def test_the_next_batch_is_read_while_one_is_used(
    augmentation: Augmentation, tmp_path: Path
) -> None:
    volumes = on_disk(tmp_path / "volumes.bin", 8, SHAPE)
    batches: Iterator = iter(epoch_of(split_of(volumes), augmentation, batch_size=2))
    next(batches)
    assert volumes.second.wait(60), "nobody asked for the next batch, and it was not read"


REPLICAS = """
import json, sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, {here!r})
from test_pipeline import AUGMENTATIONS, epoch_of, some_split

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
found = []
for augmentation in AUGMENTATIONS:
    data = epoch_of(some_split(), augmentation, batch_size=4, epoch=2)
    shared = strategy.experimental_distribute_dataset(data)
    for batch, (volumes, targets) in zip(data, shared, strict=True):
        parts = [strategy.experimental_local_results(part) for part in (volumes, targets)]
        equal = np.concatenate(parts[0]).tobytes() == batch[0].numpy().tobytes()
        found.append([equal, [p.numpy()[:, 0].tolist() for p in parts[1]]])
print(json.dumps(found))
"""


def test_replicas_share_each_batch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS.format(here=str(Path(__file__).parent))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 2 * 3
    for augmentation, start in zip(AUGMENTATIONS, (0, 3), strict=True):
        alone = arrays(epoch_of(some_split(), augmentation, batch_size=4, epoch=2))
        for (equal, parts), (_, targets) in zip(found[start : start + 3], alone, strict=True):
            assert equal
            assert [len(part) for part in parts] == [2, 2]
            assert [*parts[0], *parts[1]] == targets[:, 0].tolist()
