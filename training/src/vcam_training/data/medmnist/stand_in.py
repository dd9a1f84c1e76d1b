"""A small data set in the layout of MedMNIST, made up where there is no file."""

from pathlib import Path

import numpy as np

from vcam_training.data.medmnist.files import Labelled, MedMnistFile

_COUNTS = {"train": 24, "validation": 12, "test": 12}
"""Images of each split, half of them of each class."""
_NOISE, _BLOCK = (40, 120), 200
"""Values of the background, from and below; and of what the second class shows."""


def made_up(sides: tuple[int, ...], seed: int) -> MedMnistFile:
    """Noise, and for the second class a brighter block in it, a third as wide.

    Args:
        sides: pixels or voxels along each axis, two or three of them, at least 3.
        seed: of noise and places.
    """
    rng = np.random.default_rng(seed)
    parts = {}
    for name, count in _COUNTS.items():
        images = rng.integers(*_NOISE, (count, *sides)).astype(np.uint8)
        labels = rng.permutation(np.arange(count) % 2).astype(np.int32)
        for index in np.flatnonzero(labels):
            starts = [int(rng.integers(side - side // 3 + 1)) for side in sides]
            place = tuple(
                slice(start, start + side // 3) for start, side in zip(starts, sides, strict=True)
            )
            images[(index, *place)] = _BLOCK
        parts[name] = Labelled(images=images, labels=labels)
    return MedMnistFile(path=Path("made up"), parts=parts, class_names=("plain", "with a block"))
