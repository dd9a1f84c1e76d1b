"""Masks as run lengths, in the form of the SIIM-ACR pneumothorax challenge.

    ImageId,EncodedPixels
    a, 7 2 3 1        (two runs)
    b, -1             (nothing)

Pixels are counted down the columns, from the left one. A run is two numbers: how many
pixels lie between the end of the run before it, or the first pixel, and its own first
one, and how many it has. An image has as many rows as its mask has parts; a column
"Finding" says what they mark, where that is not one and the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_client.table_cells import CsvWriter
from vcam_training.data.csv_table import read_csv

NOTHING = "-1"
"""Encoded pixels of an image without a mask."""
_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".npy")
_IMAGE, _PIXELS, _FINDING = "ImageId", "EncodedPixels", "Finding"


@dataclass(frozen=True, kw_only=True)
class RunLengths:
    """The rows of a file.

    Attributes:
        images: names of images, without suffix, that the file says anything about.
        parts: encoded pixels of each finding of each image, only those with any.
    """

    images: frozenset[str]
    parts: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def findings(self) -> frozenset[str]:
        """What is marked in any image."""
        return frozenset(finding for _, finding in self.parts)

    def has(self, image: str, finding: str) -> bool:
        """Whether anything marks a finding in an image, whatever the suffix of its name."""
        return (image_key(image), finding) in self.parts

    def mask(self, image: str, finding: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The union of an image's parts, bool [rows, columns].

        Raises:
            ConfigError: runs that are none, or leave the image.
        """
        mask = np.zeros(shape, bool)
        for text in self.parts.get((image_key(image), finding), ()):
            try:
                mask |= decode(text, shape)
            except ConfigError as error:
                raise ConfigError(f"Mask of {finding} in {image}: {error}") from error
        return mask


def image_key(name: str) -> str:
    """The name of an image without its folder and suffix; UIDs have dots of their own."""
    plain = Path(name.replace("\\", "/")).name
    suffix = next((s for s in _SUFFIXES if plain.lower().endswith(s)), "")
    return plain[: len(plain) - len(suffix)]


def decode(text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool [rows, columns] of encoded pixels; nothing for "-1" and for an empty text.

    Args:
        text: run lengths.
        shape: rows and columns of the image that they were drawn on.

    Raises:
        ConfigError: odd or negative numbers, or runs that leave the image.
    """
    rows, columns = shape
    if text.strip() in ("", NOTHING):
        return np.zeros(shape, bool)
    try:
        numbers = np.array([int(word) for word in text.split()], np.int64)
    except ValueError as error:
        raise ConfigError(
            f"Expected whole numbers as run lengths, received {text[:40]!r}."
        ) from error
    if len(numbers) % 2 or numbers.min() < 0:
        raise ConfigError(
            "Expected pairs of an offset and a length, none of them negative, received "
            f"{len(numbers)} numbers, {text[:40]!r}."
        )
    # where each run ends; offsets count from the end of the run before
    ends = numbers.cumsum()[1::2]
    if ends[-1] > rows * columns:
        raise ConfigError(
            f"Expected runs within {rows}×{columns} pixels, received some up to pixel {ends[-1]}. "
            "Set data.mask_size to the sides of the images that masks were drawn on."
        )
    steps = np.zeros(rows * columns + 1, np.int8)
    # runs may be empty or touch, so several steps can fall on one pixel
    np.add.at(steps, ends - numbers[1::2], 1)
    np.add.at(steps, ends, -1)
    inside: NDArray[np.bool_] = steps[:-1].cumsum(dtype=np.int32) > 0
    return inside.reshape(columns, rows).T


def encode(mask: NDArray[np.bool_]) -> str:
    """Encoded pixels of bool [rows, columns]; "-1" where nothing is marked."""
    steps = np.diff(mask.T.ravel().astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if not len(starts):
        return NOTHING
    offsets = starts - np.concatenate([[0], ends[:-1]])
    return " ".join(map(str, np.stack([offsets, ends - starts], axis=1).ravel()))


def read_run_lengths(path: Path, finding: str) -> RunLengths:
    """The masks of a file.

    Args:
        path: CSV; blanks around names of columns are left out, as files of the challenge have some.
        finding: what rows without a column "Finding" mark.

    Raises:
        ConfigError: no such file, or not of that form.
    """
    images: set[str] = set()
    parts: dict[tuple[str, str], tuple[str, ...]] = {}
    expected = f"Expected a CSV file of masks with columns {_IMAGE} and {_PIXELS} in '{path}'"
    advice = "Check the path and the first line."
    table = read_csv(path, expected, advice)
    image_at, pixels_at, finding_at = map(table.column, (_IMAGE, _PIXELS, _FINDING))
    if image_at is None or pixels_at is None:
        raise ConfigError(f"{expected}, found {', '.join(table.columns) or 'nothing'}. {advice}")
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) <= max(image_at, pixels_at, finding_at or 0):
            raise ConfigError(f"{expected}, line {line} has too few values. {advice}")
        image, text = image_key(row[image_at]), row[pixels_at]
        images.add(image)
        if text in ("", NOTHING):
            continue
        key = (image, finding if finding_at is None else row[finding_at])
        parts[key] = (*parts.get(key, ()), text)
    return RunLengths(images=frozenset(images), parts=parts)


def write_run_lengths(
    path: Path, rows: Iterable[tuple[str, str, NDArray[np.bool_] | None]]
) -> None:
    """Writes names of images, what is marked in them, and masks; None for nothing."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream, end="\n")
        writer.writerow([_IMAGE, _FINDING, _PIXELS])
        for image, finding, mask in rows:
            writer.writerow([image, finding, NOTHING if mask is None else encode(mask)])
