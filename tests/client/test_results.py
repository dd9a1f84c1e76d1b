"""Choosing, naming and writing results."""

import dataclasses
import json
import os
import re
from pathlib import Path

import imagecodecs
import jsonschema
import nibabel as nib
import numpy as np
import pytest
from client.predictions import CELLS, impulse, prediction, scan, spec
from client.stand_in import StandIn, answer, stand_in

from vcam_client import Client, Prediction, Volume
from vcam_client._result_names import safe_labels
from vcam_client._text import describe_predictions
from vcam_client.errors import InputError, OutputError, ScanNotFoundError
from vcam_client.results import (
    Choices,
    explain,
    json_bytes,
    result_schema,
    results_to_dict,
    write_results,
)
from vcam_client.spec import Activation, ExplainDefault, Explanation, ModelSpec, Trust
from vcam_client.truth import Truth

RANDOM = np.random.default_rng(5).normal(size=CELLS)
FINDINGS = ("nodule (solid)", "nodule/solid", "Nodule_solid", "…", "rib")


def findings(**more: object) -> list[Prediction]:
    model = spec(
        labels=FINDINGS,
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
    )
    return [
        prediction(impulse(n % 4, 2, n), model=model, class_index=n, **more)  # type: ignore[arg-type]
        for n in range(len(FINDINGS))
    ]


def checked(content: dict) -> dict:
    """Content that is what the schema says."""
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    return content


def mask_file(folder: Path, data: np.ndarray) -> Path:
    path = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(data.astype(np.uint8), scan().affine), path)
    return path


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label": "a", "all_classes": True}, "one class or all classes, received 'a' and all"),
        ({"threshold": 0.0}, "above 0 and up to 1, received 0"),
        ({"threshold": 1.5}, "above 0 and up to 1, received 1.5"),
    ],
)
def test_choices_that_can_t_be_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Choices(**wrong)


def test_a_mask_that_is_not_there_is_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScanNotFoundError, match="no mask"):
        Choices(truth=tmp_path / "nothing.nii.gz")


@pytest.mark.parametrize(
    ("choices", "written"),
    [
        (Choices(), ["heatmap.nii.gz", "overlay.png", "result.json"]),
        (Choices(heatmap=False), ["result.json"]),
        (Choices(heatmap=False, picture=True), ["overlay.png", "result.json"]),
        (Choices(picture=False), ["heatmap.nii.gz", "result.json"]),
        (Choices(heatmap=False, threshold=0.4), ["mask.nii.gz", "result.json"]),
        (
            Choices(signed=True, threshold=0.4),
            ["heatmap.nii.gz", "mask.nii.gz", "overlay.png", "result.json"],
        ),
    ],
)
def test_what_is_chosen_is_written_and_nothing_else(
    choices: Choices, written: list[str], tmp_path: Path
) -> None:
    files = write_results([prediction(RANDOM)], tmp_path / "new", choices, stem="patient 7")
    names = [f"patient 7_{name}" for name in written]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == names
    assert sorted(p.name for p in files.paths) == names
    (one,) = checked(json.loads(files.result.read_text()))["explanations"]
    assert sorted(name for name in one["files"].values() if name) == names[:-1]


def test_the_default_is_what_a_prediction_writes(tmp_path: Path) -> None:
    made = prediction(RANDOM)
    write_results([made], tmp_path / "a")
    made.write(tmp_path / "b")
    assert len(list((tmp_path / "a").iterdir())) == 3
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert made.to_dict() == json.loads((tmp_path / "a" / "scan_result.json").read_text())


def test_all_classes_have_files_of_their_own_by_label(tmp_path: Path) -> None:
    made = findings()
    files = write_results(made, tmp_path, Choices(all_classes=True, threshold=0.5))
    parts = ["nodule_solid", "nodule_solid_2", "Nodule_solid_3", "class", "rib"]
    assert [p.name for p in files.heatmaps] == [f"scan_{part}_heatmap.nii.gz" for part in parts]
    assert [p.name for p in files.masks] == [f"scan_{part}_mask.nii.gz" for part in parts]
    content = checked(json.loads(files.result.read_text()))
    assert [e["label"] for e in content["explanations"]] == list(FINDINGS)
    for one, path, alone in zip(content["explanations"], files.heatmaps, made, strict=True):
        assert one["files"]["heatmap"] == path.name
        stored = np.asarray(nib.load(path).dataobj.get_unscaled())
        np.testing.assert_array_equal(stored, alone.stored_heatmap)
        assert one["evidence"]["strongest_cell_voxel_ijk"] == list(alone.evidence.voxel)


