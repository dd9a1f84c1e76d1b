"""NumPy arrays as stacks and pictures."""

from pathlib import Path

import numpy as np
import pytest

from vcam_client import read_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError

STACK = np.random.default_rng(0).integers(0, 100, (5, 24, 18))
"""[slices, rows, columns]"""


def save(path: Path, data: np.ndarray) -> Path:
    np.save(path, data, allow_pickle=True)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i4", ">i4", "u8", "f2", ">f4", "f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_columns_rows_slices(tmp_path: Path, dtype: str, order: str) -> None:
    data = np.array(STACK, dtype, order=order)
    volume = read_volume(save(tmp_path / "soil.npy", data), spacing=(0.1, 0.2, 0.3))
    np.testing.assert_array_equal(volume.data, data.transpose(2, 1, 0))
    assert volume.data.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_allclose(volume.affine, np.diag([-0.1, -0.2, 0.3, 1]))
    assert (volume.name, volume.units, volume.is_picture) == ("soil", "", False)


def test_a_stack_needs_a_spacing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"an array, which states none\. State it with --spacing"):
        read_volume(save(tmp_path / "s.npy", STACK))


def test_two_axes_are_a_picture(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "xray.npy", STACK[0]))
    np.testing.assert_array_equal(volume.data[:, :, 0], STACK[0].T)
    assert volume.is_picture
    assert not volume.spacing_known
    assert volume.orientation == ("L", "I", "P")


@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_before_the_slices_count_volumes(tmp_path: Path, order: str) -> None:
    data = np.array(STACK + np.arange(6).reshape(2, 3, 1, 1, 1), order=order)
    path = save(tmp_path / "s.npy", data)
    with pytest.raises(InputError, match="6 volumes of 18×24×5 voxels"):
        read_volume(path, spacing=1)
    for index in range(6):
        volume = read_volume(path, spacing=1, volume_index=index)
        np.testing.assert_array_equal(volume.data, (STACK + index).transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (STACK.astype(complex), "received complex128"),
        (np.array([{"a": 1}] * 4).reshape(2, 2), "received object"),
        (np.zeros((4, 4), [("R", "u1"), ("G", "u1")]), "Expected real numbers"),
        (np.zeros((4, 4), np.longdouble), "up to 64 bits"),
        (np.zeros(4), r"received the shape \(4,\)"),
        (np.zeros((0, 4, 4)), r"received the shape \(0, 4, 4\)"),
    ],
)
def test_what_is_no_grid_of_numbers_is_refused(
    tmp_path: Path, data: np.ndarray, message: str
) -> None:
    with pytest.raises(UnsupportedFormatError, match=message):
        read_volume(save(tmp_path / "s.npy", data), spacing=1)


@pytest.mark.parametrize("cut", [1, 500])
def test_a_truncated_array_is_found(tmp_path: Path, cut: int) -> None:
    whole = save(tmp_path / "whole.npy", STACK).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-cut])
    with pytest.raises(CorruptFileError, match=r"states an array 5×24×18 .* Copy it again"):
        read_volume(tmp_path / "cut.npy", spacing=1)


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4'", b"import os", b"{'descr': '<f4', 'shape': (2, -1)}", b"\xff"]
)
def test_a_damaged_header_is_found(tmp_path: Path, header: bytes) -> None:
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"header of s\.npy can't be read"):
        read_volume(tmp_path / "s.npy", spacing=1)


def test_stated_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999, 99999), }\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(InputError, match="more than the limit"):
        read_volume(tmp_path / "s.npy", spacing=1)
