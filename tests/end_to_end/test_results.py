"""Results of every kind of model through a server, against the schema."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import jsonschema
import nibabel as nib
import numpy as np
import pytest
from client.dicom_files import CR, write_slice

from vcam_client import Client, read_volume
from vcam_client._text import describe_predictions
from vcam_client.results import Choices, explain, result_schema, write_results

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest

VOLUME_MODELS = ("bright", "ct", "findings", "mr", "regression", "slices")
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 3, -30], [0, -2.5, 0, 60], [0, 0, 0, 1]])


def write_scan(folder: Path, model: str) -> Path:
    """Noise that the model takes, in the kind of file it is for."""
    rng = np.random.default_rng(4)
    if model == "radiograph":
        pixels = rng.integers(0, 4000, (40, 36)).astype(np.uint16)
        write_slice(folder / "cr.dcm", pixels, (0, 0, 0), SOPClassUID=CR, Modality="CR")
        return folder / "cr.dcm"
    if model == "picture":
        grey = rng.integers(0, 4000, (40, 36)).astype(np.uint16)
        (folder / "xray.png").write_bytes(imagecodecs.png_encode(grey))
        return folder / "xray.png"
    data = rng.integers(-1000, 400, (30, 28, 24)).astype(np.int16)
    nib.save(nib.Nifti1Image(data, AFFINE), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def write_truth(folder: Path, scan: Path) -> Path:
    """The middle of the scan, as NIfTI."""
    volume = read_volume(scan)
    mask = np.zeros(volume.shape, np.uint8)
    mask[tuple(slice(n // 4, max(1, n - n // 4)) for n in volume.shape)] = 1
    nib.save(nib.Nifti1Image(mask, volume.affine), folder / "truth.nii.gz")
    return folder / "truth.nii.gz"


@pytest.mark.parametrize("model", [*VOLUME_MODELS, "radiograph", "picture"])
@pytest.mark.parametrize("whole", [False, True], ids=["plain", "everything"])
def test_results_of_every_kind_are_what_the_schema_says(
    model: str, whole: bool, server: "ServerUnderTest", golden: "dict[str, Golden]", tmp_path: Path
) -> None:
    scan = write_scan(tmp_path, model)
    asked: dict[str, Any] = {}
    if whole:
        truth = write_truth(tmp_path, scan)
        asked = {"all_classes": True, "signed": True, "threshold": 0.4, "truth": truth}
    choices = Choices(**asked)
    name = "radiograph" if model == "picture" else model
    with Client(server.address) as client:
        predictions = explain(client, scan, model=name, choices=choices)
    files = write_results(predictions, tmp_path / "out", choices)
    content = json.loads(files.result.read_text("utf-8"))
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    labels = golden[name].spec.labels
    assert len(content["explanations"]) == (len(labels) if whole else 1)
    assert content["model_version"] == 1
    assert content["traffic_bytes"]["sent"] > predictions[0].volume.data.size // 100
    assert content["traffic_bytes"]["received"] > 0
    assert {"read", "prepare", "server"} <= set(content["timings_s"])
    for one in content["explanations"]:
        found = one["evidence"]["found"]
        assert (one["mask"] is not None) == (one["truth"] is not None) == whole
        if whole:
            assert bool(one["mask"]["boxes"]) == found
            assert one["truth"]["truth_voxels"] > 0
        for kind, file in one["files"].items():
            assert (file is None) == (kind == "mask" and not whole)
            assert file is None or (tmp_path / "out" / file).stat().st_size > 0
    text = describe_predictions(predictions, choices)
    assert str(tmp_path) not in json.dumps(content) + text
    assert all(label in text for label in labels)


def test_a_map_that_is_known_agrees_with_the_mask_of_it(
    server: "ServerUnderTest", tmp_path: Path
) -> None:
    """`bright` marks bright voxels: a bright ball is found, and so is its box."""
    shape, centre, radius = (48, 44, 40), np.array([15.0, 26.0, 22.0]), 8.0
    grid = np.indices(shape).reshape(3, -1).T
    ball = (np.linalg.norm(grid - centre, axis=1) <= radius).reshape(shape)
    scan, truth = tmp_path / "scan.nii.gz", tmp_path / "truth.nii.gz"
    nib.save(nib.Nifti1Image(np.where(ball, 1000, -1000).astype(np.int16), AFFINE), scan)
    nib.save(nib.Nifti1Image(ball.astype(np.uint8)[::-1], AFFINE @ _flip_i(shape[0])), truth)
    choices = Choices(threshold=0.5, truth=truth)
    with Client(server.address) as client:
        predictions = explain(client, scan, model="bright", choices=choices)

    files = write_results(predictions, tmp_path / "out", choices)
    (one,) = json.loads(files.result.read_text("utf-8"))["explanations"]
    agreement, (box,) = one["truth"], one["mask"]["boxes"]
    assert agreement["dice"] > 0.7  # cells of 6 voxels
    assert agreement["dice_chance"] < 0.1
    assert agreement["pointing"] is True
    assert agreement["energy"] > 0.5 > 10 * agreement["chance"]
    middle = (np.array(box["voxel_ijk_lower"]) + box["voxel_ijk_upper"]) / 2
    assert np.abs(middle - centre).max() <= 2
    size = np.array(box["voxel_ijk_upper"]) - box["voxel_ijk_lower"] + 1
    assert np.abs(size - 2 * radius).max() <= 4
    wrong = np.roll(ball, 20, axis=2)
    nib.save(nib.Nifti1Image(wrong.astype(np.uint8), AFFINE), truth)
    with Client(server.address) as client:
        predictions = explain(client, scan, model="bright", choices=choices)
    worse = predictions[0].agreement(predictions[0].truth, 0.5)
    assert worse.dice == 0
    assert worse.pointing is False
    assert worse.distance_mm > 2 * radius / 2


def _flip_i(size: int) -> np.ndarray:
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = size - 1
    return flip
