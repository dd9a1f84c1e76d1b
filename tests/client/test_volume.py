"""What a volume refuses, and that nothing changes one by accident."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from client.dicom_files import write_series

from vcam_client import Volume, read_volume
from vcam_client.errors import InputError
from vcam_client.reading import as_volume

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("dtype", "padding"),
    [
        (np.int16, (-32769.0, -32769.0)),
        (np.int16, (0.0, 32768.0)),
        (np.int16, (-2000.5, -2000.5)),
        (np.uint8, (-1.0, -1.0)),
        (np.int32, (2.0**31, 2.0**31)),
        (np.float32, (-1e39, -1e39)),
        (np.float32, (np.nan, np.nan)),
        (np.float64, (-np.inf, 0.0)),
        (np.int16, (5.0, 4.0)),
    ],
)
def test_padding_that_no_voxel_can_hold_is_refused(
    dtype: type[np.generic], padding: tuple[float, float]
) -> None:
    with pytest.raises(InputError, match=r"padding.*convert the voxels to a wider type"):
        Volume(data=VOXELS.astype(dtype), affine=AFFINE, padding=padding)


@pytest.mark.parametrize(
    ("dtype", "padding"),
    [
        (np.int16, (-32768.0, 32767.0)),
        (np.uint8, (0.0, 255.0)),
        (np.int32, (-(2.0**31), -2000.0)),
        (np.float32, (-3e38, 3e38)),
    ],
)
def test_padding_within_the_type_is_taken(
    dtype: type[np.generic], padding: tuple[float, float]
) -> None:
    volume = Volume(data=VOXELS.astype(dtype), affine=AFFINE, padding=padding)
    assert volume.padding == pytest.approx(padding, rel=1e-7)


def test_padding_of_float32_is_the_float32_that_voxels_hold() -> None:
    data = np.full((2, 2, 2), -1000.1, np.float32)
    padding = np.float64(-1000.1)
    volume = Volume(data=data, affine=AFFINE, padding=(padding, padding))
    assert volume.padding == (float(data[0, 0, 0]),) * 2


@pytest.mark.parametrize(
    "padding",
    [
        (None, None),
        -2000,
        np.int16(-2000),
        ("a", "b"),
        ("1", "2"),
        "12",
        (b"1", b"2"),
        (1 + 2j, 3),
        (1,),
        (1, 2, 3),
        (),
        {1, 2},
        {1: 2, 3: 4},
        ((1,), (2,)),
        np.ones((2, 2)),
    ],
)
def test_padding_that_is_no_pair_of_numbers_is_refused(padding: Any) -> None:
    with pytest.raises(InputError, match="lowest and the highest value of padding as two real"):
        Volume(data=VOXELS, affine=AFFINE, padding=padding)


def test_padding_beyond_all_floats_is_refused() -> None:
    with pytest.raises(InputError, match="convert the voxels to a wider type"):
        Volume(data=VOXELS, affine=AFFINE, padding=(-(10**400), 10**400))


@pytest.mark.parametrize(
    "padding", [[1, 2], np.array([1, 2], np.int16), (np.float32(1), np.int64(2)), (True, 2)]
)
def test_any_pair_of_numbers_is_padding(padding: Any) -> None:
    assert Volume(data=VOXELS, affine=AFFINE, padding=padding).padding == (1.0, 2.0)


@pytest.mark.parametrize(
    ("affine", "received"),
    [
        ([["a"] * 4] * 4, "texts"),
        (np.full((4, 4), "1"), "texts"),
        ([[1, 0, 0, 0], [0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "rows of different lengths"),
        ((1 + 2j) * AFFINE, "complex ones"),
        (np.ma.MaskedArray(AFFINE, AFFINE > 0), "masked ones"),
        (None, "something else"),
        (np.zeros((4, 4), "datetime64[s]"), "something else"),
        ([[10**400] * 4] * 4, "something else"),
    ],
)
def test_an_affine_that_is_not_of_real_numbers_is_refused(affine: Any, received: str) -> None:
    with pytest.raises(InputError, match=f"affine of real numbers, received {received}"):
        Volume(data=VOXELS, affine=affine)


@pytest.mark.parametrize(
    "affine", [AFFINE.tolist(), AFFINE.view(np.recarray), AFFINE.astype(int), AFFINE.astype(">f4")]
)
def test_any_real_affine_becomes_a_plain_array(affine: Any) -> None:
    volume = Volume(data=VOXELS, affine=affine)
    assert type(volume.affine) is np.ndarray
    np.testing.assert_array_equal(volume.affine, AFFINE)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_kinds_of_arrays_become_plain_ones() -> None:
    image = as_volume(np.matrix([[1, 2], [3, 4]]))
    assert type(image.data) is np.ndarray
    assert image.data.tolist() == [[[1, 2], [3, 4]]]
    assert type(Volume(data=VOXELS.view(np.recarray), affine=AFFINE).data) is np.ndarray


@pytest.mark.parametrize("row", [(1, 0, 0, 1), (0, 0, 0, 2), (0, 0, 0, 0), (-10, 20, 5, 1)])
def test_an_affine_that_is_none_is_refused(row: tuple[float, ...]) -> None:
    affine = AFFINE.copy()
    affine[3] = row
    with pytest.raises(InputError, match="last row is 0 0 0 1"):
        Volume(data=VOXELS, affine=affine)


def test_rounding_in_the_last_row_is_taken_out() -> None:
    affine = AFFINE.copy()
    affine[3] = 1e-17, 0, -1e-12, 1 + 1e-16
    assert Volume(data=VOXELS, affine=affine).affine[3].tolist() == [0, 0, 0, 1]


def test_voxels_that_are_no_array_are_refused() -> None:
    with pytest.raises(InputError, match=r"received list.*numpy\.asarray"):
        Volume(data=VOXELS.tolist(), affine=AFFINE)


def nothing_can_be_written(volume: Volume) -> None:
    assert not volume.data.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        volume.data[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 1


def test_arrays_are_read_only_and_voxels_are_not_copied() -> None:
    data, affine = VOXELS.copy(), AFFINE.copy()
    volume = Volume(data=data, affine=affine)
    nothing_can_be_written(volume)
    assert np.shares_memory(volume.data, data)
    data[0, 0, 0] = 7  # the array that was passed stays the caller's
    affine[0, 3] = 7
    assert volume.affine[0, 3] == 0


def test_arrays_of_every_reader_are_read_only(tmp_path: Path) -> None:
    write_series(tmp_path / "series", VOXELS)
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "a.nii.gz")
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "b.nii")
    np.save(tmp_path / "c.npy", VOXELS)
    for name in ("series", "a.nii.gz", "b.nii"):
        nothing_can_be_written(read_volume(tmp_path / name))
    nothing_can_be_written(read_volume(tmp_path / "c.npy", spacing=1))
    nothing_can_be_written(as_volume(VOXELS.copy()))
