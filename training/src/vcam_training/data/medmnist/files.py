"""Files of MedMNIST: NumPy's .npz with images and labels of one or several splits.

`train_images`, `train_labels`, `val_…`, `test_…`, any of them; or `images` and `labels`
that nobody has split yet; and perhaps `class_names`. Images are [n, H, W], in colour
[n, H, W, 3], volumes [n, D, H, W]; one channel more at the end is taken off. Labels are
[n] or [n, 1] of exclusive classes, counted from 0, or [n, K] of K findings, 0 or 1 each.
"""

import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.problems import refuse

PREFIXES = {"train": "train_", "validation": "val_", "test": "test_", "": ""}
"""What the arrays of a split begin with; without a name, those of nobody's split."""
_LUMINANCE = (19595, 38470, 7471)
"""Weights of red, green and blue, of 2 ** 16: ITU-R BT.601, as Pillow's mode L has them."""
_NO_ARRAYS = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    NotImplementedError,
    MemoryError,
    RecursionError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
)
"""What NumPy and zipfile raise on damaged or foreign files."""
_COLOURS = 3
_MOST_CLASSES = 10_000
"""A label beyond it is no class, but a value, or damage."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Images with labels.

    Attributes:
        images: uint8, int16 or float32 [n, H, W] or [n, D, H, W].
        labels: int32 [n] of exclusive classes, bool [n, K] of findings.
        was_coloured: whether the images had three channels.
    """

    images: NDArray
    labels: NDArray
    was_coloured: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class MedMnistFile:
    """What is in a file.

    Attributes:
        path: of the file.
        parts: by the name of a split, see `PREFIXES`.
        class_names: as the file has them; empty without.
    """

    path: Path
    parts: Mapping[str, Labelled]
    class_names: tuple[str, ...] = ()


def read_medmnist(path: Path) -> MedMnistFile:
    """Reads all splits of a file.

    Raises:
        ConfigError: the file can't be read; images without labels or the other way round,
            not as many of one as of the other, of shapes or types that mean nothing here,
            or splits that don't fit each other.
    """
    arrays = _arrays(path)
    problems = [
        f"{name} without {other}"
        for prefix in PREFIXES.values()
        for name, other in (
            (f"{prefix}images", f"{prefix}labels"),
            (f"{prefix}labels", f"{prefix}images"),
        )
        if name in arrays and other not in arrays
    ]
    refuse(f"images with labels in '{path}'", problems, "Save both.")
    parts = {
        split: _labelled(path, prefix, arrays)
        for split, prefix in PREFIXES.items()
        if f"{prefix}images" in arrays
    }
    if not parts:
        raise ConfigError(
            f"Expected train_images and train_labels in '{path}', or images and labels, found "
            f"{', '.join(arrays) or 'nothing'}. Save arrays of these names."
        )
    kinds = {(one.images.shape[1:], one.labels.shape[1:]) for one in parts.values()}
    if len(kinds) > 1:
        shapes = [f"{name} {part.images.shape[1:]}" for name, part in parts.items()]
        raise ConfigError(
            f"Expected images of one shape and labels of one kind in '{path}', found "
            f"{' and '.join(shapes)} with labels {[p.labels.shape for p in parts.values()]}."
            " Save splits of the same data set."
        )
    names = arrays.get("class_names", np.array([], str))
    return MedMnistFile(path=path, parts=parts, class_names=tuple(str(n) for n in names.ravel()))


def read_class_names(path: Path) -> tuple[str, ...]:
    """The `class_names` of a file, without its images; empty where it has none.

    Raises:
        ConfigError: the file can't be read.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = file["class_names"] if "class_names" in file.files else np.array([], str)
    except _NO_ARRAYS as error:
        raise ConfigError(
            f"Expected a file of MedMNIST, arrays saved by numpy.savez, received '{path}', which "
            f"can't be read ({_reason(error)}). Copy it again, or save it anew."
        ) from error
    return tuple(str(name) for name in found.ravel())


def _reason(error: Exception) -> str:
    """Why NumPy can't read a file; its advice to trust pickles is nothing for files of others."""
    if isinstance(error, ValueError) and "pickle" in str(error):
        return "it is no .npz file, or holds Python objects instead of numbers"
    return str(error)


