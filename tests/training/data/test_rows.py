"""Rows of a larger array are what NumPy's own indexing gives."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vcam_training.data.rows import Rows, chosen, concatenated

SOURCE = np.arange(6 * 2 * 3).reshape(6, 2, 3)
INDEX = np.array([4, 0, 5, 1])


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(2),
        slice(1, 3),
        np.array([2, 0]),
        np.array([True, False, True, False]),
        (1, 0),
        (slice(None), ..., None),
        (slice(0, 2), 1),
        (..., None),
        (..., 2),
        None,
    ],
)
def test_it_is_indexed_as_an_array(key: object) -> None:
    assert_array_equal(Rows(SOURCE, INDEX)[key], SOURCE[INDEX][key])


def test_it_looks_like_an_array() -> None:
    rows = Rows(SOURCE, INDEX)
    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == ((4, 2, 3), 3, SOURCE.dtype, 4)
    assert_array_equal(rows, SOURCE[INDEX])
    assert_array_equal(list(rows), SOURCE[INDEX])
    assert np.asarray(rows, np.float32).dtype == np.float32
    assert rows.any()
    assert_array_equal(rows.any(axis=(1, 2)), SOURCE[INDEX].any(axis=(1, 2)))
    assert not Rows(np.zeros((3, 2)), np.array([0, 1])).any()


def test_one_row_is_no_copy() -> None:
    assert np.shares_memory(Rows(SOURCE, INDEX)[1], SOURCE)


def test_rows_of_rows_are_rows_of_the_same_array() -> None:
    part = chosen(Rows(SOURCE, INDEX), np.array([3, 0]))
    assert part.source is SOURCE
    assert_array_equal(part, SOURCE[[1, 4]])
    assert_array_equal(chosen(SOURCE, np.array([2])), SOURCE[[2]])


def test_rows_of_the_same_array_are_joined_without_a_copy() -> None:
    joined = concatenated(Rows(SOURCE, INDEX), Rows(SOURCE, np.array([2])))
    assert joined.source is SOURCE
    assert_array_equal(joined, SOURCE[[4, 0, 5, 1, 2]])
    assert_array_equal(concatenated(SOURCE[:1], Rows(SOURCE, INDEX)), SOURCE[[0, 4, 0, 5, 1]])
