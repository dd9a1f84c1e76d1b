"""Made-up radiographs in the layout of ChestX-ray14, so that the same code reads both.

images/00000001_000.png    uint8, see `radiograph_phantom`
masks.csv                  run lengths of every finding, see `run_length`
labels.csv                 a table with the column "fold"; written last
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vcam_client.errors import ConfigError
from vcam_client.folder_writing import replace_folder
from vcam_client.table_cells import CsvWriter
from vcam_training.data.dataset import Report
from vcam_training.data.radiographs.chest_xray_table import FINDINGS, FOLDS
from vcam_training.data.radiographs.radiograph_findings import PREVALENCE, Radiograph, radiograph
from vcam_training.data.radiographs.radiograph_phantom import draw_anatomy
from vcam_training.data.radiographs.run_length import write_run_lengths

TABLE, IMAGES, MASKS = "labels.csv", "images", "masks.csv"
_MOST_IMAGES = 3
"""Of one patient."""
_MOST_PATIENTS = 10_000_000
"""Of one fold: eight digits of a name, the first of which is the fold."""
_PROGRESS_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What is made.

    Attributes:
        size: pixels along both sides.
        train, validation, test: images.
        seed: each fold has a stream of its own: a larger `test` leaves the others as
            they are.
    """

    size: int = 256
    train: int = 2000
    validation: int = 300
    test: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 32 or min(self.counts) < 1 or max(self.counts) > _MOST_PATIENTS:
            raise ConfigError(
                "Expected images of at least 32 pixels and at least one in each fold, received "
                f"{self}. Set data.made_size, data.train, data.validation and data.test."
            )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Images of each fold."""
        return self.train, self.validation, self.test

    @property
    def folder_name(self) -> str:
        """Where it lies below the data folder; other images, another name."""
        counts = "-".join(map(str, self.counts))
        return f"chest_xray-{counts}-{self.size}px-seed{self.seed}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Image:
    name: str
    patient: int
    fold: int
    shown: Radiograph


def write_stand_in(folder: Path, what: StandIn, report: Report) -> Path:
    """Writes the images and tables unless they are there.

    Args:
        folder: where data sets lie.
        what: to make.
        report: is told what happens.

    Returns:
        The folder of this stand-in.
    """
    place = folder / what.folder_name
    if (place / TABLE).exists():
        return place
    replace_folder(place, lambda part: _draw(part, place, what, report), option="--data")
    return place


def _draw(part: Path, place: Path, what: StandIn, report: Report) -> None:
    """Fills the folder that becomes `place`."""
    (part / IMAGES).mkdir()
    rows: list[list[object]] = []
    total = sum(what.counts)

    def masks() -> Iterator[tuple[str, str, NDArray[np.bool_] | None]]:
        for done, image in enumerate(_images(what), start=1):
            Image.fromarray(image.shown.image).save(part / IMAGES / image.name)
            there = [int(name in image.shown.masks) for name in FINDINGS]
            rows.append([image.name, image.patient, FOLDS[image.fold], *there])
            yield from ((image.name, name, mask) for name, mask in image.shown.masks.items())
            if done * _PROGRESS_STEPS // total > (done - 1) * _PROGRESS_STEPS // total:
                report(f"Drawing radiographs into {place}: {done} of {total}")

    write_run_lengths(part / MASKS, masks())
    with (part / TABLE).open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream, end="\n")
        writer.writerow(["Image Index", "Patient ID", "fold", *FINDINGS])
        writer.writerows(rows)


def _images(what: StandIn) -> Iterator[_Image]:
    """All images, fold by fold, patient by patient."""
    for fold, count in enumerate(what.counts):
        done = patient = 0
        while done < count:
            patient += 1
            rng = np.random.default_rng([what.seed, fold, patient])
            anatomy = draw_anatomy(rng)
            images = min(int(rng.integers(1, _MOST_IMAGES + 1)), count - done)
            number = fold * _MOST_PATIENTS + patient
            for at in range(images):
                findings = frozenset(k for k, share in PREVALENCE.items() if rng.random() < share)
                yield _Image(
                    name=f"{number:08d}_{at:03d}.png",
                    patient=number,
                    fold=fold,
                    shown=radiograph(anatomy, findings, what.size, rng),
                )
            done += images
