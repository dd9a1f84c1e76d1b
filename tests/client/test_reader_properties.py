"""Whatever way a scan is stored, each value comes back at its world position."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from client.dicom_files import write_series
from client.dicom_instances import directory, enhanced, in_syntax, to_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vcam_client import Volume, read_volume
from vcam_client.errors import InconsistentSeriesError

properties = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
NIFTI_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
INDEX = 1e-4
"""Fractions of a voxel by which an index may be off: positions are written as text."""

angles = st.tuples(*[st.floats(-180, 180) for _ in range(3)])
spacings = st.tuples(*[st.floats(0.2, 8) for _ in range(3)])
shapes = st.tuples(*[st.integers(2, 9) for _ in range(3)])
seeds = st.integers(0, 2**32 - 1)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def values(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 1000, shape).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=kind.newbyteorder("="), endpoint=True)


def assert_values_at_their_places(volume: Volume, data: np.ndarray, world: np.ndarray) -> None:
    """`data` [...] lies at RAS+ mm `world` [..., 3], and nothing else is in the volume."""
    inverse = np.linalg.inv(volume.affine)
    index = world.reshape(-1, 3) @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < INDEX * max(1, np.abs(world).max())
    assert len(np.unique(nearest, axis=0)) == volume.data.size == data.size
    found = volume.data[tuple(nearest.T)]
    np.testing.assert_array_equal(found, data.ravel())


@properties
@given(
    seed=seeds,
    shape=shapes,
    spacing=spacings,
    turn=angles,
    order=st.sampled_from(ORDERS),
    flips=st.tuples(*[st.booleans()] * 3),
    dtype=st.sampled_from(NIFTI_TYPES),
    big=st.booleans(),
    suffix=st.sampled_from([".nii", ".nii.gz", ".hdr"]),
    two=st.booleans(),
)
def test_nifti_of_any_orientation_and_type(
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    turn: tuple[float, float, float],
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    dtype: str,
    big: bool,
    suffix: str,
    two: bool,
) -> None:
    data = values(seed, shape, dtype)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    affine[:3, 3] = np.random.default_rng(seed).uniform(-200, 200, 3)
    grid = np.stack(np.indices(shape), -1)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    # the same scan, stored in another way
    storing = np.eye(4)
    storing[:3, :3] = np.eye(3)[:, list(order)]
    stored, placed = data.transpose(order), affine @ storing
    for axis, flip in enumerate(flips):
        if flip:
            turned = np.eye(4)
            turned[axis, axis], turned[axis, 3] = -1, stored.shape[axis] - 1
            stored, placed = np.flip(stored, axis), placed @ turned
    pair = nib.Nifti2Pair if two else nib.Nifti1Pair
    single = nib.Nifti2Image if two else nib.Nifti1Image
    kind: Any = pair if suffix == ".hdr" else single
    header = kind.header_class(endianness=">" if big else "<")
    header.set_data_dtype(np.dtype(dtype).newbyteorder(">" if big else "<"))
    image = kind(np.ascontiguousarray(stored), placed, header)
    with folder() as place:
        path = place / f"scan{suffix}"
        image.to_filename(path if suffix != ".hdr" else place / "scan.img")
        volume = read_volume(path)
    assert volume.data.dtype == np.dtype(dtype)
    assert_values_at_their_places(volume, data, world)


def lps_world(
    shape: tuple[int, int, int],
    origin: np.ndarray,
    direction: np.ndarray,
    spacing: tuple[float, float, float],
) -> np.ndarray:
    """RAS+ mm [slices, rows, columns, 3]; spacing between columns, rows, slices."""
    k, r, c = np.indices(shape)[..., None]
    row, column, normal = direction[:3], direction[3:], np.cross(direction[:3], direction[3:])
    lps = origin + c * spacing[0] * row + r * spacing[1] * column + k * spacing[2] * normal
    return lps @ LPS_TO_RAS


def directions(turn: tuple[float, float, float]) -> np.ndarray:
    matrix = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    return np.round(np.concatenate([matrix[:, 0], matrix[:, 1]]), 9)


SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"]
dicom = given(
    seed=seeds,
    shape=st.tuples(st.integers(2, 7), st.integers(2, 9), st.integers(2, 9)),
    spacing=st.tuples(*[st.floats(0.3, 6).map(lambda v: round(v, 4))] * 3),
    turn=angles,
    signed=st.booleans(),
    syntax=st.sampled_from(SYNTAXES),
)


@properties
@dicom
def test_a_dicom_series_of_any_orientation(
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    turn: tuple[float, float, float],
    signed: bool,
    syntax: str,
) -> None:
    data = values(seed, shape, "i2" if signed else "u2")
    origin = np.round(np.random.default_rng(seed).uniform(-300, 300, 3), 4)
    direction = directions(turn)
    with folder() as place:
        for path in write_series(place, data, tuple(origin), tuple(direction), spacing):
            path.write_bytes(in_syntax(pydicom.dcmread(path), syntax))
        volume = read_volume(place)
    assert_values_at_their_places(volume, data, lps_world(shape, origin, direction, spacing))


@properties
@dicom
def test_enhanced_dicom_of_any_orientation(
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    turn: tuple[float, float, float],
    signed: bool,
    syntax: str,
) -> None:
    rng = np.random.default_rng(seed)
    data = values(seed, shape, "i2" if signed else "u2")
    origin, direction = np.round(rng.uniform(-300, 300, 3), 4), directions(turn)
    dataset = enhanced(
        data,
        origin=tuple(origin),
        direction=tuple(direction),
        spacing=spacing,
        order=[int(n) for n in rng.permutation(shape[0])],
        shared=bool(seed % 2),
    )
    with folder() as place:
        (place / "a.dcm").write_bytes(in_syntax(dataset, syntax))
        volume = read_volume(place / "a.dcm")
    assert_values_at_their_places(volume, data, lps_world(shape, origin, direction, spacing))


@settings(properties, max_examples=20)
@given(seed=seeds, turn=angles, slices=st.integers(4, 9))
def test_names_numbers_folders_and_containers_don_t_matter(
    seed: int, turn: tuple[float, float, float], slices: int
) -> None:
    rng = np.random.default_rng(seed)
    data = values(seed, (slices, 5, 6), "i2")
    numbers = rng.permutation(slices)
    with folder() as place:
        tags = {"StudyInstanceUID": "1.2.3", "SeriesNumber": 1}
        paths = write_series(place / "plain", data, direction=tuple(directions(turn)), **tags)
        first = read_volume(place / "plain")
        shuffled = place / "shuffled"
        for path, number in zip(paths, numbers, strict=True):
            dataset = pydicom.dcmread(path)
            dataset.InstanceNumber = int(number) if seed % 3 else 1
            deep = shuffled.joinpath(*"abc"[: int(rng.integers(0, 4))])
            deep.mkdir(parents=True, exist_ok=True)
            (deep / f"{rng.integers(10**9)}.dcm").write_bytes(to_bytes(dataset))
        with zipfile.ZipFile(place / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in rng.permutation([str(p) for p in paths]):
                archive.write(path, f"x/{Path(path).name}")
        listed = directory([paths[n] for n in numbers], place / "media")
        for other in (shuffled, place / "scan.zip", listed):
            volume = read_volume(other)
            np.testing.assert_array_equal(volume.data, first.data)
            np.testing.assert_array_equal(volume.affine, first.affine)
            assert volume.data.dtype == first.data.dtype


@properties
@given(
    seed=seeds,
    turn=angles,
    slices=st.integers(4, 40),
    gap=st.floats(0.5, 7).map(lambda v: round(v, 3)),
    lean=st.sampled_from([0.0, 0.3]),
    data=st.data(),
)
def test_a_slice_too_few_or_too_many_is_noticed(
    seed: int, turn: tuple[float, ...], slices: int, gap: float, lean: float, data: st.DataObject
) -> None:
    direction = directions(turn)  # type: ignore[arg-type]
    normal = np.cross(direction[:3], direction[3:])
    step = gap * (normal + lean * direction[3:])
    which = data.draw(st.integers(1, slices - 2), label="slice")
    with folder() as place:
        paths = write_series(
            place / "s", values(seed, (slices, 3, 4), "i2"), direction=tuple(direction), step=step
        )
        read_volume(place / "s")
        dataset = pydicom.dcmread(paths[which])
        dataset.InstanceNumber = 999
        dataset.save_as(place / "s" / "again")
        with pytest.raises(InconsistentSeriesError, match="same position"):
            read_volume(place / "s")
        (place / "s" / "again").unlink()
        paths[which].unlink()
        with pytest.raises(InconsistentSeriesError, match="missing"):
            read_volume(place / "s")


OTHERS: dict[str, dict[str, Any]] = {
    "another orientation": {"direction": (0, 1, 0, 0, 0, -1)},
    "slightly another orientation": {"direction": (0.998629535, 0.052335956, 0, 0, 0, 1)},
    "another pixel spacing": {"spacing": (0.7, 0.8, 2.5)},
    "another place in the plane": {"origin": (3.0, 20.0, 5.0)},
    "the same place": {},
    "interleaved": {"origin": (-10.0, 20.0, 5.8), "ConvolutionKernel": "B70f"},
    "half-way between": {"origin": (-10.0, 20.0, 6.25), "ConvolutionKernel": "B70f"},
    "another modality": {"Modality": "PT", "origin": (-10.0, 20.0, 20.0)},
    "another frame of reference": {"FrameOfReferenceUID": "1.9", "origin": (-10.0, 20.0, 17.5)},
}


@pytest.mark.parametrize("uid", ["", "1.2.3.4"], ids=["no UID", "one UID"])
@pytest.mark.parametrize("name", OTHERS)
def test_two_series_never_make_one_volume(tmp_path: Path, name: str, uid: str) -> None:
    data = values(0, (5, 6, 7), "i2")
    common = {"SeriesInstanceUID": uid, "ConvolutionKernel": "B30f"}
    write_series(tmp_path / "a", data, **common)
    write_series(tmp_path / "b", data, **{**common, **OTHERS[name]})
    with pytest.raises(InconsistentSeriesError):
        read_volume(tmp_path)
    shutil.rmtree(tmp_path / "b")
    assert read_volume(tmp_path).shape == (7, 6, 5)