def test_maps_of_several_classes_are_not_kept(tmp_path: Path) -> None:
    choices = Choices(all_classes=True, threshold=0.5, signed=True)
    made = findings()
    for use in (
        lambda: write_results(made, tmp_path, choices),
        lambda: describe_predictions(made, choices),
        lambda: results_to_dict(made, choices),
    ):
        use()
        for one in made:
            arrays = [v for v in vars(one).values() if isinstance(v, np.ndarray)]
            assert all(array.size < one.volume.data.size for array in arrays)


def test_labels_in_file_names_are_safe_and_apart() -> None:
    labels = ["a/b", "a b", "A_B", "..", "", "ü-ber.3", "x" * 300, "../../etc"]
    safe = safe_labels(labels)
    assert safe[:6] == ["a_b", "a_b_2", "A_B_3", "class", "class_2", "ü-ber.3"]
    assert len({part.casefold() for part in safe}) == len(labels)
    assert all(os.sep not in part and len(part) <= 90 for part in safe)


def test_labels_of_any_script_are_cut_to_bytes_and_stay_text() -> None:
    (part,) = safe_labels(["肺" * 100])
    assert part == "肺" * 26  # 78 bytes of UTF-8; one more would be cut in its middle


@pytest.mark.parametrize(("stem", "size"), [("a" * 241, 241), ("é" * 121, 242)])
def test_a_name_that_leaves_no_room_is_at_fault_not_the_folder(
    stem: str, size: int, tmp_path: Path
) -> None:
    # NAME_heatmap.nii.gz has 15 bytes more, and a name 255 at most
    with pytest.raises(InputError, match=f"of {size} bytes is too long.* at most 240 bytes"):
        write_results([prediction(RANDOM)], tmp_path / "new" / "folder", stem=stem)
    assert list(tmp_path.iterdir()) == []


def test_json_of_names_that_are_not_text_is_valid() -> None:
    assert json_bytes({"scan": "ä"}) == '{\n  "scan": "ä"\n}\n'.encode()
    assert json_bytes({"scan": "\udcff"}) == b'{\n  "scan": "\\udcff"\n}\n'
    # the two bytes of "ä", as names have them where the locale is ASCII
    assert json_bytes({"scan": "\udcc3\udca4"}) == '{\n  "scan": "ä"\n}\n'.encode()


@pytest.mark.parametrize("stem", ["", "a/b", "../x", "folder/"])
def test_a_stem_is_a_name_and_no_path(stem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected the stem of file names"):
        write_results([prediction(RANDOM)], tmp_path, stem=stem)
    assert list(tmp_path.iterdir()) == []


def test_nothing_appears_before_everything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = findings()
    before = write_results(made, tmp_path, Choices(all_classes=True, picture=False))
    old = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    assert len(old) == len(made) + 1
    seen = []

    def failing(*_: object, **__: object) -> bytes:
        seen.append({p for p in tmp_path.iterdir() if p.suffix != ".part"})
        if len(seen) == len(made):
            raise RuntimeError("the last picture")
        return b"picture"

    monkeypatch.setattr("vcam_client._overlay.overlay_png", failing)
    with pytest.raises(RuntimeError, match="the last picture"):
        write_results(made, tmp_path, Choices(all_classes=True))
    assert seen == [set(old)] * len(made)
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == old  # none was replaced
    assert before.result in old


def test_a_folder_that_can_t_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="--out"):
        write_results([prediction(RANDOM)], tmp_path / "file")


