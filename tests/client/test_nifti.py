"""NIfTI files written by nibabel, read back; heatmaps written, read by nibabel."""

import gzip
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from real_scans import ROOT, needs_data

from vcam_client import Volume, read_volume
from vcam_client._nifti import nifti_bytes
from vcam_client.errors import CorruptFileError, InputError, UnsupportedFormatError

AFFINE = np.array([[-1.5, 0.1, 0, 30], [0.05, 1.4, 0, -20], [0, 0.2, 2.5, 7], [0, 0, 0, 1]])
RGB = [("R", "u1"), ("G", "u1"), ("B", "u1")]
VOXELS = np.random.default_rng(0).integers(-1000, 3000, (6, 7, 8)).astype(np.int16)


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "<i2", "u2", "i4", ">f4", "f8", "u8"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_voxels_equal_nibabel(tmp_path: Path, dtype: str, kind: type, suffix: str) -> None:
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    data = (np.abs(VOXELS) % 120).astype(dtype)
    path = tmp_path / f"scan{suffix}"
    nib.save(kind(data, AFFINE, header, dtype=dtype), path)
    volume = read_volume(path)
    expected = nib.load(path)
    np.testing.assert_array_equal(volume.data, np.asanyarray(expected.dataobj))
    np.testing.assert_array_equal(volume.affine, expected.affine)
    assert volume.name == "scan"


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, tmp_path / "scan.nii")
    expected = nib.load(tmp_path / "scan.nii").get_fdata()
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").data, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("slope", [1.0, 0.5, -2.0])
@pytest.mark.parametrize("inter", [np.nan, np.inf, -np.inf])
def test_a_slope_whose_intercept_is_no_number_is_refused(
    tmp_path: Path, kind: type, slope: float, inter: float
) -> None:
    path = scaled(tmp_path / "a.nii", kind, slope, inter)
    with pytest.raises(nib.spatialimages.HeaderDataError, match="invalid intercept"):
        np.asarray(nib.load(path).dataobj)
    with pytest.raises(CorruptFileError, match=r"its intercept \(scl_inter\) is -?(nan|inf)\."):
        read_volume(path)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("inter", [0.0, np.nan, np.inf])
def test_without_a_slope_the_intercept_means_nothing(
    tmp_path: Path, slope: float, inter: float
) -> None:
    path = scaled(tmp_path / "a.nii", nib.Nifti1Image, slope, inter)
    np.testing.assert_array_equal(read_volume(path).data, np.asarray(nib.load(path).dataobj))


def scaled(path: Path, kind: type, slope: float, inter: float) -> Path:
    """A file with any slope and intercept, which nibabel itself would not write."""
    nib.save(kind(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)), path)
    raw = path.read_bytes()
    header = kind.header_class.from_fileobj(io.BytesIO(raw), check=False)
    header["scl_slope"], header["scl_inter"] = slope, inter
    path.write_bytes(header.binaryblock + raw[len(header.binaryblock) :])
    return path


