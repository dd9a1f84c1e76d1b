"""Where NIfTI voxels are: as nibabel takes it, for headers as programs really leave them."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given, settings

from vcam_client import read_volume
from vcam_client._nifti import nifti_bytes
from vcam_client.errors import InputError

SHAPE = (3, 4, 5)
SFORM = ((-2.0, 0.1, 0, 9), (0, 2, 0.2, 8), (0.3, 0, 3, 7))
QUATERN, OFFSET = (0.1, -0.2, 0.3), (-10, 20, 30)


def header_with(
    shape: Sequence[int] = SHAPE,
    pixdim: Sequence[float] = (1, 1, 2, 3),
    codes: tuple[int, int] = (1, 0),
    sform: Sequence[Sequence[float]] = SFORM,
    quatern: Sequence[float] = QUATERN,
    *,
    two: bool = False,
) -> bytes:
    """A file of the stated header, written field by field; codes are the qform's and sform's."""
    dims = [len(shape), *shape, *[1] * (7 - len(shape))]
    sizes = [*pixdim, *[1] * (8 - len(pixdim))]
    rows = [v for row in sform for v in row]
    places = [*quatern, *OFFSET, *rows]
    voxels = np.arange(np.prod(shape), dtype="<i2").tobytes()
    if two:
        head = bytearray(544)
        struct.pack_into("<i8s", head, 0, 540, b"n+2\0\r\n\x1a\n")
        struct.pack_into("<hh8q", head, 12, 4, 16, *dims)
        struct.pack_into("<8dq", head, 104, *sizes, 544)
        struct.pack_into("<2i18d", head, 344, *codes, *places)
        struct.pack_into("<i", head, 500, 2)
    else:
        head = bytearray(352)
        struct.pack_into("<i", head, 0, 348)
        struct.pack_into("<8h", head, 40, *dims)
        struct.pack_into("<hhh8ff", head, 70, 4, 16, 0, *sizes, 352)
        head[123] = 2
        struct.pack_into("<2h18f", head, 252, *codes, *places)
        head[344:348] = b"n+1\0"
    return bytes(head) + voxels


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "scan.nii"
    path.write_bytes(header_with(**fields))
    return path


def check(path: Path) -> tuple[str, ...]:
    """Equal to nibabel, the heatmap too; returns the warnings."""
    expected = nib.load(path)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, expected.affine, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(volume.data.ravel(), np.asarray(expected.dataobj).ravel())
    result = path.with_name("heatmap.nii.gz")
    result.write_bytes(nifti_bytes(np.zeros(volume.shape, "u1"), volume, 1 / 255))
    np.testing.assert_allclose(nib.load(result).affine, expected.affine, rtol=1e-6, atol=1e-6)
    return volume.warnings


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pixdim": (0, 1, 2, 3)}, ""),
        ({"pixdim": (5, 1, 2, 3)}, ""),
        ({"pixdim": (-1, 1, 2, 3)}, ""),
        ({"pixdim": (-2, 1, 2, 3)}, "handedness"),
        ({"pixdim": (1, -1, 2, 3)}, "voxel size"),
        ({"pixdim": (-1, -1, -2, -3)}, "voxel size"),
        ({"shape": (6, 7), "pixdim": (1, 1, 2, 0)}, ""),
        ({"shape": (6, 7, 1), "pixdim": (1, 1, 2, 0)}, ""),
        ({"codes": (0, 0)}, "left from right"),
        ({"codes": (0, 0), "pixdim": (1, -1, 2, 3)}, "left from right"),
        ({"codes": (0, 0), "pixdim": (0, -1, -2, 3)}, "left from right"),
        ({"codes": (1, 1), "pixdim": (0, -1, 0, 3)}, ""),
        ({"codes": (9, 0)}, "qform_code is 9"),
        ({"codes": (-1, -3)}, "left from right"),
        ({"codes": (1, 7)}, "sform_code is 7"),
        ({"codes": (2, 5)}, ""),
    ],
)
def test_repairs_are_those_of_nibabel(
    tmp_path: Path, fields: dict[str, Any], said: str, two: bool
) -> None:
    warnings = check(written(tmp_path, **fields, two=two))
    assert said in " ".join(warnings)
    assert bool(warnings) == bool(said)


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    qfac=st.sampled_from([0.0, 1.0, -1.0, 2.0, -3.0, 0.5]),
    sizes=st.tuples(*[st.sampled_from([-2.5, -1.0, 0.3, 1.0, 4.0])] * 3),
    codes=st.tuples(*[st.integers(-1, 7)] * 2),
    quatern=st.tuples(*[st.floats(-0.5625, 0.5625, width=32)] * 3),
    sform=st.lists(st.floats(-50, 50, width=32), min_size=12, max_size=12),
    two=st.booleans(),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_any_header_is_where_nibabel_puts_it(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    qfac: float,
    sizes: tuple[float, ...],
    codes: tuple[int, int],
    quatern: tuple[float, ...],
    sform: list[float],
    two: bool,
) -> None:
    matrix = np.array(sform).reshape(3, 4)
    lengths = np.linalg.norm(matrix[:, :3], axis=0)
    assume(lengths.all() and abs(np.linalg.det(matrix[:, :3] / lengths)) > 1e-6)
    check(
        written(
            tmp_path_factory.mktemp("header"),
            shape=shape,
            pixdim=(qfac, *sizes),
            codes=codes,
            quatern=quatern,
            sform=matrix.tolist(),
            two=two,
        )
    )


@pytest.mark.parametrize("sform", [np.zeros((3, 4)), [[1, 1, 0, 5], [1, 1, 0, 6], [0, 0, 2, 7]]])
def test_a_singular_sform_falls_back_to_the_qform(tmp_path: Path, sform: Any) -> None:
    volume = read_volume(written(tmp_path, codes=(1, 1), sform=sform, pixdim=(-1, 1, 2, 3)))
    (tmp_path / "plain.nii").write_bytes(header_with(codes=(1, 0), pixdim=(-1, 1, 2, 3)))
    np.testing.assert_allclose(volume.affine, nib.load(tmp_path / "plain.nii").affine, rtol=1e-6)
    assert "sform is singular: the qform is" in volume.warnings[0]
    result = tmp_path / "heatmap.nii.gz"
    result.write_bytes(nifti_bytes(np.zeros(SHAPE, "u1"), volume, 1 / 255))
    np.testing.assert_allclose(nib.load(result).affine, volume.affine, rtol=1e-6)


def test_without_a_qform_a_singular_sform_leaves_the_sizes(tmp_path: Path) -> None:
    volume = read_volume(written(tmp_path, codes=(0, 2), sform=np.zeros((3, 4))))
    np.testing.assert_allclose(np.diag(volume.affine), [-1, 2, 3, 1])
    assert "sizes alone" in volume.warnings[0]
    assert "left from right" in volume.warnings[1]


def test_the_sform_of_a_slice_is_completed(tmp_path: Path) -> None:
    sform = [[0, 0, 0, 5], [2, 0, 0, 6], [0, 3, 0, 7]]
    volume = read_volume(
        written(tmp_path, shape=(6, 7), codes=(0, 2), sform=sform, pixdim=(1, 2, 3, 4))
    )
    np.testing.assert_allclose(
        volume.affine, [[0, 0, 4, 5], [2, 0, 0, 6], [0, 3, 0, 7], [0, 0, 0, 1]]
    )
    assert "right angles" in volume.warnings[0]


def test_sizes_of_0_along_several_voxels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pixdim\[3\] = 0 along 5 voxels"):
        read_volume(written(tmp_path, pixdim=(1, 1, 2, 0)))


@pytest.mark.parametrize(
    "fields", [{"codes": (0, 0)}, {"codes": (1, 7)}, {"pixdim": (1, -1, 2, 3)}]
)
def test_strict_assumes_no_place(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"With --strict, the place of scan\.nii is not assumed"):
        read_volume(written(tmp_path, **fields), strict=True)
    read_volume(written(tmp_path, pixdim=(0, 1, 2, 3)), strict=True)


def test_unused_sizes_are_repaired_before_nibabel_complains(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = read_volume(written(tmp_path, codes=(0, 2), pixdim=(0, -1, 0, 3)))
    assert not volume.warnings
    result = tmp_path / "heatmap.nii.gz"
    result.write_bytes(nifti_bytes(np.zeros(SHAPE, "u1"), volume, 1 / 255))
    assert caplog.messages == []
    image = nib.load(result)
    np.testing.assert_array_equal(image.header["pixdim"][:4], [1, 1, 1, 3])
    np.testing.assert_allclose(image.affine, volume.affine, rtol=1e-6)
