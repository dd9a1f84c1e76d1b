"""Masks of images as an array that is decoded where it is looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam_client.errors import ConfigError, InputError
from vcam_client.reading import read_volume
from vcam_client.spec import Grid
from vcam_client.volume import Volume
from vcam_training.data.dataset import no_masks
from vcam_training.data.laying import lay
from vcam_training.data.radiographs.run_length import RunLengths

_HALF = 0.5
"""Share of a pixel of the grid that a mask must cover to mark it."""


@dataclass(frozen=True, kw_only=True)
class MaskSource:
    """Where masks come from.

    Attributes:
        runs: run lengths by image and finding.
        shape: rows and columns of what they were drawn on; None for the images as they are.
        grid: of the model, two axes.
    """

    runs: RunLengths
    shape: tuple[int, int] | None
    grid: Grid

    def on_grid(self, image: Path, finding: str) -> NDArray[np.bool_] | None:
        """Bool [*grid]: pixels half of which are marked, or the most marked one; None without.

        Args:
            image: is read, since its file says which way up it is stored.
            finding: whose mask.

        Raises:
            ConfigError: the image can't be read, or runs leave it.
        """
        if not self.runs.has(image.name, finding):
            return None
        try:
            volume = read_volume(image)
            columns, rows, _ = volume.shape
            mask = self.runs.mask(image.name, finding, self.shape or (rows, columns))
            if not mask.any():
                return None
            drawn = Volume(data=mask.T[:, :, None].astype(np.uint8), affine=volume.affine)
            share = lay(drawn, self.grid, "float32")
        except InputError as error:
            raise ConfigError(
                f"Expected an image for the mask of {finding} in '{image}', received: {error}"
            ) from error
        return share >= min(_HALF, float(share.max()))


class RadiographMasks:
    """Bool [n, *grid] of one finding, as `Split.finding_masks` takes it.

    It is indexed as an array is, first by image. A mask is decoded when it is first looked
    at and kept as bits; images without one cost nothing. NumPy takes all of it as an array.

    Args:
        source: of the masks.
        images: files of the split.
        finding: whose masks.
        there: bool [n], images whose label says that it is there; others have no mask.
    """

    dtype = np.dtype(bool)

    def __init__(
        self,
        source: MaskSource,
        images: Sequence[Path],
        finding: str,
        there: NDArray[np.bool_],
    ) -> None:
        self._source, self._images, self._finding = source, images, finding
        self._there = there
        self._bits: dict[int, NDArray[np.uint8] | None] = {}
        self._none = no_masks(source.grid.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *grid)."""
        return (len(self._images), *self._source.grid.shape)

    @property
    def ndim(self) -> int:
        """Axes, that of images among them."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self._mask(number) for number in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is None or first is Ellipsis:
            return np.asarray(self)[key]
        rows = np.arange(len(self))[first]
        if rows.ndim == 0:
            return self._mask(int(rows))[tuple(rest)]
        found = np.zeros((*rows.shape, *self.shape[1:]), bool)
        for place, row in np.ndenumerate(rows):
            found[place] = self._mask(int(row))
        return found[(*[slice(None)] * rows.ndim, *rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("Masks are decoded where they become an array.")
        return self[:].astype(dtype or bool, copy=False)

    def any(self) -> bool:
        """Whether there is anything but zeros."""
        return any(bool(mask.any()) for mask in self)

    def _mask(self, number: int) -> NDArray[np.bool_]:
        if not self._there[number]:
            return self._none
        if number not in self._bits:
            mask = self._source.on_grid(self._images[number], self._finding)
            self._bits[number] = None if mask is None else np.packbits(mask)
        bits = self._bits[number]
        if bits is None:
            return self._none
        shape = self._source.grid.shape
        return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
