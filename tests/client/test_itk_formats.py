"""NRRD and MetaImage, written and read by SimpleITK: voxel by voxel and corner by corner."""

from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name that all its examples use
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vcam_client import Volume, read_volume

sitk.ProcessObject.SetGlobalWarningDisplay(False)

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FLIPS = [np.diag(signs) for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))]
ORDERS = [np.eye(3)[list(order)] for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0))]


def image_of(data: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """An image of [i, j, k] with an affine in RAS+ mm."""
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


def assert_as_simpleitk(volume: Volume, path: Path) -> None:
    image = sitk.ReadImage(str(path))
    expected = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert volume.data.dtype == expected.dtype
    np.testing.assert_array_equal(volume.data, expected)
    ends = [(i, j, k) for i in (0, volume.shape[0] - 1) for j in (0, volume.shape[1] - 1)
            for k in (0, volume.shape[2] - 1)]  # fmt: skip
    for index in ends:
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.world(index), (-x, -y, z), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(volume.affine, affine_of(image), rtol=1e-9, atol=1e-9)


@given(
    suffix=st.sampled_from([".nrrd", ".nhdr", ".mha", ".mhd"]),
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    flip=st.sampled_from(FLIPS),
    order=st.sampled_from(ORDERS),
    spacing=st.tuples(*[st.floats(0.05, 9)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    compress=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_any_volume_is_read_as_simpleitk_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    dtype: str,
    shape: tuple[int, int, int],
    angles: tuple[float, ...],
    flip: np.ndarray,
    order: np.ndarray,
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    compress: bool,
    seed: int,
) -> None:
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        data = rng.normal(0, 1000, shape).astype(kind)
    else:
        info = np.iinfo(kind)
        data = rng.integers(info.min, info.max, shape, kind, endpoint=True)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn @ flip @ order * spacing
    affine[:3, 3] = origin
    path = tmp_path_factory.mktemp("itk") / f"scan.ct{suffix}"
    sitk.WriteImage(image_of(data, affine), str(path), compress)
    volume = read_volume(path)
    assert_as_simpleitk(volume, path)
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine, affine, rtol=1e-5, atol=1e-4)
    assert volume.name == "scan.ct"
    assert volume.anatomical
    assert not volume.warnings


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_channels_and_time_points_are_volumes(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(5).integers(0, 99, (4, 5, 6, 2)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(tmp_path / f"v{suffix}"))
    series = np.random.default_rng(6).integers(0, 99, (3, 4, 5, 6)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(series, isVector=False), str(tmp_path / f"t{suffix}"))
    for n in range(2):
        volume = read_volume(tmp_path / f"v{suffix}", volume_index=n)
        np.testing.assert_array_equal(volume.data, values[..., n].T)
    for n in range(3):
        volume = read_volume(tmp_path / f"t{suffix}", volume_index=n)
        np.testing.assert_array_equal(volume.data, series[n].T)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_two_axes_are_a_picture(tmp_path: Path, suffix: str) -> None:
    values = np.arange(20, dtype=np.uint16).reshape(4, 5)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.2, 0.3))
    sitk.WriteImage(image, str(tmp_path / f"xray{suffix}"))
    volume = read_volume(tmp_path / f"xray{suffix}")
    np.testing.assert_array_equal(volume.data[..., 0], values.T)
    assert volume.is_picture
    np.testing.assert_allclose(volume.spacing[:2], (0.2, 0.3))
    assert volume.orientation[:2] == ("L", "I")


SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "RAS": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "LAS": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "LPS": (-1, -1, 1),
}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # of pynrrd
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("detached", [False, True])
def test_spaces_of_nrrd_written_by_pynrrd(
    tmp_path: Path, space: str, encoding: str, detached: bool
) -> None:
    data = np.random.default_rng(7).integers(-9, 9, (3, 4, 5)).astype(np.int16)
    steps = np.array([[0, 2, 0.1], [-1.5, 0, 0], [0, 0.2, 3]])
    header: dict[str, Any] = {
        "space": space,
        "space directions": steps,
        "space origin": np.array([4.0, 5, 6]),
        "encoding": encoding,
    }
    path = tmp_path / ("scan.nhdr" if detached else "scan.nrrd")
    nrrd.write(str(path), data, header)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine[:3, :3], (steps * SPACES[space]).T)
    np.testing.assert_allclose(volume.affine[:3, 3], np.multiply(SPACES[space], [4, 5, 6]))
    if encoding != "bzip2" and len(space) > 3:  # SimpleITK knows neither the rest
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, volume.data
        )
        np.testing.assert_allclose(
            volume.affine, affine_of(sitk.ReadImage(str(path))), rtol=1e-6, atol=1e-6
        )