def test_sform_wins_over_qform_and_qform_over_nothing(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, None)
    qform = np.diag([2, 2, 2, 1.0])
    image.header.set_qform(qform, code=1)
    nib.save(image, tmp_path / "q.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "q.nii").affine, qform)
    image.header.set_sform(AFFINE, code=2)
    nib.save(image, tmp_path / "s.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "s.nii").affine, AFFINE, rtol=1e-6)


def test_microns_become_millimetres_and_the_heatmap_stays_in_microns(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, np.diag([-20.0, 20.0, 20.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "soil.nii")
    volume = read_volume(tmp_path / "soil.nii")
    np.testing.assert_allclose(volume.spacing, 0.02)
    (tmp_path / "h.nii.gz").write_bytes(nifti_bytes(np.zeros(volume.shape, "u1"), volume, 1 / 255))
    written = nib.load(tmp_path / "h.nii.gz")
    np.testing.assert_array_equal(written.affine, image.affine)
    assert written.header.get_xyzt_units()[0] == "micron"


def test_header_and_image_in_two_files(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(VOXELS, AFFINE), tmp_path / "scan.hdr")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.hdr").data, VOXELS)
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.img").data, VOXELS)
    (tmp_path / "scan.img").unlink()
    with pytest.raises(CorruptFileError, match=r"scan\.img is missing beside it"):
        read_volume(tmp_path / "scan.hdr")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_heatmap_has_exactly_the_scan_s_geometry(tmp_path: Path, kind: type) -> None:
    image = kind(VOXELS, AFFINE)
    image.header.set_qform(np.diag([1.5, 1.4, 2.5, 1]), code=1)
    image.header.set_sform(AFFINE, code=4)
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    heat = np.arange(VOXELS.size, dtype=np.uint32).astype(np.uint8).reshape(VOXELS.shape)
    (tmp_path / "heat.nii.gz").write_bytes(nifti_bytes(heat, volume, 1 / 255))
    written = nib.load(tmp_path / "heat.nii.gz")
    assert type(written) is kind
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii.gz").affine)
    assert written.get_sform(coded=True)[1] == 4
    assert written.get_qform(coded=True)[1] == 1
    np.testing.assert_array_equal(np.asanyarray(written.dataobj.get_unscaled()), heat)
    np.testing.assert_allclose(written.get_fdata(), heat / 255, atol=1e-6)


def test_a_heatmap_of_another_source_carries_the_affine(tmp_path: Path) -> None:
    volume = Volume(data=VOXELS, affine=AFFINE)
    (tmp_path / "h.nii.gz").write_bytes(nifti_bytes(np.zeros(VOXELS.shape, "u1"), volume, 1 / 255))
    np.testing.assert_allclose(nib.load(tmp_path / "h.nii.gz").affine, AFFINE, rtol=1e-6)


def test_damage_inside_a_gzip_stream_is_found(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "scan.nii")
    plain = (tmp_path / "scan.nii").read_bytes()
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    stored[len(stored) // 2] ^= 4  # stored blocks: only the checksum can tell
    (tmp_path / "flipped.nii.gz").write_bytes(stored)
    with pytest.raises(CorruptFileError, match="checksum is wrong"):
        read_volume(tmp_path / "flipped.nii.gz")


@pytest.mark.parametrize("cut", [8, 5, 200])
def test_a_truncated_gzip_stream_is_found(tmp_path: Path, cut: int) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "scan.nii.gz")
    whole = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[:-cut])
    with pytest.raises(CorruptFileError, match="damaged"):
        read_volume(tmp_path / "cut.nii.gz")


def test_a_truncated_plain_file_is_found(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "scan.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "scan.nii").read_bytes()[:-10])
    with pytest.raises(CorruptFileError, match="states 672 bytes of voxels, the file holds 662"):
        read_volume(tmp_path / "cut.nii")


def test_impossible_sizes_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header["dim"][1:4] = 32767
    with (tmp_path / "huge.nii").open("wb") as stream:
        image.header.write_to(stream)
    with pytest.raises(InputError, match=r"more than the limit"):
        read_volume(tmp_path / "huge.nii")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((4, 4, 4), np.complex64), UnsupportedFormatError, "complex numbers"),
        (
            np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]),
            UnsupportedFormatError,
            "RGB",
        ),
    ],
)
def test_what_is_no_scalar_volume_is_refused(
    tmp_path: Path, data: np.ndarray, error: type[InputError], message: str
) -> None:
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "scan.nii")
    with pytest.raises(error, match=message):
        read_volume(tmp_path / "scan.nii")


def test_singleton_dimensions_are_dropped_and_missing_ones_added(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS[..., None], AFFINE), tmp_path / "four.nii")
    assert read_volume(tmp_path / "four.nii").shape == (6, 7, 8)
    nib.save(nib.Nifti1Image(VOXELS[:, :, 0], AFFINE), tmp_path / "two.nii")
    assert read_volume(tmp_path / "two.nii").shape == (6, 7, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not a NIfTI file"),
        (b"<html>" * 100, "not a NIfTI file"),
        (b"\x1f\x8b" + b"\x00" * 50, "gzip stream"),
    ],
)
def test_other_files_under_its_name_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_volume(tmp_path / "scan.nii.gz")


def test_an_analyze_file_is_refused_because_its_sides_are_unknown(tmp_path: Path) -> None:
    nib.save(nib.Spm2AnalyzeImage(VOXELS, np.eye(4)), tmp_path / "scan.img")
    with pytest.raises(UnsupportedFormatError, match="left from right"):
        read_volume(tmp_path / "scan.img")


def save_series(folder: Path, name: str = "series.nii.gz") -> tuple[Path, np.ndarray]:
    """Six volumes along two more dimensions, each of its own values."""
    series = VOXELS[..., None, None] + np.arange(6, dtype=np.int16).reshape(2, 3)
    nib.save(nib.Nifti1Image(series, AFFINE), folder / name)
    return folder / name, series


@pytest.mark.parametrize("name", ["series.nii", "series.nii.gz", "series.hdr"])
def test_one_of_several_volumes_is_read_when_it_is_named(tmp_path: Path, name: str) -> None:
    if name.endswith(".hdr"):
        series = VOXELS[..., None, None] + np.arange(6, dtype=np.int16).reshape(2, 3)
        nib.save(nib.Nifti1Pair(series, AFFINE), tmp_path / name)
        path = tmp_path / name
    else:
        path, series = save_series(tmp_path, name)
    for index in range(6):
        expected = series.reshape(*VOXELS.shape, 6, order="F")[..., index]
        np.testing.assert_array_equal(read_volume(path, volume_index=index).data, expected)


def test_several_volumes_are_refused_without_a_choice(tmp_path: Path) -> None:
    path, _ = save_series(tmp_path)
    with pytest.raises(InputError, match=r"6 volumes of 6×7×8 voxels .* --volume-index, 0 to 5"):
        read_volume(path)
    for index in (6, -1):
        with pytest.raises(InputError, match=rf"none with index {index}\. Choose 0 to 5"):
            read_volume(path, volume_index=index)