def test_masks_and_signed_maps_have_the_scan_s_geometry(tmp_path: Path) -> None:
    sheared = np.array([[2.0, 0.4, 0, -30], [0, -2.5, 0.9, 4], [0, 0, 3.0, 11], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((14, 12, 10), np.int16), sheared), tmp_path / "s.nii")
    from vcam_client import read_volume

    made = prediction(RANDOM, read_volume(tmp_path / "s.nii"))
    files = write_results([made], tmp_path / "out", Choices(signed=True, threshold=0.3))
    source = nib.load(tmp_path / "s.nii")
    mask, signed = nib.load(files.mask), nib.load(files.heatmap)
    for image in (mask, signed):
        np.testing.assert_array_equal(image.affine, source.affine)
        for code in ("sform_code", "qform_code"):
            assert image.header[code] == source.header[code]
    assert mask.get_data_dtype() == np.uint8
    assert signed.get_data_dtype() == np.int8
    assert signed.dataobj.slope == pytest.approx(1 / 127)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), made.mask(0.3))
    np.testing.assert_array_equal(signed.dataobj.get_unscaled(), made.stored_signed_map)


def test_masks_and_signed_maps_of_a_picture_are_pictures(tmp_path: Path) -> None:
    from client.test_pictures import radiograph_spec

    grey = np.random.default_rng(0).integers(0, 255, (24, 40)).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(grey))
    from vcam_client import read_volume

    cam = np.random.default_rng(1).normal(size=(1, 3, 4))
    made = prediction(cam, read_volume(tmp_path / "x.png"), radiograph_spec())
    choices = Choices(signed=True, threshold=0.4)
    files = write_results([made], tmp_path / "out", choices)
    mask = imagecodecs.png_decode(files.mask.read_bytes())
    np.testing.assert_array_equal(mask, 255 * made.mask(0.4)[:, :, 0].T)
    signed = imagecodecs.png_decode(files.heatmap.read_bytes()).astype(int) - 128
    np.testing.assert_array_equal(signed, made.stored_signed_map[:, :, 0].T)
    content = checked(json.loads(files.result.read_text()))
    (one,) = content["explanations"]
    assert one["mask"]["boxes"]
    assert content["scan_spacing_mm"] is None
    assert one["cam"]["affine_ras_mm"] is None
    assert one["mask"]["boxes"][0]["world_ras_mm_lower"] is None
    text = describe_predictions([made], choices)
    assert "mm" not in text
    assert re.search(r"box 1 +columns \d+ to \d+, rows \d+ to \d+; ", text)


def test_no_evidence_is_said_so_in_every_result(tmp_path: Path) -> None:
    truth = mask_file(tmp_path, np.ones(scan().shape))
    choices = Choices(threshold=0.5, truth=truth)
    made = prediction(-np.abs(RANDOM))
    files = write_results([made], tmp_path, choices)
    (one,) = checked(json.loads(files.result.read_text()))["explanations"]
    evidence = one["evidence"]
    assert evidence["found"] is False
    assert evidence["raw_maximum"] < 0
    assert evidence["positive_fraction"] == 0
    assert evidence["reference_maximum"] is None
    assert evidence["strongest_cell_voxel_ijk"] is None
    assert one["mask"] == {
        "threshold": 0.5, "voxels": 0, "share": 0.0, "volume_mm3": 0.0, "boxes": []
    }  # fmt: skip
    assert one["truth"]["pointing"] is None
    assert not np.asarray(nib.load(files.mask).dataobj).any()
    text = describe_predictions([made], choices)
    assert "No evidence for lesion" in text
    assert "mask     at least 0.5: empty" in text


def test_an_empty_truth_is_said_so(tmp_path: Path) -> None:
    choices = Choices(truth=mask_file(tmp_path, np.zeros(scan().shape)))
    made = prediction(RANDOM)
    content = checked(results_to_dict([made], choices))
    assert content["explanations"][0]["truth"]["dice"] is None
    assert any("is empty" in remark for remark in content["remarks"])
    assert "truth    empty" in describe_predictions([made], choices)


