"""Real DICOM series, compared with what dcm2niix makes of them: `make test-system`."""

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from client.peers import Peer, corners, turned_to
from client.test_independent_readers import SCANS, each_scan, is_placed, read, resampled
from real_scans import needs_data
from scipy.ndimage import map_coordinates

pytestmark = [
    needs_data,
    pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed"),
]

CORNER_MM = 1e-3
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_STEPS = 3
"""Decoders of lossy JPEG round their inverse transforms in ways of their own."""
FLOAT32 = 1e-6
"""Relative: dcm2niix writes slope and intercept as float32."""


def converted(files: tuple[Path, ...], folder: Path) -> list[Path]:
    """The NIfTI files that dcm2niix makes; without Philips' private scaling."""
    (folder / "in").mkdir()
    for n, file in enumerate(files):
        shutil.copy(file, folder / "in" / f"{n}.dcm")
    command = ["dcm2niix", "-b", "n", "-p", "n", "-z", "n", "-f", "out", "-o", ".", "in"]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    return sorted(folder.glob("out*.nii"))


def sign_contradicts(dataset: pydicom.Dataset) -> bool:
    """Whether a JPEG 2000 stream has another sign than its header; dcm2niix believes the stream."""
    if not str(dataset.file_meta.TransferSyntaxUID).startswith("1.2.840.10008.1.2.4.9"):
        return False
    size = dataset.PixelData.index(b"\xff\x4f\xff\x51")
    return dataset.PixelData[size + 42] >> 7 != dataset.PixelRepresentation


@each_scan
def test_voxels_and_affine_equal_dcm2niix_s(
    scan: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    path, files = scan
    if not is_placed(files[0]):
        pytest.skip("no place in space to compare")
    volume = read(path)
    if resampled(volume):
        pytest.skip("resampled: the test below")
    dataset = pydicom.dcmread(files[0])
    if sign_contradicts(dataset):
        pytest.skip("dcm2niix takes the sign of the stream; SimpleITK and pydicom the header's")
    made = converted(files, tmp_path)
    if not made:
        pytest.skip("dcm2niix does not decode this transfer syntax")
    image = nib.load(made[0])
    peer = turned_to(Peer(np.asanyarray(image.dataobj), image.affine), volume.affine)
    assert peer.data.shape == volume.shape
    difference = corners(volume.affine, volume.shape) - corners(peer.affine, volume.shape)
    assert np.abs(difference).max() < CORNER_MM
    allowed = FLOAT32 * np.abs(volume.data).max()
    if dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE:
        allowed += JPEG_STEPS * float(dataset.RescaleSlope)
    np.testing.assert_allclose(volume.data, peer.data, atol=allowed)


@pytest.mark.parametrize(
    "scan",
    [s for s in SCANS if len(s[1]) > 1 and resampled(read(s[0]))],
    ids=lambda s: s[0].name,
)
def test_a_tilted_series_lies_where_dcm2niix_puts_it(
    scan: tuple[Path, tuple[Path, ...]], tmp_path: Path
) -> None:
    """The same picture, its slices straightened the same way.

    dcm2niix' affine of a series that is tilted and uneven is no rotation any more (its own
    output says "please validate"), so that pictures are compared by index: rows run the
    other way, the first slices coincide, slices are as far apart as it says.
    """
    path, files = scan
    volume = read(path)
    made = [p for p in converted(files, tmp_path) if "Tilt" in p.name or "Eq" in p.name]
    assert made, "dcm2niix straightens tilted series"
    image = nib.load(made[-1])
    assert image.shape[:2] == volume.shape[:2]
    slices = float(image.header.get_zooms()[2]) / volume.spacing[2]
    assert image.shape[2] * slices == pytest.approx(volume.shape[2], abs=1.5)
    rng = np.random.default_rng(0)
    margin = np.array([30, 60, 2])
    ends = np.array(image.shape) - margin
    index = rng.uniform(margin[:, None], ends[:, None], (3, 40_000))
    tissue = (-200.0, 300.0)  # Hounsfield units
    theirs, ours = (np.clip(d, *tissue) for d in (image.get_fdata(), volume.data.astype(float)))
    expected = map_coordinates(theirs, index, order=1)
    middle = np.array([index[0], volume.shape[1] - 1 - index[1], index[2] * slices])

    def agreement(shift: tuple[float, float, float]) -> float:
        found = map_coordinates(ours, middle + np.array(shift)[:, None], order=1)
        return float(np.corrcoef(found, expected)[0, 1])

    here = agreement((0, 0, 0))
    assert here > 0.95
    for shift in ((4, 0, 0), (-4, 0, 0), (0, 4, 0), (0, -4, 0), (0, 0, 1), (0, 0, -1)):
        assert agreement(shift) < here
