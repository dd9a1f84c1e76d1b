"""Scans that show nothing: the client says so, and colours nothing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from vcam_client import Client, Prediction, Volume, read_volume
from vcam_client._overlay import overlay_png
from vcam_client.evidence import Finding
from vcam_client.spec import ModelSpec, SliceAggregation

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest

NAMES = ("ct", "mr", "radiograph", "slices", "regression", "findings", "bright")
AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])
FRONTAL = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""A radiograph from the front."""

NOTHING = (Finding.NO_CONTRAST, Finding.NOTHING_POSITIVE, Finding.FLAT, Finding.WEAK)


@pytest.fixture(scope="module")
def client(server: "ServerUnderTest") -> Iterator[Client]:
    with Client(server.address) as made:
        yield made


def shape_for(spec: ModelSpec) -> tuple[int, int, int]:
    return (30, 26, 1) if spec.slice_aggregation is SliceAggregation.NONE else (30, 26, 20)


def nifti(folder: Path, data: np.ndarray, spec: ModelSpec) -> Path:
    path = folder / "scan.nii"
    affine = FRONTAL if data.shape[2] == 1 else AFFINE
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def coloured(png: bytes) -> int:
    """Pixels that are not grey; background and text are."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=-1) > 24).sum())


def assert_nothing(found: Prediction, *, why: tuple[Finding, ...] = NOTHING) -> None:
    assert found.evidence.finding in why, found.evidence
    assert found.label in found.no_evidence
    assert not found.heatmap().any()
    assert not found.stored_heatmap.any()
    assert coloured(overlay_png(found)) == 0


def window_of(spec: ModelSpec) -> tuple[float, float]:
    return spec.intensity.window or (0.0, 300.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [-0.5, 0.0, 0.3, 1.0, 1.5])
def test_a_constant_scan(
    name: str, share: float, golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    """Whatever the map shows is not in the scan: edges of the grid, biases."""
    spec = golden[name].spec
    low, high = window_of(spec)
    value = round(low + share * (high - low))
    path = nifti(tmp_path, np.full(shape_for(spec), value, np.int16), spec)
    for found in client.predict_all(path, model=name):
        assert np.isfinite(found.scores).all()
        assert_nothing(found, why=(Finding.NO_CONTRAST,))


@pytest.mark.parametrize("method", ["gradcam", "gradcam_plus_plus", "hirescam", "layercam"])
@pytest.mark.parametrize("name", ["ct", "slices", "findings"])
def test_a_constant_scan_by_every_method(
    method: str, name: str, golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    path = nifti(tmp_path, np.full(shape_for(golden[name].spec), -200, np.int16), golden[name].spec)
    found = client.predict(path, model=name, method=method)
    assert_nothing(found, why=(Finding.NO_CONTRAST,))


@pytest.mark.parametrize("name", ["ct", "slices", "findings", "bright"])
def test_noise_beyond_the_window_is_no_contrast(
    name: str, golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    """Air alone, with its noise: the model clips it to one value."""
    spec = golden[name].spec
    noise = np.random.default_rng(0).integers(-1200, -1000, shape_for(spec)).astype(np.int16)
    assert_nothing(client.predict(nifti(tmp_path, noise, spec), model=name))


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_that_is_all_padding(
    name: str, golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    spec = golden[name].spec
    noise = np.random.default_rng(0).integers(-3000, -2000, shape_for(spec)).astype(np.int16)
    affine = FRONTAL if noise.shape[2] == 1 else AFFINE
    scan = Volume(data=noise, affine=affine, padding=(-3000.0, -2000.0))
    assert_nothing(client.predict(scan, model=name), why=(Finding.NO_CONTRAST,))


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_with_something_in_it_is_coloured(
    name: str, golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    """So that the other tests say something."""
    spec = golden[name].spec
    low, high = window_of(spec)
    noise = np.random.default_rng(1).uniform(low, high, shape_for(spec)).astype(np.int16)
    every = client.predict_all(nifti(tmp_path, noise, spec), model=name)
    found = [one for one in every if one.has_evidence]
    assert found
    assert found[0].heatmap().max() > 0.5
    assert coloured(overlay_png(found[0])) > 100


def test_a_constant_scan_that_does_not_fill_the_grid(client: Client, tmp_path: Path) -> None:
    """The model sees its outline, which is not in the scan."""
    scan = Volume(data=np.full((9, 8, 7), 150, np.int16), affine=AFFINE)
    found = client.predict(scan, model="mr")
    assert found.placement.filled_share < 0.5
    assert np.ptp(found.cam) > 0
    assert_nothing(found, why=(Finding.NO_CONTRAST,))


def test_one_voxel_is_contrast(golden: "dict[str, Golden]", client: Client, tmp_path: Path) -> None:
    data = np.full(shape_for(golden["bright"].spec), -1000, np.int16)
    data[17, 9, 7] = 900
    found = client.predict(nifti(tmp_path, data, golden["bright"].spec), model="bright")
    assert found.evidence.finding is Finding.EVIDENCE
    away = np.abs(np.array(found.evidence.voxel) - (17, 9, 7))
    assert (away < 3).all()
    dark = client.predict(tmp_path / "scan.nii", model="bright", target="dark")
    assert_nothing(dark, why=(Finding.NOTHING_POSITIVE,))


def test_what_is_written_says_it(
    golden: "dict[str, Golden]", client: Client, tmp_path: Path
) -> None:
    spec = golden["ct"].spec
    path = nifti(tmp_path, np.full(shape_for(spec), 40, np.int16), spec)
    found = client.predict(path, model="ct")
    found.write(tmp_path / "out")
    heatmap = read_volume(tmp_path / "out" / "scan_heatmap.nii.gz")
    assert not heatmap.data.any()
    assert coloured((tmp_path / "out" / "scan_overlay.png").read_bytes()) == 0
    result = json.loads((tmp_path / "out" / "scan_result.json").read_text())
    assert result["explanations"][0]["evidence"]["finding"] == "no contrast"
