"""What a prediction says and writes."""

import dataclasses
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from client.stand_in import SPEC
from PIL import Image

from vcam_client import ModelSpec, Prediction, Volume, place
from vcam_client.errors import OutputError
from vcam_client.spec import Activation, ExplainDefault, Fit, Grid

SCAN = Volume(
    data=np.full((16, 12, 8), -900, np.int16), affine=np.diag([2, 2, 3, 1.0]), name="scan"
)


def predict(cam: np.ndarray, spec: ModelSpec = SPEC, volume: Volume = SCAN) -> Prediction:
    return Prediction(
        volume=volume,
        spec=spec,
        model="default",
        version=3,
        scores=np.array([0.2, 0.8]),
        class_index=1,
        cam=cam.astype(np.float32),
        placement=place(volume, spec.grid),
        timings={"read": 0.1},
    )


def impulse(*cell: int, value: float = 2.0) -> np.ndarray:
    cam = np.zeros((2, 3, 4), np.float32)
    cam[cell] = value
    return cam


def test_the_heatmap_is_the_interpolated_positive_cam_over_its_largest_cell() -> None:
    cam = impulse(1, 2, 3) + impulse(0, 0, 0, value=-5)
    heat = predict(cam).heatmap()
    # SPL tensor: the last cell of each axis is superior, posterior, left; the scan is RAS
    assert heat.argmax() == np.ravel_multi_index(np.argwhere(heat == heat.max())[0], heat.shape)
    assert heat[:8].sum() > 0
    assert heat[8:].sum() == 0
    assert heat.max() <= 1
    assert heat.min() == 0
    np.testing.assert_array_equal(heat, predict(7 * cam).heatmap())


def test_the_stored_heatmap_is_the_heatmap_in_steps() -> None:
    cam = np.random.default_rng(0).normal(size=(2, 3, 4))
    prediction = predict(cam)
    np.testing.assert_allclose(
        prediction.stored_heatmap / 255, prediction.heatmap(), atol=0.5 / 255 + 1e-6
    )


def test_evidence_is_where_the_strongest_cell_is() -> None:
    evidence = predict(impulse(1, 2, 3)).evidence
    assert evidence.found
    assert (evidence.raw_maximum, evidence.cell) == (2.0, (1, 2, 3))
    assert evidence.positive_fraction == 1 / 24
    # cell 3 of L lies at model index 6.5 of 8, i.e. 13.5 of 16 from the right: 15 - 13.5 = 1.5
    np.testing.assert_allclose(evidence.voxel, (1.5, 1.5, 5.5))
    np.testing.assert_allclose(evidence.world, (3, 3, 16.5))
    level = predict(impulse(1, 2, 3)).heatmap() >= 0.5
    assert evidence.volume_mm3 == pytest.approx(level.sum() * 12, rel=0.1)


@pytest.mark.parametrize(
    ("cam", "reference", "found"),
    [
        (impulse(0, 0, 0, value=-1), None, False),
        (np.zeros((2, 3, 4)), None, False),
        (impulse(0, 0, 0, value=1e-6), None, True),
        (impulse(0, 0, 0, value=0.33), 1.0, False),
        (impulse(0, 0, 0, value=0.34), 1.0, True),
    ],
)
def test_no_evidence_is_said_so_everywhere(
    cam: np.ndarray, reference: float | None, found: bool, tmp_path: Path
) -> None:
    layer = dataclasses.replace(SPEC.default_layer, reference_maximum=reference)
    prediction = predict(cam, dataclasses.replace(SPEC, cam_layers=(layer,)))
    files = prediction.write(tmp_path)
    assert prediction.evidence.found is found
    assert bool(prediction.heatmap().any()) is found
    assert bool(nib.load(files.heatmap).get_fdata().any()) is found
    assert json.loads(files.result.read_text())["explanations"][0]["evidence"]["found"] is found
    picture = np.asarray(Image.open(files.overlay)).astype(int)
    saturation = (picture.max(axis=2) - picture.min(axis=2)).max()
    assert bool(saturation > 60) is found  # nothing coloured without evidence