def test_figures_in_the_text_are_those_of_the_json(tmp_path: Path) -> None:
    data = np.zeros(scan().shape)
    data[4:12, 3:9, 2:8] = 1
    choices = Choices(threshold=0.3, truth=mask_file(tmp_path, data), signed=True)
    made = prediction(RANDOM)
    (one,) = checked(results_to_dict([made], choices))["explanations"]
    text = describe_predictions([made], choices)
    truth, box = one["truth"], one["mask"]["boxes"][0]
    assert f"Dice     {truth['dice']:.2f} ({truth['dice_chance']:.2f} by chance)" in text
    assert f"IoU {truth['iou']:.2f}; heatmap at least 0.3" in text
    assert f"energy   {truth['energy']:.1%} of the heatmap" in text
    where = "inside" if truth["pointing"] else f"outside, {truth['distance_mm']:.1f} mm off"
    assert f"the strongest cell lies {where}" in text
    low, high = tuple(box["voxel_ijk_lower"]), tuple(box["voxel_ijk_upper"])
    assert f"box 1    voxels {low} to {high}, RAS" in text
    assert f"{box['volume_mm3'] / 1000:.3g} cm³, peak {box['peak']:.2f}" in text
    assert "  against  strongest at voxel (" in text


def test_the_text_of_several_classes_has_each_once() -> None:
    text = describe_predictions(findings(), Choices(all_classes=True))
    for label in FINDINGS:
        assert text.count(f"Evidence for {label}:") == 1
        assert len(re.findall(rf"^  {re.escape(label)} +\d", text, re.MULTILINE)) == 1
    assert "explained" not in text


def test_the_schema_refuses_what_is_not_a_result() -> None:
    content = checked(results_to_dict([prediction(RANDOM)], Choices(threshold=0.3)))
    validator = jsonschema.Draft202012Validator(result_schema())
    for spoil in (
        lambda c: c.pop("schema"),
        lambda c: c.update(schema="vcam-result/0"),
        lambda c: c.update(more=1),
        lambda c: c["explanations"].clear(),
        lambda c: c["explanations"][0]["evidence"].update(share=1.5),
        lambda c: c["explanations"][0]["mask"]["boxes"][0].update(peak=None),
        lambda c: c["explanations"][0]["files"].update(heatmap="/somewhere/scan.nii.gz"),
    ):
        spoilt = json.loads(json.dumps(content))
        spoil(spoilt)
        assert not validator.is_valid(spoilt)


def test_every_field_is_explained_in_the_docs_and_in_the_schema() -> None:
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    explained = {
        name for code in re.findall(r"`([^`\n]+)`", text) for name in re.split(r"\W", code)
    }
    schema = result_schema()
    parts = [schema, *(schema["$defs"][n] for n in ("evidence", "box", "mask", "truth"))]
    explanation = schema["$defs"]["explanation"]
    parts += [explanation, *(explanation["properties"][n] for n in ("cam", "files"))]
    parts.append(schema["properties"]["traffic_bytes"])
    for part in parts:
        for name, about in part["properties"].items():
            assert name in explained, f"{name} is not in docs/results.md"
            plain = {"$ref", "oneOf", "const", "properties", "description"} & set(about)
            assert plain, f"{name} is not described in the schema"
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


@pytest.fixture
def server():
    with stand_in() as running:
        yield running


def test_explain_asks_for_one_class_or_all(server: StandIn) -> None:
    every = {
        "scores": np.array([[0.25, 0.75]], np.float32),
        "cam": np.random.default_rng(0).normal(size=(1, 2, 2, 3, 4)).astype(np.float32),
    }
    volume = Volume(data=np.full((16, 12, 8), -900, np.int16), affine=np.diag([2, 2, 3, 1.0]))
    with Client(server.address) as client:
        (one,) = explain(client, volume, choices=Choices(label="lesion"))
        server.predict = lambda request: every
        both = explain(client, volume, choices=Choices(all_classes=True))
    assert one.label == "lesion"
    assert [p.label for p in both] == ["clear", "lesion"]
    np.testing.assert_array_equal(both[1].cam, every["cam"][0, 1])
    assert set(one.timings) == {"read", "prepare", "server"}
    assert one.traffic.sent > 0


def test_a_mask_that_does_not_fit_is_refused_before_the_server_is_asked(
    server: StandIn, tmp_path: Path
) -> None:
    away = np.diag([2.0, 2, 3, 1])
    away[:3, 3] = 900
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), away), tmp_path / "m.nii.gz")
    with Client(server.address) as client, pytest.raises(InputError, match="beside it"):
        explain(client, scan(), choices=Choices(truth=tmp_path / "m.nii.gz"))
    assert server.requests == []


