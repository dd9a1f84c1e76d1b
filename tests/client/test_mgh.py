"""FreeSurfer's files, written and read by nibabel."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.freesurfer.mghformat import MGHHeader
from scipy.spatial.transform import Rotation

from vcam_client import read_volume
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError

AFFINE = np.array([[-1, 0, 0.1, 30], [0.05, 0, 2, -20], [0, -1.5, 0.2, 7], [0, 0, 0, 1.0]])
VOXELS = np.random.default_rng(0).integers(0, 250, (4, 5, 6)).astype(np.uint8)
FOOTER = b"\0\0\0\x14" + b"mri_convert of someone" * 9
DATA = 284


def write(path: Path, voxels: np.ndarray = VOXELS) -> bytes:
    nib.save(nib.MGHImage(voxels, AFFINE.astype(np.float32)), path)
    return gzip.decompress(path.read_bytes()) if path.suffix == ".mgz" else path.read_bytes()


# nibabel writes uint16 from 5.3.2 on
DTYPES = [
    dtype
    for dtype in ("u1", "i2", "u2", "i4", "f4")
    if np.dtype(dtype)
    in {d.newbyteorder("=") for d in MGHHeader._data_type_codes.value_set("numpy_dtype")}
]


@given(
    suffix=st.sampled_from([".mgh", ".mgz", ".mgh.gz", ".MGH.GZ"]),
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    flip=st.sampled_from([(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)]),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_any_volume_is_read_as_nibabel_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    dtype: str,
    shape: tuple[int, ...],
    angles: tuple[float, ...],
    flip: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    seed: int,
) -> None:
    kind = np.dtype(dtype)
    data = np.random.default_rng(seed).integers(0, 120, shape).astype(kind)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3], affine[:3, 3] = turn * flip * spacing, origin
    image = nib.MGHImage(data, affine.astype(np.float32))
    plain = tmp_path_factory.mktemp("mgh") / "plain.mgh"
    nib.save(image, plain)
    path = plain.with_name(f"T1{suffix}")
    content = plain.read_bytes() + FOOTER
    path.write_bytes(content if suffix == ".mgh" else gzip.compress(content))
    volume, expected = read_volume(path), nib.MGHImage.from_bytes(plain.read_bytes())
    np.testing.assert_array_equal(volume.data, np.asarray(expected.dataobj))
    assert volume.data.dtype == kind
    np.testing.assert_array_equal(volume.affine, expected.affine)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-3)
    assert volume.name == "T1"


def test_frames_are_volumes(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).random((4, 5, 6, 3)).astype(np.float32)
    write(tmp_path / "f.mgz", voxels)
    for n in range(3):
        volume = read_volume(tmp_path / "f.mgz", volume_index=n)
        np.testing.assert_array_equal(volume.data, voxels[..., n])
    with pytest.raises(InputError, match="received 3 volumes of 4×5×6 voxels"):
        read_volume(tmp_path / "f.mgz")


def test_without_a_valid_place_there_is_no_spacing(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.mgh"))
    content[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(content)
    with pytest.raises(InputError, match=r"marked as not valid\. State it with --spacing"):
        read_volume(tmp_path / "a.mgh")
    volume = read_volume(tmp_path / "a.mgh", spacing=(1, 2, 3))
    np.testing.assert_array_equal(volume.data, VOXELS)
    np.testing.assert_array_equal(volume.affine, np.diag([-1, -2, 3, 1]))
    assert not volume.anatomical
    assert len(volume.warnings) == 1
    assert "states no directions in a patient" in volume.warnings[0]
    with pytest.raises(InputError, match="With --strict"):
        read_volume(tmp_path / "a.mgh", spacing=(1, 2, 3), strict=True)


def changed(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + value.to_bytes(4, "big", signed=True) + content[at + 4 :]


def test_damaged_files_and_other_data_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mgh"
    content = write(path)
    packed = gzip.compress(content)
    for bad, error, said in (
        (content[: DATA + 10], CorruptFileError, "breaks off"),
        (content[:50], UnsupportedFormatError, "not an MGH file"),
        (changed(content, 0, 7), UnsupportedFormatError, "not an MGH file"),
        (changed(content, 4, -1), CorruptFileError, "impossible dimensions"),
        (changed(content, 4, 2**31 - 1), InputError, "more than the limit"),
        (changed(content, 20, 9), UnsupportedFormatError, "type 9"),
        (changed(content, 30, 0), InputError, "span space"),
        (packed[:-4], CorruptFileError, "damaged"),
        (packed[:-8] + b"1234" + packed[-4:], CorruptFileError, "damaged"),
        (content + bytes(2**20 + 100), CorruptFileError, "holds more"),
    ):
        path.write_bytes(bad)
        with pytest.raises(error, match=said):
            read_volume(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="Leave out --spacing"):
        read_volume(path, spacing=1)
    write(path, np.zeros((5000, 1, 1), np.float32))
    with pytest.raises(UnsupportedFormatError, match="vertices of a surface"):
        read_volume(path)
