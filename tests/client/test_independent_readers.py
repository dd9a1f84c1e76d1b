"""Every real scan, compared with what SimpleITK, pydicom and nibabel make of it.

Files are found by walking the data folder: whatever else is put there is compared, too.
"""

from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from client.peers import (
    Peer,
    by_position,
    corners,
    header,
    simple_itk,
    stored_times_rescale,
    turned_to,
)
from real_scans import ROOT, needs_data

from vcam_client import Volume, read_volume
from vcam_client.errors import InconsistentSeriesError, InputError

pytestmark = needs_data

CORNER_MM = 1e-3
UNPLACED = (1.0, 1.0, 1.0)
"""Spacing for images that state no place: only their voxels are compared."""

_NO_IMAGE = ("LOCALIZER", "SCOUT", "DOSE")
_IMAGE_CLASSES = "1.2.840.10008.5.1.4.1.1."
_CROSS_SECTIONS = ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "130", "128.1")
_RADIOGRAPHS = ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "12.1", "12.2")
_THREE_D = ("13.1.1", "13.1.2", "13.1.3")
_VOLUME_CLASSES = [_IMAGE_CLASSES + c for c in (*_CROSS_SECTIONS, *_RADIOGRAPHS, *_THREE_D)]


def dicom_files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and header(p) is not None]


def is_wanted(path: Path) -> bool:
    """Whether a file is an image that vcam says to read; decided with pydicom alone."""
    dataset = header(path)
    if dataset is None or "Rows" not in dataset or dataset.get("SamplesPerPixel", 1) != 1:
        return False
    kind = "\\".join(dataset.get("ImageType") or [])
    if any(word in kind for word in _NO_IMAGE) or "PALETTE" in dataset.PhotometricInterpretation:
        return False
    if not dataset.get("SOPClassUID"):  # anonymised away
        return dataset.get("Modality") in ("CT", "MR", "PT")
    return dataset.SOPClassUID in _VOLUME_CLASSES


def scans() -> list[tuple[Path, tuple[Path, ...]]]:
    """What is given to the reader, and the files that it should be made of."""
    found: list[tuple[Path, tuple[Path, ...]]] = []
    if not (ROOT / "dicom").is_dir():
        return found
    folders = sorted({p.parent for p in dicom_files(ROOT / "dicom")})
    for folder in folders:
        files = [p for p in dicom_files(folder) if p.parent == folder and is_wanted(p)]
        headers = [header(p) for p in files]
        one = len({(h.get("SeriesInstanceUID"), h.get("SOPClassUID"), h.Rows) for h in headers})
        places = Counter(str(h.get("ImagePositionPatient")) for h in headers)
        if one == 1 and len(files) > 1 and max(places.values()) == 1:
            found.append((folder, tuple(by_position(files))))
        else:
            found += [(p, (p,)) for p in files]
    return found


def ids(scan: tuple[Path, tuple[Path, ...]]) -> str:
    return str(scan[0].relative_to(ROOT / "dicom"))


SCANS = scans()
each_scan = pytest.mark.parametrize("scan", SCANS, ids=ids)


def read(path: Path) -> Volume:
    try:
        return read_volume(path)
    except InputError as error:
        if "--spacing" not in str(error):
            raise
        return read_volume(path, spacing=UNPLACED)


def resampled(volume: Volume) -> bool:
    return any("resampled" in warning for warning in volume.warnings)


def is_placed(path: Path) -> bool:
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    groups = [*dataset.get("PerFrameFunctionalGroupsSequence", [])[:1]]
    return "ImagePositionPatient" in dataset or any("PlanePositionSequence" in g for g in groups)


def test_there_is_something_to_compare() -> None:
    assert any(len(files) > 1 for _, files in SCANS)
    assert len(SCANS) >= 10


@each_scan
def test_voxels_equal_simple_itk_s(scan: tuple[Path, tuple[Path, ...]]) -> None:
    path, files = scan
    volume = read(path)
    if resampled(volume):
        pytest.skip("resampled: test_resampled_series.py")
    peer = simple_itk(files)
    if is_placed(files[0]):
        peer = turned_to(peer, volume.affine) if len(peer.data.shape) == 3 else peer
    assert volume.shape == peer.data.shape
    if volume.data.dtype.kind in "iu":
        np.testing.assert_array_equal(volume.data, peer.data)
    else:
        # slope and intercept in float64, the result rounded to float32
        np.testing.assert_array_equal(volume.data, peer.data.astype(np.float32))