def test_a_mask_is_read_once(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = Truth.read
    monkeypatch.setattr(Truth, "read", lambda *given: reads.append(given) or read(*given))
    server.predict = lambda request: answer()
    nib.save(nib.Nifti1Image(np.full((16, 12, 8), -900, np.int16), np.eye(4)), tmp_path / "s.nii")
    nib.save(nib.Nifti1Image(np.ones((16, 12, 8), np.uint8), np.eye(4)), tmp_path / "m.nii")
    choices = Choices(truth=tmp_path / "m.nii", threshold=0.5)
    with Client(server.address) as client:
        predictions = explain(client, tmp_path / "s.nii", choices=choices)
    write_results(predictions, tmp_path / "out", choices)
    content = results_to_dict(predictions, choices)
    describe_predictions(predictions, choices)
    assert len(reads) == 1
    assert content["explanations"][0]["truth"]["chance"] == 1
    assert dataclasses.asdict(predictions[0].agreement(predictions[0].truth, 0.5))["chance"] == 1


def test_lines_of_a_run_over_many_scans_are_what_the_schema_says(
    server: StandIn, tmp_path: Path
) -> None:
    from vcam_client.batch import find_scans, run_batch

    (tmp_path / "in").mkdir()
    image = nib.Nifti1Image(np.full((16, 12, 8), -900, np.int16), np.diag([2, 2, 3, 1.0]))
    nib.save(image, tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"nothing")
    with Client(server.address) as client:
        run_batch(client, find_scans([str(tmp_path / "in")]), tmp_path / "out")
    schema = result_schema()
    line = jsonschema.Draft202012Validator({**schema["$defs"]["line"], "$defs": schema["$defs"]})
    lines = (tmp_path / "out" / "results.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(text) for text in lines]
    assert sorted(record["status"] for record in records) == ["done", "failed"]
    for record in records:
        line.validate(record)
        assert not line.is_valid({**record, "status": "perhaps"})
    checked(json.loads((tmp_path / "out" / "good_result.json").read_text("utf-8")))


def trusted(**explanation: object) -> ModelSpec:
    layer = spec().default_layer.name
    return spec(
        explanations=(
            Explanation(signature="gradcam", method="gradcam", layer=layer, **explanation),
            Explanation(signature="layercam", method="layercam", layer=layer),
        ),
        trust=Trust(summary="Maps checked on 120 held-out scans.", signature="gradcam"),
    )


def test_what_was_measured_is_said_of_the_maps_it_was_measured_for() -> None:
    model = trusted()
    own = prediction(RANDOM, model=model)
    other = prediction(RANDOM, model=model, asked=model.explanation("layercam"))
    assert "Maps checked on 120 held-out scans." in describe_predictions([own])
    assert results_to_dict([own])["trust"] == "Maps checked on 120 held-out scans."
    assert "Maps checked" not in describe_predictions([other])
    assert "measured for gradcam alone, not for these" in describe_predictions([other])
    assert results_to_dict([other])["trust"] is None
    nothing = prediction(-np.abs(RANDOM), model=model)
    assert "Maps checked" not in describe_predictions([nothing])


def test_the_model_s_own_threshold(tmp_path: Path) -> None:
    made = prediction(RANDOM, model=trusted(threshold=0.35))
    files = write_results([made], tmp_path, Choices(threshold="model"))
    (one,) = checked(json.loads(files.result.read_text()))["explanations"]
    assert one["mask"]["threshold"] == 0.35
    plain = prediction(RANDOM, model=trusted())
    with pytest.raises(InputError, match="no threshold of its own"):
        write_results([plain], tmp_path / "none", Choices(threshold="model"))
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").iterdir())


def test_the_map_of_a_regression_keeps_its_sign() -> None:
    value = spec(
        labels=("porosity",),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="%",
    )
    made = prediction(RANDOM, model=value, scores=np.array([31.0]), class_index=0)
    assert results_to_dict([made])["explanations"][0]["signed"]
    assert "What raises porosity: strongest at" in describe_predictions([made])
    assert "lowers" in describe_predictions([made])
    unsigned = Choices(signed=False)
    assert not results_to_dict([made], unsigned)["explanations"][0]["signed"]
