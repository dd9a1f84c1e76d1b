"""Some rows of a larger array, in an order of their own, read when they are asked for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Rows:
    """What a split sees of the volumes of a data set, without a copy of them.

    It is indexed as an array is, first by row. One row is a view of the larger array;
    several are copied into memory. NumPy functions take it as an array, copied as a whole.

    Args:
        source: [N, …], often a file mapped into memory.
        index: int [n], the rows.
    """

    def __init__(self, source: NDArray, index: NDArray[np.intp]) -> None:
        self.source = source
        self.index = index

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, …)."""
        return (len(self.index), *self.source.shape[1:])

    @property
    def ndim(self) -> int:
        """As the larger array."""
        return self.source.ndim

    @property
    def dtype(self) -> np.dtype:
        """As the larger array."""
        return self.source.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[NDArray]:
        return (self.source[row] for row in self.index)

    def __getitem__(self, key: Any) -> NDArray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is None or first is Ellipsis:
            return np.asarray(self)[key]
        rows = self.index[first]
        found = self.source[rows]
        return found[(slice(None), *rest)] if rows.ndim else found[tuple(rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("Rows of a larger array are copied where they become one.")
        return np.asarray(self.source[self.index], dtype)

    def any(self, axis: int | tuple[int, ...] | None = None) -> Any:
        """Whether there is anything but zeros; over all axes found row by row."""
        if axis is None:
            return any(bool(row.any()) for row in self)
        return np.asarray(self).any(axis)


def concatenated(first: Any, second: Any) -> Any:
    """Rows of one array after those of another; without a copy where they are of the same."""
    if isinstance(first, Rows) and isinstance(second, Rows) and first.source is second.source:
        return Rows(first.source, np.concatenate([first.index, second.index]))
    return np.concatenate([first, second])


def chosen(array: Any, index: NDArray[np.intp]) -> Any:
    """Some rows of an array, read when they are asked for."""
    if isinstance(array, Rows):
        return Rows(array.source, array.index[index])
    return Rows(array, index)