def test_one_volume_has_the_index_0_and_no_other(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "scan.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii", volume_index=0).data, VOXELS)
    with pytest.raises(InputError, match=r"one volume .* Leave out --volume-index"):
        read_volume(tmp_path / "scan.nii", volume_index=1)


def test_damage_after_the_chosen_volume_is_found(tmp_path: Path) -> None:
    path, _ = save_series(tmp_path)
    (tmp_path / "cut.nii.gz").write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CorruptFileError, match="damaged"):
        read_volume(tmp_path / "cut.nii.gz", volume_index=0)


def test_a_spacing_beside_the_file_s_own_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "scan.nii")
    with pytest.raises(InputError, match=r"states its own spacing\. Leave out --spacing"):
        read_volume(tmp_path / "scan.nii", spacing=2)


def test_a_cifti_file_is_refused_by_name(tmp_path: Path) -> None:
    by_intent = nib.Nifti2Image(np.zeros((1, 1, 1, 1, 5, 40), np.float32), np.eye(4))
    by_intent.header["intent_code"] = 3006
    by_extension = nib.Nifti2Image(np.zeros((1, 1, 1, 1, 5, 40), np.float32), np.eye(4))
    by_extension.header.extensions.append(nib.nifti1.Nifti1Extension(32, b"<CIFTI/>"))
    for name, image in (("a.nii", by_intent), ("b.nii", by_extension)):
        nib.save(image, tmp_path / name)
        with pytest.raises(UnsupportedFormatError, match="CIFTI-2 file: a table"):
            read_volume(tmp_path / name, volume_index=0)


@pytest.mark.parametrize(("flipped", "cut"), [(True, 0), (False, 8)])
def test_what_nibabel_takes_silently_is_found(tmp_path: Path, flipped: bool, cut: int) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 3000, (40, 40, 40)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "plain.nii")
    packed = bytearray(gzip.compress((tmp_path / "plain.nii").read_bytes(), compresslevel=0))
    packed[len(packed) // 2] ^= 4 * flipped
    (tmp_path / "scan.nii.gz").write_bytes(packed[: len(packed) - cut])
    held = np.asanyarray(nib.load(tmp_path / "scan.nii.gz").dataobj)
    assert int((held != voxels).sum()) == int(flipped)
    with pytest.raises(CorruptFileError, match="damaged"):
        read_volume(tmp_path / "scan.nii.gz")


def test_a_file_of_several_gzip_members_is_read_whole(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "plain.nii")
    plain = (tmp_path / "plain.nii").read_bytes()
    members = b"".join(gzip.compress(plain[n : n + 300]) for n in range(0, len(plain), 300))
    (tmp_path / "scan.nii.gz").write_bytes(members)
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").data, VOXELS)


def test_a_header_that_states_more_than_gzip_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header["dim"][1:4] = 1200
    with gzip.open(tmp_path / "scan.nii.gz", "wb") as stream:
        stream.write(image.header.binaryblock.ljust(2000, b"\0"))
    with pytest.raises(CorruptFileError, match=r"more than the .* bytes of a gzip file can hold"):
        read_volume(tmp_path / "scan.nii.gz")


def test_free_texts_of_a_header_are_not_kept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    for field, text in (("descrip", b"DOE^JANE"), ("aux_file", b"JANE"), ("db_name", b"DOE")):
        image.header[field] = text
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    nib.save(image, tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    assert b"JANE" not in volume.nifti_header.binaryblock
    written = gzip.decompress(nifti_bytes(np.zeros(volume.shape, "u1"), volume, 1 / 255))
    assert b"JANE" not in written
    assert b"DOE" not in written


def test_nan_is_kept_for_the_model_to_refuse(tmp_path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "scan.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").data, voxels)


@needs_data
@pytest.mark.parametrize("path", sorted((ROOT / "nifti").glob("*.*")), ids=lambda path: path.name)
def test_real_files_equal_nibabel(path: Path) -> None:
    expected = nib.load(path)
    if expected.get_data_dtype().kind not in "iuf":
        with pytest.raises(UnsupportedFormatError, match="Expected scalar voxels"):
            read_volume(path)
        return
    values = np.asanyarray(expected.dataobj)
    values = values.reshape(*(*values.shape, 1)[:3], -1, order="F")
    if values.shape[3] > 1:
        with pytest.raises(InputError, match="--volume-index"):
            read_volume(path)
    for index in range(values.shape[3]):
        volume = read_volume(path, volume_index=index)
        np.testing.assert_allclose(volume.data, values[..., index], rtol=1e-6, atol=1e-4)
        np.testing.assert_array_equal(volume.affine, expected.affine)


@needs_data
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("derived/truncated.nii.gz", "gzip stream breaks off"),
        ("derived/lfs_pointer.nii.gz", "a Git LFS pointer"),
        ("derived/text_renamed.nii", "not a NIfTI file"),
        ("crash-1.nii", "not a NIfTI file"),
    ],
)
def test_real_accidents_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_volume(ROOT / "invalid" / name)
