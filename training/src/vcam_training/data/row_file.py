"""An array in a `.npy` file that is written row by row, in any order."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class RowFile:
    """It has the name that ends in `.part` while it is written.

    Args:
        path: of the finished file.
        dtype, shape: of the array, rows first.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self.dtype, self._shape = dtype, shape
        self.row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def exists(self) -> bool:
        """Whether there is one of this dtype and shape, begun before."""
        try:
            found = np.load(self.part, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return found.dtype == self.dtype and found.shape == self._shape

    def create(self) -> None:
        """A file of zeros that takes no room yet."""
        np.lib.format.open_memmap(self.part, mode="w+", dtype=self.dtype, shape=self._shape)

    def read(self, row: int) -> NDArray:
        """A row, or zeros where none was written."""
        return np.load(self.part, mmap_mode="r")[row]

    def write(self, row: int, values: NDArray) -> None:
        """Writes one row; a full disk is an OSError here, and nothing worse."""
        offset = np.load(self.part, mmap_mode="r").offset + row * self.row_bytes
        with self.part.open("r+b") as stream:
            stream.seek(offset)
            stream.write(np.ascontiguousarray(values, self.dtype).tobytes())
