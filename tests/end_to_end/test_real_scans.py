"""Real scans through a served model: the map lies exactly on the scan."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from real_scans import ROOT, blank, needs_data, regular_cts

from vcam_client import Client, Placement, Volume, place, read_volume
from vcam_client.errors import InconsistentSeriesError

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest

pytestmark = needs_data

SIGMA = 1.2
"""Standard deviation of the planted blob, model voxels along each axis."""


@pytest.fixture(scope="module", params=regular_cts(), ids=lambda path: path.name)
def scan(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_real_scans_of_both_kinds() -> None:
    kinds = {path.is_dir() for path in regular_cts()}
    assert kinds == {True, False}


def test_the_heatmap_has_the_scan_s_shape_and_affine(
    scan: Path, server: "ServerUnderTest", tmp_path: Path
) -> None:
    with Client(server.address) as client:
        files = client.predict(scan, model="ct").write(tmp_path)
    heatmap = nib.load(files.heatmap)
    volume = read_volume(scan)
    assert heatmap.shape == volume.shape
    if scan.is_dir():
        np.testing.assert_allclose(heatmap.affine, volume.affine, rtol=1e-6)
    else:
        original = nib.load(scan)
        assert heatmap.shape == original.shape[:3]
        np.testing.assert_array_equal(heatmap.affine, original.affine)


def world_of_cell_span(placement: Placement, golden: "Golden") -> tuple[np.ndarray, np.ndarray]:
    """Model indices of the first and last cell centre along each axis."""
    layer = golden.spec.default_layer
    first = np.array(layer.offset)
    return first, first + np.array(layer.stride) * (np.array(layer.cells) - 1)


def planted(volume: Volume, placement: Placement, model_index: np.ndarray) -> Volume:
    """A bright blob of SIGMA model voxels about a model index, on air."""
    air = blank(volume, -1000)
    profile = []
    for t, axis in enumerate(placement.axes):
        scan = (np.arange(axis.scan_size) - axis.start) / axis.step
        profile.append(np.exp(-((scan - model_index[t]) ** 2) / (2 * SIGMA**2)))
    blob = 1400 * profile[0][:, None, None] * profile[1][:, None] * profile[2]
    return dataclasses.replace(
        air, data=air.data + placement.from_tensor_axes(blob).astype(np.float32)
    )


@pytest.mark.parametrize("at", [(0.0, 0.3, 0.7), (0.5, 0.5, 0.5), (1.0, 0.62, 0.25)])
def test_a_planted_blob_comes_back_within_half_a_cell(
    scan: Path, at: tuple[float, ...], server: "ServerUnderTest", golden: "dict[str, Golden]"
) -> None:
    bright = golden["bright"]
    volume = read_volume(scan)
    placement = place(volume, bright.spec.grid)
    first, last = world_of_cell_span(placement, bright)
    index = first + np.array(at) * (last - first)
    with Client(server.address) as client:
        prediction = client.predict(planted(volume, placement, index), model="bright")
    # half a cell along each axis, in scan voxels
    steps = [axis.step for axis in placement.axes]
    half = np.empty(3)
    truth = np.empty(3)
    layer = bright.spec.default_layer
    for t, o in enumerate(placement.order):
        half[o] = steps[t] * layer.stride[t] / 2
    unit = dataclasses.replace(layer, offset=(0, 0, 0), stride=(1, 1, 1))
    truth[:] = placement.cell_on_scan(tuple(index), unit)
    error = np.abs(np.array(prediction.evidence.voxel) - truth)
    assert (error <= half + 1e-6).all()
    # the map itself: its brightest voxels, in the world
    heat = prediction.heatmap()
    assert heat.max() > 0.5
    peak = np.argwhere(heat >= heat.max() - 1e-6).mean(axis=0)
    assert (np.abs(peak - truth) <= half + 1).all()
    world_error = np.linalg.norm(np.subtract(volume.world(tuple(peak)), volume.world(tuple(truth))))
    assert world_error <= np.linalg.norm((half + 1) * volume.spacing)


def test_every_storage_order_gives_the_same_answer(
    server: "ServerUnderTest", tmp_path: Path
) -> None:
    source = nib.load(ROOT / "nifti" / "ct_thorax_heart_1p5mm_LPS.nii.gz")
    with Client(server.address) as client:
        expected = client.predict(ROOT / "nifti" / "ct_thorax_heart_1p5mm_LPS.nii.gz", model="ct")
        reference = expected.heatmap()
        assert reference.max() > 0.5
        for order in itertools.permutations(range(3)):
            for flips in itertools.product([1, -1], repeat=3):
                orientation = np.array([[o, f] for o, f in zip(order, flips, strict=True)])
                stored = source.as_reoriented(orientation)
                nib.save(stored, tmp_path / "scan.nii")
                prediction = client.predict(tmp_path / "scan.nii", model="ct")
                np.testing.assert_allclose(prediction.scores, expected.scores, atol=1e-5)
                heat = nib.Nifti1Image(prediction.heatmap(), prediction.volume.affine)
                back = nib.orientations.ornt_transform(
                    nib.io_orientation(heat.affine), nib.io_orientation(source.affine)
                )
                same = heat.as_reoriented(back)
                np.testing.assert_allclose(same.affine, source.affine, atol=1e-4)
                found = np.asanyarray(same.dataobj)
                assert np.corrcoef(found.ravel(), reference.ravel())[0, 1] >= 0.999


def test_irregular_series_are_refused_by_name() -> None:
    with pytest.raises(InconsistentSeriesError, match="unevenly spaced"):
        read_volume(ROOT / "dicom" / "series_ct_head_ge_tilt")
    with pytest.raises(InconsistentSeriesError, match="same position"):
        read_volume(ROOT / "dicom" / "transfer_syntax_ct")
