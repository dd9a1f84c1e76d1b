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
from vcam_client.spec import CamLayer

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


def scan_to_model(placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Scan index of the model's origin, and [3, 3]: model steps of a step in the scan."""
    layer = CamLayer(
        name="voxels",
        cells=tuple(axis.model_size for axis in placement.axes),
        offset=(0.0,) * 3,
        stride=(1.0,) * 3,
    )
    origin, *ends = (placement.cell_on_scan(tuple(m), layer) for m in (np.zeros(3), *np.eye(3)))
    return np.array(origin), np.linalg.inv((np.array(ends) - origin).T)


def planted(volume: Volume, placement: Placement, model_index: np.ndarray) -> Volume:
    """A bright blob of SIGMA model voxels about a model index, on air."""
    air = blank(volume, -1000)
    origin, steps = scan_to_model(placement)
    data = air.data.copy()
    i, j, k = (np.arange(n) - o for n, o in zip(volume.shape, origin, strict=True))
    for n, plane in enumerate(np.moveaxis(data, 2, 0)):
        squares = 0.0
        for (di, dj, dk), at in zip(steps, model_index, strict=True):
            squares += (di * i[:, None] + dj * j + dk * k[n] - at) ** 2
        plane += 1400 * np.exp(-squares / (2 * SIGMA**2)).astype(np.float32)
    return dataclasses.replace(air, data=data)


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
    # half a cell along each axis of the model
    half = np.array(bright.spec.default_layer.stride) / 2
    origin, steps = scan_to_model(placement)
    error = np.abs(steps @ (prediction.evidence.voxel - origin) - index)
    assert (error <= half + 1e-6).all()
    # the map itself: its brightest voxels, in the world, to a voxel of the scan
    heat = prediction.heatmap()
    assert heat.max() > 0.5
    peak = np.argwhere(heat >= heat.max() - 1e-6).mean(axis=0)
    error = np.abs(steps @ (peak - origin) - index)
    assert (error <= half + np.abs(steps).sum(axis=1)).all()
    truth = origin + np.linalg.solve(steps, index)
    world_error = np.linalg.norm(np.subtract(volume.world(tuple(peak)), volume.world(tuple(truth))))
    widest = np.linalg.norm(volume.affine[:3, :3] @ np.linalg.inv(steps), axis=0) @ half
    assert world_error <= widest + np.sum(volume.spacing)


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


def test_irregular_series_are_resampled_with_a_warning_or_refused() -> None:
    series = ROOT / "dicom" / "series_ct_head_ge_tilt"
    volume = read_volume(series)
    columns = volume.affine[:3, :3] / volume.spacing
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-6)
    assert "gantry tilt" in volume.warnings[0]
    assert "unevenly spaced" in volume.warnings[0]
    with pytest.raises(InconsistentSeriesError, match=r"unevenly spaced.*--strict"):
        read_volume(series, strict=True)
    # one slice fifteen times: no volume, whichever way they are grouped
    with pytest.raises(InconsistentSeriesError):
        read_volume(ROOT / "dicom" / "transfer_syntax_ct")
