"""Voxels without a value: NaN in files, hidden ones of masked arrays."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from vcam_client import Volume, read_volume
from vcam_client._cli import main
from vcam_client._options import ReadOptions
from vcam_client.batch import find_scans
from vcam_client.client import read_scan
from vcam_client.errors import IncompatibleScanError, InputError
from vcam_client.grid import to_model_grid
from vcam_client.inspection import inspect_scan
from vcam_client.reading import as_volume
from vcam_client.spec import Fit, Grid
from vcam_client.truth import Truth

SHAPE = (4, 6, 8)
BACKGROUND = 500.0
GRID = Grid(shape=SHAPE, axes=(), fit=Fit.STRETCH, padding_value=BACKGROUND)
HALF = Grid(shape=(2, 3, 4), axes=(), fit=Fit.STRETCH, padding_value=BACKGROUND)
RNG = np.random.default_rng(4)
VALUES = RNG.integers(-1000, 1000, SHAPE)
HIDDEN = RNG.random(SHAPE) < 0.4


def seen(scan: Any, grid: Grid = GRID, **options: Any) -> np.ndarray:
    """What a model would see of what a client is given."""
    volume, _ = read_scan(scan, None, None, 1.0, False, options.get("nan"))
    return to_model_grid(volume, grid)


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?", ">i2", ">f4"]
)
def test_what_a_mask_hides_is_padding(dtype: str) -> None:
    values = (VALUES % 2 if dtype == "?" else VALUES % 120).astype(dtype)
    hidden = values.copy()
    hidden[HIDDEN] = values.max()  # what is beneath a mask means nothing
    expected = np.where(HIDDEN, BACKGROUND, values.astype(np.float32))
    np.testing.assert_array_equal(seen(np.ma.MaskedArray(hidden, HIDDEN)), expected)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2"])
def test_a_type_whose_values_are_all_in_use_becomes_wider(dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.linspace(info.min, info.max, np.prod(SHAPE)).round().astype(dtype).reshape(SHAPE)
    hidden = HIDDEN.copy()
    hidden.flat[[0, -1]] = False
    expected = np.where(hidden, BACKGROUND, values.astype(np.float32))
    np.testing.assert_array_equal(seen(np.ma.MaskedArray(values, hidden)), expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("values", [(0, 1), (-1e30, 1e30), (3e38, 3.1e38), (-3.4028234e38, 0)])
def test_padding_is_no_real_value_however_large_they_are(
    dtype: str, values: tuple[float, float]
) -> None:
    data = np.full(SHAPE, values[0], dtype)
    data[0] = values[1]
    data[1, 1, 1] = np.nan
    volume = as_volume(data, spacing=1.0, nan="padding")
    assert volume.padding is not None
    fill = volume.padding[0]
    assert np.isfinite(volume.data).all()
    assert (volume.data == fill).sum() == 1
    assert volume.data[1, 1, 1] == fill


def test_hidden_voxels_stay_out_of_averages() -> None:
    hidden = np.zeros(SHAPE, bool)
    hidden[0, 0, 0] = True
    array = np.ma.MaskedArray(VALUES.astype(np.float32), hidden)
    block = array[:2, :2, :2]
    np.testing.assert_allclose(seen(array, HALF)[0, 0, 0], block.mean(), rtol=1e-5)


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    array = np.ma.MaskedArray(VALUES.astype(np.int16))
    volume = as_volume(array, spacing=1.0)
    assert volume.padding is None
    assert type(volume.data) is np.ndarray
    np.testing.assert_array_equal(volume.data, VALUES)
    with pytest.raises(InputError, match="every voxel is hidden"):
        as_volume(np.ma.masked_all(SHAPE), spacing=1.0)


def test_an_image_of_a_masked_array(tmp_path: Path) -> None:
    image = np.ma.MaskedArray(VALUES[0].astype(np.int16), HIDDEN[0])
    volume = as_volume(image)
    assert volume.shape == (1, 6, 8)
    fill = np.int16(volume.padding[0])  # type: ignore[index]
    np.testing.assert_array_equal(volume.data[0] == fill, HIDDEN[0])


def test_where_a_mask_would_be_lost_it_is_refused() -> None:
    array = np.ma.MaskedArray(VALUES, HIDDEN)
    with pytest.raises(InputError, match="whose mask would be lost"):
        Volume(data=array, affine=np.eye(4))
    with pytest.raises(InputError, match=r"array\.filled\(False\)"):
        Truth(mask=np.ma.MaskedArray(VALUES > 0, HIDDEN))


def with_nan(path: Path) -> np.ndarray:
    """A NIfTI of float32 whose background is NaN, with two infinite voxels."""
    data = VALUES.astype(np.float32)
    data[HIDDEN] = np.nan
    data[np.nonzero(~HIDDEN)[0][0], 0, 0] = np.inf
    data[-1, -1, -1] = -np.inf
    nib.save(nib.Nifti1Image(data, np.diag([1, 1, 1, 1.0])), path)
    return np.isfinite(data)


def test_nan_is_refused_and_the_message_names_the_option(tmp_path: Path) -> None:
    with_nan(tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    with pytest.raises(IncompatibleScanError, match=r"--nan VALUE.* --nan padding"):
        to_model_grid(volume, GRID)


@pytest.mark.parametrize("nan", [-1024, 0.5, np.float32(7), "padding"])
def test_nan_becomes_what_is_stated(tmp_path: Path, nan: Any) -> None:
    real = with_nan(tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii", nan=nan)
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data[real], VALUES.astype(np.float32)[real])
    if nan == "padding":
        assert volume.padding is not None
        inside = (volume.data >= volume.padding[0]) & (volume.data <= volume.padding[1])
        np.testing.assert_array_equal(inside, ~real)
    else:
        assert volume.padding is None
        assert (volume.data[~real] == np.float32(nan)).all()
    for same in (
        inspect_scan(tmp_path / "scan.nii", nan=nan).require_volume(),
        find_scans([tmp_path])[0].read(ReadOptions(nan=nan)),
        as_volume(read_volume(tmp_path / "scan.nii"), nan=nan),
    ):
        np.testing.assert_array_equal(same.data, volume.data)
        assert same.padding == volume.padding


@pytest.mark.parametrize("nan", [0, -1, 7.5, 2, 1e38])
@pytest.mark.parametrize("lowest", [1.0, 0.0])
def test_the_padding_of_a_mask_is_another_value_than_that_of_nan(nan: float, lowest: float) -> None:
    """Else voxels of that value would be padding, though a user says what they are."""
    data = np.full(SHAPE, lowest, np.float32)
    data[1], data[2] = np.nan, 5
    hidden = np.zeros(SHAPE, bool)
    hidden[3] = True
    array = np.ma.MaskedArray(data, hidden)
    volume = as_volume(array, spacing=1.0, nan=nan)
    assert volume.padding is not None
    low, high = volume.padding
    np.testing.assert_array_equal((volume.data >= low) & (volume.data <= high), hidden)
    assert (volume.data[1] == np.float32(nan)).all()
    expected = np.where(hidden, BACKGROUND, volume.data)
    np.testing.assert_array_equal(seen(array, nan=nan), expected)


def test_padding_that_is_there_takes_nan_up() -> None:
    data = VALUES.astype(np.float32)
    data[0], data[1] = -2000, np.nan
    volume = Volume(data=data, affine=np.eye(4), padding=(-2000, -1999))
    kept = as_volume(volume, nan="padding")
    assert kept.padding == (-2000, -1999)
    assert (kept.data[:2] == -2000).all()
    assert np.isnan(volume.data[1]).all()  # as it was


@pytest.mark.parametrize("nan", ["air", float("nan"), float("inf"), True, (1, 2)])
def test_what_is_no_value_is_refused(nan: Any) -> None:
    with pytest.raises(InputError, match='finite number or "padding"'):
        as_volume(VALUES, spacing=1.0, nan=nan)


def test_a_value_out_of_the_type_is_refused() -> None:
    data = VALUES.astype(np.float32)
    data[0] = np.nan
    with pytest.raises(InputError, match="float32 can hold"):
        as_volume(data, spacing=1.0, nan=1e39)


def test_the_option_of_the_command_line(tmp_path: Path) -> None:
    real = with_nan(tmp_path / "scan.nii")
    run = CliRunner().invoke
    plain = run(main, ["inspect", str(tmp_path / "scan.nii")])
    assert f"{(~real).sum()} voxels: models refuse them without --nan" in plain.output
    for value, padding in (("-1024", None), ("padding", True)):
        answer = run(main, ["inspect", str(tmp_path / "scan.nii"), "--nan", value, "--json"])
        volume = json.loads(answer.output)["volume"]
        assert volume["not_finite"] == 0
        assert bool(volume["padding"]) == bool(padding)
    wrong = run(main, ["inspect", str(tmp_path / "scan.nii"), "--nan", "nan"])
    assert wrong.exit_code == 2
    assert "expected a finite number, such as -1024, or padding" in wrong.output
