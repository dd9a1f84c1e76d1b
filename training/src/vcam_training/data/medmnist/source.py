"""MedMNIST files as a config names them: which file, and what is done about missing splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.spec import Fit, Grid, Intensity, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import DataSet, Report, Split, no_masks, sha256_of
from vcam_training.data.medmnist.files import (
    PREFIXES,
    Labelled,
    MedMnistFile,
    read_class_names,
    read_medmnist,
)
from vcam_training.data.medmnist.names import known_names
from vcam_training.data.medmnist.stand_in import made_up
from vcam_training.data.splitting import split
from vcam_training.task import Task

_BYTE = (0.0, 255.0)
_MASK = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class MedMnistSource:
    """Images or volumes with labels out of one .npz file; see `data.medmnist`.

    One column of labels makes exclusive classes, several make findings. Images in colour
    become grey. What the file has not split is split here, stratified: train into train
    and validation, images of no split into all three. Without test images all of train
    is learned from, and the validation split is tested on as well, which reports say.

    Attributes:
        file: name of the file in the data folder, wildcards allowed, or a path. Of no
            concern where `--data` names a file.
        names: of the classes or findings; () for the file's `class_names`, else those
            of the MedMNIST set that the file is named after, else 0, 1, ….
        window: (low, high) of values; () for 0 to 255 of bytes (0 to 1 of masks), and
            lowest to highest of the training images of anything else.
        validation_share, test_share: of the images, where they are split here.
        made: sides of made-up images, see `medmnist_stand_in`, for tests of the machinery
            where `--data` names no file; () for none.
        seed: of what is split or made here.
    """

    file: str = "*.npz"
    names: tuple[str, ...] = ()
    window: tuple[float, ...] = ()
    validation_share: float = 0.15
    test_share: float = 0.15
    made: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.validation_share, self.test_share)
        if not (min(shares) > 0 and sum(shares) < 1):
            raise ConfigError(
                "Expected shares above 0 and below 1 together, received data.validation_share="
                f"{self.validation_share:g} and data.test_share={self.test_share:g}."
            )
        if self.window and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise ConfigError(f"Expected data.window as low,high, received {self.window}.")
        if self.made and not (len(self.made) in (2, 3) and min(self.made) >= 3):
            raise ConfigError(
                f"Expected two or three sides of at least 3 for data.made, received {self.made}."
            )

    def load(self, folder: Path, report: Report) -> DataSet:
        """Reads the file.

        Args:
            folder: the file itself, or a folder in which `file` lies.
            report: is told what was read, and how it was split.

        Raises:
            ConfigError: no such file, or one that can't be used.
        """
        found = self._read(folder, report)
        parts = self._three(found, report)
        splits = {name: _split(found, *parts[name]) for name in ("train", "validation")}
        alone = parts["test"] is not parts["validation"]
        splits["test"] = _split(found, *parts["test"]) if alone else splits["validation"]
        return DataSet(
            name=found.path.stem,
            contract=self._contract(found, splits["train"].volumes),
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
            sha256=sha256_of(*splits.values()),
        )

    def load_split(self, name: str, folder: Path, report: Report) -> Split:
        """One split of a file that need not have the others.

        Args:
            name: "train", "validation" or "test".
            folder: as for `load`.
            report: is told what was read.

        Returns:
            That split of the file; of a file that nobody has split, all images.

        Raises:
            ConfigError: no such file, no such split in it, or one that can't be used.
        """
        found = self._read(folder, report)
        kept = name if name in found.parts else ""
        if kept not in found.parts:
            raise ConfigError(
                f"Expected {PREFIXES.get(name, name)}images in '{found.path}', found only "
                f"{', '.join(PREFIXES[part] + 'images' for part in found.parts)}. "
                "Choose another split, or another file with --data."
            )
        self._label_names(found)
        return _split(found, kept, np.arange(len(found.parts[kept].labels)))

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """The file's `class_names`; empty where it has none or `names` stand in for them.

        Raises:
            ConfigError: no such file, or one that can't be used.
        """
        if self.names or (self.made and not folder.is_file()):
            return ()
        return read_class_names(self._path(folder))

    def _read(self, folder: Path, report: Report) -> MedMnistFile:
        if self.made and not folder.is_file():
            found = made_up(self.made, self.seed)
        else:
            found = read_medmnist(self._path(folder))
        for name, part in found.parts.items():
            sides = "×".join(map(str, part.images.shape[1:]))
            report(
                f"{found.path.name}: {len(part.labels)} {PREFIXES[name]}images of {sides}, values "
                f"{part.images.min():g} to {part.images.max():g}, "
                f"{_counts(part.labels)}"
            )
        if any(part.was_coloured for part in found.parts.values()):
            report("Colours become grey values (0.299 red + 0.587 green + 0.114 blue)")
        return found

    def _path(self, folder: Path) -> Path:
        if folder.is_file():
            return folder
        named = Path(self.file)
        if named.is_absolute() and named.is_file():
            return named
        matching = [] if named.is_absolute() else sorted(folder.glob(self.file))
        if len(matching) == 1:
            return matching[0]
        if not folder.exists() and folder.suffix == ".npz":
            raise ConfigError(
                f"Expected a file of MedMNIST, found nothing at '{folder}'. Check --data."
            )
        known = ", ".join(path.name for path in matching or sorted(folder.glob("*.npz")))
        raise ConfigError(
            f"Expected one file {self.file} in '{folder}', found {known or 'no .npz file'}. Name "
            "the file itself with --data FILE.npz, or set data.file. Without one, "
            "`vcam-train run` with --tiny makes images up."
        )

    def _three(
        self, found: MedMnistFile, report: Report
    ) -> dict[str, tuple[str, NDArray[np.intp]]]:
        """By split of the data set, the split of the file and the indices in it."""
        whole = {name: (name, np.arange(len(p.labels))) for name, p in found.parts.items()}
        if "train" not in found.parts:
            if "" not in found.parts:
                raise ConfigError(
                    f"Expected train_images to learn from in '{found.path}', found only "
                    f"{', '.join(PREFIXES[part] + 'images' for part in found.parts)}. "
                    "Train on another file."
                )
            shares = (self.validation_share, self.test_share)
            cut = split(found.parts[""].labels, None, (1 - sum(shares), *shares), self.seed)
            report(f"Split here, seed {self.seed}: {' + '.join(str(len(part)) for part in cut)}")
            return {
                name: ("", part)
                for name, part in zip(("train", "validation", "test"), cut, strict=True)
            }
        if "validation" not in found.parts:
            share = self.validation_share
            train, validation = split(
                found.parts["train"].labels, None, (1 - share, share), self.seed
            )
            report(
                f"No val_images: {len(validation)} of {len(train) + len(validation)} train_images "
                f"are kept for validation, seed {self.seed}"
            )
            whole |= {"train": ("train", train), "validation": ("train", validation)}
        if "test" not in whole:
            report("No test_images: the validation split is tested on")
            whole["test"] = whole["validation"]
        return whole

    def _contract(self, found: MedMnistFile, images: NDArray) -> DataContract:
        labels = next(iter(found.parts.values())).labels
        window = self._window(images)
        return DataContract(
            task=Task.CLASSES if labels.ndim == 1 else Task.FINDINGS,
            labels=self._label_names(found),
            grid=Grid(shape=images.shape[1:], axes=(), fit=Fit.STRETCH, padding_value=window[0]),
            intensity=Intensity(dtype="float32", window=window),
            slice_aggregation=SliceAggregation.NONE if images.ndim == 3 else None,
        )

    def _window(self, images: NDArray) -> tuple[float, float]:
        """Of training images."""
        if self.window:
            low, high = self.window
            return low, high
        if images.dtype == np.uint8:
            return _MASK if images.max() <= 1 else _BYTE
        low, high = float(images.min()), float(images.max())
        if not low < high:
            raise ConfigError(
                f"Expected images of more than one value, found {low:g} everywhere. "
                "Set data.window, or give other images."
            )
        return low, high

    def _label_names(self, found: MedMnistFile) -> tuple[str, ...]:
        """Of the classes or findings, checked against the labels."""
        labels = [part.labels for part in found.parts.values()]
        findings = labels[0].ndim == 2
        highest = max(int(one.max()) for one in labels)
        count = labels[0].shape[1] if findings else highest + 1
        names = self.names or found.class_names or known_names(found.path.stem)
        if not names:
            return tuple(str(number) for number in range(max(count, 1 if findings else 2)))
        if count > len(names) or (findings and count != len(names)):
            what = f"{count} findings" if findings else f"labels up to {highest}"
            raise ConfigError(
                f"Expected one name for each label, found {what} in '{found.path}' and "
                f"{len(names)} names: {', '.join(names)}. Correct the labels, or set data.names."
            )
        return names


def _split(found: MedMnistFile, name: str, indices: NDArray[np.intp]) -> Split:
    part: Labelled = found.parts[name]
    everything = len(indices) == len(part.labels)
    images = part.images if everything else part.images[indices]
    return Split(
        volumes=images,
        labels=part.labels if everything else part.labels[indices],
        masks=no_masks(images.shape),
        names=tuple(f"{PREFIXES[name]}images[{index}]" for index in indices),
    )


def _counts(labels: NDArray) -> str:
    """How many there are of each class, or with each finding."""
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels)
    return f"{'/'.join(map(str, counts))} {'with each finding' if labels.ndim == 2 else 'by class'}"