@each_scan
def test_voxels_equal_pydicom_s_pixels_times_its_rescale(
    scan: tuple[Path, tuple[Path, ...]],
) -> None:
    path, files = scan
    volume = read(path)
    dataset = pydicom.dcmread(files[0])
    if resampled(volume):
        pytest.skip("resampled: test_resampled_series.py")
    if "PerFrameFunctionalGroupsSequence" in dataset:
        pytest.skip("rescale and order of frames are in functional groups: SimpleITK's test")
    try:
        planes = [stored_times_rescale(file) for file in files]
    except NotImplementedError:
        pytest.skip("pydicom knows no decoder for this transfer syntax")
    except RuntimeError as error:
        pytest.skip(f"pydicom finds no decoder for this transfer syntax: {str(error)[:60]}")
    expected = np.concatenate(planes)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        expected = 2**dataset.BitsStored - 1 - expected
    if volume.data.dtype.kind == "f":
        expected = expected.astype(np.float32)
    np.testing.assert_array_equal(volume.data.transpose(2, 1, 0), expected)


@each_scan
def test_the_affine_equals_simple_itk_s(scan: tuple[Path, tuple[Path, ...]]) -> None:
    path, files = scan
    volume = read(path)
    if resampled(volume):
        pytest.skip("resampled: test_resampled_series.py")
    if not is_placed(files[0]):
        pytest.skip("a projection, or frames without a place: there is none to compare")
    peer = turned_to(simple_itk(files), volume.affine)
    # of a single slice only the plane: readers differ in what they take for its thickness
    difference = corners(volume.affine, volume.shape) - corners(peer.affine, volume.shape)
    assert np.abs(difference).max() < CORNER_MM


@each_scan
def test_a_radiograph_s_spacing_is_the_stated_one(scan: tuple[Path, tuple[Path, ...]]) -> None:
    path, files = scan
    dataset = pydicom.dcmread(files[0], stop_before_pixels=True)
    stated = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if is_placed(files[0]) or stated is None:
        pytest.skip("not a radiograph that states its spacing")
    assert read(path).spacing[:2] == pytest.approx((stated[1], stated[0]))


def test_only_what_is_no_volume_is_refused() -> None:
    """Every file that pydicom takes for a CT, MR, PET or radiograph is read, and no other."""
    for path in dicom_files(ROOT / "dicom"):
        try:
            read(path)
            taken = True
        except InconsistentSeriesError:
            raise
        except InputError:
            taken = False
        assert taken == is_wanted(path), path.name


def nifti_files() -> list[Path]:
    folder = ROOT / "nifti"
    names = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
    return [p for p in sorted(folder.rglob("*")) if p.name.lower().endswith(names)]


@pytest.mark.parametrize("path", nifti_files(), ids=lambda p: p.name)
def test_nifti_voxels_and_affine_equal_nibabel_s(path: Path) -> None:
    image = nib.load(path)
    if image.get_data_dtype().kind not in "iuf":
        with pytest.raises(InputError, match="scalar"):
            read_volume(path, volume_index=0)
        return
    volumes = int(np.prod(image.shape[3:]))
    scaled = np.asanyarray(image.dataobj)
    scaled = scaled.reshape(*(*image.shape, 1, 1)[:3], volumes, order="F")
    for index in range(volumes):
        volume = read_volume(path, volume_index=index)
        np.testing.assert_array_equal(volume.affine, image.affine)
        expected = scaled[..., index]
        if volume.data.dtype == np.float32:
            # slope and intercept in float32 here: each step rounds, and both may cancel out
            largest = np.abs(expected).max() + 2 * abs(image.dataobj.inter)
            assert np.abs(volume.data - expected).max() <= np.finfo(np.float32).eps * largest
        else:
            np.testing.assert_array_equal(volume.data, expected)


def test_nifti_and_peer_agree_on_where_a_corner_is() -> None:
    peer = Peer(np.zeros((2, 3, 4)), np.diag([-1.0, 2, 3, 1]))
    flipped = turned_to(peer, np.diag([1.0, 2, 3, 1]))
    assert flipped.affine[0, 0] == 1
    assert flipped.affine[0, 3] == -1