def test_files_are_named_after_the_scan_and_tell_everything(tmp_path: Path) -> None:
    files = predict(impulse(1, 2, 3)).write(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "scan_heatmap.nii.gz",
        "scan_overlay.png",
        "scan_result.json",
    ]
    heatmap = nib.load(files.heatmap)
    assert heatmap.shape == SCAN.shape
    np.testing.assert_array_equal(heatmap.affine, SCAN.affine)
    result = json.loads(files.result.read_text())
    assert result["scores"] == {"clear": 0.2, "lesion": 0.8}
    assert result["percentages"] == {"clear": 20.0, "lesion": 80.0}
    assert result["explanations"][0]["label"] == "lesion"
    assert result["model_version"] == 3
    assert result["explanations"][0]["evidence"]["strongest_cell_world_ras_mm"] == [3.0, 3.0, 16.5]


def test_the_same_prediction_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        predict(impulse(1, 2, 3)).write(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_folder_that_can_t_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="--out"):
        predict(impulse(1, 2, 3)).write(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_regression_has_a_unit_and_no_percentages() -> None:
    spec = dataclasses.replace(
        SPEC,
        labels=("porosity", "other"),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="mm",
    )
    prediction = predict(impulse(0, 0, 0), spec)
    assert prediction.percentages is None
    assert prediction.to_dict()["unit"] == "mm"


def overlay(prediction: Prediction) -> np.ndarray:
    from vcam_client._overlay import overlay_png

    return np.asarray(Image.open(io.BytesIO(overlay_png(prediction)))).astype(int)


def test_the_picture_shows_the_patient_s_left_on_the_right() -> None:
    # evidence in the patient's left half: it must be on the right of an axial panel
    volume = Volume(data=np.full((64, 64, 8), -900, np.int16), affine=np.diag([2, 2, 16, 1.0]))
    picture = overlay(predict(impulse(1, 1, 3), volume=volume))
    colour = picture.max(axis=2) - picture.min(axis=2)
    panels = colour[:-44]  # without the legend
    columns = np.flatnonzero((panels > 60).any(axis=0))
    first = columns[columns < 14 + 256]
    assert first.size
    assert first.min() > 14 + 128


def test_a_scan_that_is_nothing_for_the_model_is_doubted() -> None:
    soil = Volume(data=np.full((40, 20, 10), 30000, np.uint16), affine=np.diag([1, 1, 8, 1.0]))
    doubted = predict(impulse(1, 1, 1), volume=soil)  # the window is -1000 to 400
    assert any(
        r.startswith("100% of the values sampled are outside the model's") for r in doubted.remarks
    )
    ct = Volume(data=np.full((40, 20, 10), -50, np.int16), affine=np.diag([1, 1, 8, 1.0]))
    plain = predict(impulse(1, 1, 1), volume=ct)
    assert not any("outside the model's" in r for r in plain.remarks)
    grid = Grid(shape=(40, 60, 80), fit=Fit.SPACING, spacing_mm=(5, 5, 5))
    spec = dataclasses.replace(SPEC, grid=grid)
    tiny = dataclasses.replace(ct, affine=np.diag([0.1, 0.1, 0.1, 1.0]))
    remarks = predict(impulse(1, 1, 1), spec, tiny).remarks
    assert any(r.startswith("The scan fills 0.00% of the model's grid") for r in remarks)


def test_pixels_have_the_aspect_of_the_spacing() -> None:
    from vcam_client._overlay import _views

    volume = Volume(data=np.zeros((40, 20, 10), np.int16), affine=np.diag([1, 1, 8, 1.0]))
    views = {v.title.split()[0]: v for v in _views(predict(impulse(1, 1, 1), volume=volume))}
    assert views["axial"].size(256) == (256, 128)
    assert views["coronal"].size(256) == (128, 256)  # 40 mm wide, 80 mm high
    assert views["sagittal"].size(256) == (64, 256)
    assert views["axial"].letters == ("R", "L", "A", "P")
    assert views["coronal"].letters == ("R", "L", "S", "I")
    assert views["sagittal"].letters == ("A", "P", "S", "I")


def test_superior_is_up_and_anterior_is_up() -> None:
    from vcam_client._overlay import _views

    data = np.zeros((8, 8, 8), np.int16)
    data[:, :, 6:] = 400  # superior
    volume = Volume(data=data, affine=np.eye(4))
    views = {v.title.split()[0]: v for v in _views(predict(impulse(1, 1, 1), volume=volume))}
    assert views["coronal"].grey[0].mean() > views["coronal"].grey[-1].mean()
    assert views["sagittal"].grey[0].mean() > views["sagittal"].grey[-1].mean()
    data = np.zeros((8, 8, 8), np.int16)
    data[:, 6:] = 400  # anterior
    volume = Volume(data=data, affine=np.eye(4))
    views = {v.title.split()[0]: v for v in _views(predict(impulse(1, 1, 1), volume=volume))}
    assert views["axial"].grey[0].mean() > views["axial"].grey[-1].mean()
    assert views["sagittal"].grey[:, 0].mean() > views["sagittal"].grey[:, -1].mean()


def test_the_slices_shown_are_those_of_the_strong_evidence_not_of_a_haze() -> None:
    from vcam_client._overlay import _strongest

    heat = np.full((40, 30, 30), 20, np.uint8)
    heat[8:12, 4:6, 4:6] = 255
    heat[30:34, 4:6, 4:6] = 200
    assert _strongest(heat, centre=9, spacing=2.0) == [9, 30]
    assert len(_strongest(np.zeros_like(heat), centre=9, spacing=2.0)) == 4


def test_volumes_without_anatomy_have_no_letters() -> None:
    from vcam_client._overlay import _views

    spec = dataclasses.replace(SPEC, grid=Grid(shape=(4, 6, 8), axes=()))
    soil = dataclasses.replace(SCAN, anatomical=False)
    views = _views(predict(impulse(1, 1, 1), spec, soil))
    assert {v.letters for v in views} == {("", "", "", "")}
    # a scan of a patient keeps its directions, whatever the model makes of them
    assert {v.letters for v in _views(predict(impulse(1, 1, 1), spec))} != {("", "", "", "")}


def test_what_a_reader_should_know_is_said() -> None:
    spec = dataclasses.replace(
        SPEC,
        intended_use="Research only.",
        grid=Grid(shape=(4, 6, 8), fit=Fit.SPACING, spacing_mm=(3, 2, 2), padding_value=-1000),
    )
    prediction = predict(impulse(1, 1, 1), spec)
    assert prediction.placement.seen_share == (0.5, 0.5, 0.5)
    text = " ".join(prediction.to_dict()["remarks"])
    assert "Research only." in text
    assert "taken as HU" in text
    assert "the middle 16×12×12 mm of the scan's 32×24×24 mm" in text
    known = dataclasses.replace(SCAN, units="HU")
    assert predict(impulse(1, 1, 1), volume=known).remarks == []


def test_padding_doesn_t_widen_the_picture_sgrey_window() -> None:
    from vcam_client._planes import grey_window

    grey = np.linspace(0, 100, 16**3).reshape(16, 16, 16).astype(np.float32)
    expected = grey_window(grey[4:], None)
    grey[:4] = -3024
    assert grey_window(grey, None)[0] == -3024
    np.testing.assert_allclose(grey_window(grey, (-3024, -3024)), expected)
    assert grey_window(np.full((4, 4, 4), -3024.0), (-3024, -3024)) == (-3025, -3023)