def luminance(images: NDArray) -> NDArray[np.uint8]:
    """Grey values of images in colour, the same bits as by Pillow's `convert("L")`.

    Args:
        images: uint8 [..., 3], red, green and blue.
    """
    grey = np.zeros(images.shape[:-1], np.uint32)
    for channel, weight in enumerate(_LUMINANCE):
        grey += images[..., channel] * np.uint32(weight)
    return ((grey + (1 << 15)) >> 16).astype(np.uint8)


def _arrays(path: Path) -> dict[str, NDArray]:
    """The arrays of the file that mean something here, and the names of the others."""
    wanted = {prefix + kind for prefix in PREFIXES.values() for kind in ("images", "labels")}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            none = np.array([])
            return {
                name: file[name] if name in wanted | {"class_names"} else none
                for name in file.files
            }
    except _NO_ARRAYS as error:
        raise ConfigError(
            f"Expected a file of MedMNIST, arrays saved by numpy.savez, received '{path}', which "
            f"can't be read ({_reason(error)}). Copy it again, or save it anew."
        ) from error


def _labelled(path: Path, prefix: str, arrays: Mapping[str, NDArray]) -> Labelled:
    """A split, checked."""
    place = f"{prefix}images in '{path}'"
    images, labels = arrays[f"{prefix}images"], arrays[f"{prefix}labels"]
    if images.dtype.kind not in "buif" or images.ndim < 3 or not images.size:
        raise ConfigError(
            f"Expected numbers [n, H, W], [n, H, W, 3] or [n, D, H, W] as {place}, received "
            f"{images.dtype} {list(images.shape)}. Save arrays of that shape."
        )
    coloured = images.ndim == 4 and images.shape[-1] == _COLOURS
    if coloured and images.dtype != np.uint8:
        raise ConfigError(
            f"Expected uint8 for the colours of {place}, received {images.dtype}. "
            "Save them in 8 bits, or as grey values [n, H, W]."
        )
    if coloured:
        images = luminance(images)
    elif images.shape[-1] == 1 and images.ndim > 3:
        images = images[..., 0]
    if images.ndim not in (3, 4):
        raise ConfigError(
            f"Expected images [n, H, W] or volumes [n, D, H, W] as {place}, received "
            f"{list(images.shape)}. Save one channel."
        )
    if len(labels) != len(images) if labels.ndim else True:
        raise ConfigError(
            f"Expected as many {prefix}labels as {place}, received shapes {list(labels.shape)} "
            f"and {list(images.shape)}. Save one label, or row of labels, for each image."
        )
    return Labelled(
        images=_small(images),
        labels=_labels(labels, f"{prefix}labels in '{path}'"),
        was_coloured=coloured,
    )


def _small(images: NDArray) -> NDArray:
    """As bytes or int16 where it was that, else as float32."""
    if images.dtype in (np.uint8, np.int16):
        return images
    return images.astype(np.uint8 if images.dtype == bool else np.float32)


def _labels(labels: NDArray, place: str) -> NDArray:
    """int32 [n] or bool [n, K]."""
    whole = labels.dtype.kind in "bui" or (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.rint(labels))).all())
    )
    if not whole or labels.ndim > 2 or 0 in labels.shape or labels.min() < 0:
        raise ConfigError(
            f"Expected whole numbers from 0, [n], [n, 1] or [n, K], as {place}, received "
            f"{labels.dtype} {list(labels.shape)}"
            f"{f' from {labels.min()}' if whole and labels.size else ''}. Number classes from 0."
        )
    if labels.max() >= _MOST_CLASSES:
        raise ConfigError(
            f"Expected labels below {_MOST_CLASSES} as {place}, found {labels.max()}. Number "
            "classes from 0."
        )
    if labels.ndim == 1 or labels.shape[1] == 1:
        return labels.ravel().astype(np.int32)
    if labels.max() > 1:
        raise ConfigError(
            f"Expected 0 or 1 for each of {labels.shape[1]} findings as {place}, found "
            f"{labels.max()}. Save one column for exclusive classes."
        )
    return labels.astype(bool)
