"""Checking an explanation, against models of a few lines of NumPy."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from client.checking import (
    PEAK,
    bright,
    checked,
    lesion,
    on_the_grid,
    one_logit,
    scores_of,
)
from client.predictions import AFFINES, CELLS, PLAIN, impulse, prediction, scan, spec
from client.predictions import slices_spec as spec_of_slices
from PIL import Image

from vcam_client._calls import Answer, Call
from vcam_client._hiding import CONTROLS, Blocks
from vcam_client._ranks import rank_correlation
from vcam_client._score_logit import score_logits
from vcam_client._steps import Context, Done, Question, advance
from vcam_client._verify_text import describe_verification
from vcam_client._verifying import Plan, Target, verify, verify_prediction
from vcam_client.errors import ContractError, InputError, ModelNotFoundError
from vcam_client.scores import aggregate
from vcam_client.spec import Activation, ExplainDefault, SliceAggregation
from vcam_client.verification import Outcome, Verdict, verification_schema


def test_drops_are_what_arithmetic_says() -> None:
    values, weights = bright(), lesion() + 0.01
    given = prediction(impulse(*PEAK), on_the_grid(values))
    found = checked(given, one_logit(weights))
    marked = given.heatmap_on_model_grid() >= 0.4
    assert marked.sum() == 8  # the voxels of one cell, around its centre
    fill = np.median(values)
    assert found.fill == round(float(fill))

    def z(hidden: np.ndarray) -> float:
        return float(1e-3 * (weights * np.where(hidden, found.fill, values)).sum())

    nothing = np.zeros_like(marked)
    assert found.marked is not None
    assert found.rest is not None
    assert found.whole.logit == pytest.approx(z(nothing), abs=1e-6)
    assert found.whole.score == pytest.approx(1 / (1 + math.exp(-z(nothing))), abs=1e-6)
    assert found.marked.logit == pytest.approx(z(marked), abs=1e-6)
    assert found.rest.logit == pytest.approx(z(~marked), abs=1e-6)
    assert found.marked.hidden_share == marked.mean()
    assert found.rest.hidden_share == pytest.approx((~marked).mean())
    shape = found.occlusion.logit_drops.shape
    assert shape == CELLS
    for index in np.ndindex(shape):
        block = nothing.copy()
        block[tuple(slice(2 * n, 2 * n + 2) for n in index)] = True
        drop = z(nothing) - z(block)
        assert found.occlusion.logit_drops[index] == pytest.approx(drop, abs=1e-6), index
    assert found.occlusion.strongest == PEAK
    assert found.occlusion.strongest_is_marked
    assert found.occlusion.strongest_marked_share == 1
    assert "mostly in the marked part (1 % of the blocks touch it)" in describe_verification(found)
    cells = given.map.on_model_grid(given.cam)
    means = cells.reshape(4, 2, 5, 2, 6, 2).mean(axis=(1, 3, 5))
    expected = rank_correlation(found.occlusion.logit_drops.ravel(), means.ravel())
    assert expected is not None
    assert found.occlusion.rank_correlation == pytest.approx(expected)
    assert len(found.controls) == CONTROLS
    assert found.verdict is Verdict.SUPPORTED
    assert "Supported: the score depends on what the map marks." in describe_verification(found)


@pytest.mark.parametrize(
    ("side", "share", "words"),
    [
        (2, 1.0, "mostly in the marked part (1 % of the blocks touch it)"),
        (1, 0.125, "touches the marked part (1 % of the blocks do)"),
    ],
)
def test_a_block_that_the_marked_part_only_touches_is_not_in_it(
    side: int, share: float, words: str
) -> None:
    marked = np.zeros((8, 10, 12), bool)
    marked[tuple(slice(2 * n, 2 * n + side) for n in PEAK)] = True
    blocks = Blocks(shape=(8, 10, 12), counts=CELLS)
    found = checked(prediction(impulse(*PEAK), on_the_grid(bright())), one_logit(lesion()))
    shares = blocks.sums(marked) / 8
    judged = dataclasses.replace(
        found, occlusion=dataclasses.replace(found.occlusion, marked_shares=shares)
    )
    assert judged.occlusion.strongest_marked_share == share
    assert judged.occlusion.strongest_is_marked
    assert words in describe_verification(judged)


def test_a_wrong_map_is_not_supported() -> None:
    volume = on_the_grid(bright())
    for cam in (impulse(0, 0, 0), -impulse(*PEAK) + 2):  # elsewhere, and inverted
        found = checked(prediction(cam, volume), one_logit(lesion()))
        assert found.verdict in (Verdict.NOT_SUPPORTED, Verdict.UNDECIDED)
    wrong = checked(prediction(impulse(0, 0, 0), volume), one_logit(lesion()))
    assert wrong.verdict is Verdict.NOT_SUPPORTED
    assert wrong.occlusion.strongest_is_marked is False
    assert ", outside the marked part (" in describe_verification(wrong)
    assert "Not supported" in describe_verification(wrong)


def test_a_map_that_marks_one_of_many_alike_is_not_supported() -> None:
    """Hiding it lowers the score, but so does hiding the same shape anywhere."""
    found = checked(
        prediction(impulse(*PEAK), on_the_grid(np.full((8, 10, 12), 300, np.int16))),
        one_logit(lesion() * 0 + 1),
        fill="padding",
    )
    assert found.marked_drop is not None
    assert found.marked_drop > 1
    np.testing.assert_allclose(found.control_drops, found.marked_drop, atol=1e-5)
    assert found.verdict is Verdict.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("controls", "verdict"),
    [
        ([0.0] * 19, Verdict.SUPPORTED),
        ([0.0] * 18 + [1.1], Verdict.NOT_SUPPORTED),  # one other place does as much
        ([-0.9, 0.9] * 9, Verdict.NOT_SUPPORTED),  # they differ by more than it stands out
        ([0.4, 0.5] * 9, Verdict.SUPPORTED),
        ([0.0] * 7, Verdict.UNDECIDED),
        ([0.0] * 8, Verdict.SUPPORTED),
    ],
)
def test_the_rule(controls: list[float], verdict: Verdict) -> None:
    """The marked part's drop is 1."""
    found = checked(prediction(impulse(*PEAK), on_the_grid(bright())), one_logit(lesion()))
    assert found.marked is not None
    logit = found.whole.logit

    def dropped(drop: float) -> Outcome:
        return Outcome(hidden_share=0.1, score=0.5, logit=logit - drop)

    judged = dataclasses.replace(
        found, marked=dropped(1.0), controls=tuple(dropped(drop) for drop in controls)
    )
    assert judged.verdict is verdict


def test_a_score_that_hangs_on_the_rest_as_well() -> None:
    values = bright()
    values[0] = 600
    found = checked(prediction(impulse(*PEAK), on_the_grid(values)), one_logit(lesion() + 0.2))
    assert found.verdict is Verdict.SUPPORTED
    assert found.rest_drop is not None
    assert found.marked_drop is not None
    assert found.rest_drop > found.marked_drop
    assert "on the rest as well" in describe_verification(found)


def test_a_saturated_score_is_judged_by_its_logit() -> None:
    found = checked(
        prediction(impulse(*PEAK), on_the_grid(bright())), one_logit(lesion() + 0.001, 0.1)
    )
    assert found.marked is not None
    assert found.whole.score == found.controls[0].score == 1.0  # float32 of 1 − 1e-150
    assert found.whole.logit > 300
    assert found.verdict is Verdict.SUPPORTED


def test_without_evidence_only_the_occlusion_map_is_made() -> None:
    calls: list[Call] = []
    found = checked(prediction(np.zeros(CELLS), on_the_grid(bright())), one_logit(lesion()), calls)
    assert found.verdict is Verdict.NO_MAP
    assert (found.marked, found.rest, found.controls) == (None, None, ())
    assert found.occlusion.strongest == PEAK
    assert found.occlusion.rank_correlation is None
    assert found.occlusion.strongest_is_marked is None
    text = describe_verification(found)
    assert "No map to check. No evidence for lesion" in text
    assert "marked part" not in text
    assert sum(len(call.inputs["volume"]) for call in calls) == found.inputs == 1 + math.prod(CELLS)


def test_a_constant_scan_says_nothing() -> None:
    values = np.full((8, 10, 12), -800, np.int16)
    found = checked(prediction(impulse(*PEAK), on_the_grid(values)), one_logit(lesion()))
    assert found.verdict is Verdict.UNDECIDED
    assert "Hiding changes nothing" in describe_verification(found)
    assert found.occlusion.strongest is None
    assert found.occlusion.rank_correlation is None
    assert not found.occlusion.on_scan().any()
    flat = checked(
        prediction(impulse(*PEAK), on_the_grid(values), contrast=False), one_logit(lesion())
    )
    assert flat.verdict is Verdict.NO_MAP


def test_a_map_of_nearly_everything_has_nowhere_else_to_go() -> None:
    cam = np.ones(CELLS)
    cam[0, 0, 0] = 0
    found = checked(prediction(cam, on_the_grid(bright())), one_logit(lesion()))
    assert found.verdict is Verdict.UNDECIDED
    assert "too large to compare" in found.undecided
    assert found.controls == ()


def test_a_regression_keeps_signs_and_units() -> None:
    value = spec(
        labels=("age",),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="a",
    )

    def model(volumes: np.ndarray) -> np.ndarray:
        return 40 + 1e-3 * (lesion() * volumes).sum(axis=(1, 2, 3))[:, None]

    found = checked(prediction(impulse(*PEAK), on_the_grid(bright()), value, class_index=0), model)
    assert found.marked is not None
    assert found.whole.logit == found.whole.score > found.marked.score
    assert found.verdict is Verdict.SUPPORTED
    text = describe_verification(found)
    assert f"age {found.whole.score:.5g} a" in text
    assert "logit" not in text
    assert "change −" in text
    # what lowers the value is not what a map of evidence marks
    lower = checked(
        prediction(impulse(*PEAK), on_the_grid(bright()), value, class_index=0),
        lambda volumes: 80 - model(volumes),
    )
    assert lower.verdict is Verdict.NOT_SUPPORTED
    assert lower.marked_drop == pytest.approx(-found.marked_drop, abs=1e-4)


def test_a_finding_is_judged_by_its_own_score() -> None:
    findings = spec(
        labels=("a", "b", "c"),
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
        calibration_temperature=2.0,
    )

    def model(volumes: np.ndarray) -> np.ndarray:
        z = 1e-3 * (lesion() * volumes).sum(axis=(1, 2, 3))
        return np.stack([-5 * z, z, 0 * z + 30], axis=1)

    found = checked(
        prediction(impulse(*PEAK), on_the_grid(bright()), findings, class_index=1), model
    )
    assert found.verdict is Verdict.SUPPORTED
    assert found.whole.logit == pytest.approx(1e-3 * 600 * 8 / 2, abs=1e-5)


@pytest.mark.parametrize("name", sorted(AFFINES))
def test_the_occlusion_map_lies_on_the_scan(name: str, tmp_path: Path) -> None:
    """A bright blob in the scan is where the occlusion map is strongest, within half a block."""
    data = scan(AFFINES[name], (30, 26, 22)).data.copy()
    blob = (19, 8, 13)
    data[tuple(slice(n - 2, n + 3) for n in blob)] = 900
    volume = dataclasses.replace(scan(AFFINES[name]), data=data)
    given = prediction(impulse(*PEAK), volume)
    found = checked(given, one_logit(np.ones((8, 10, 12))), blocks=240)
    files = found.write(tmp_path)
    written = nib.load(files.occlusion)
    assert written.shape == volume.shape
    np.testing.assert_allclose(written.affine, volume.affine, atol=1e-5)
    drops = written.get_fdata()
    np.testing.assert_allclose(drops, found.occlusion.on_scan(), atol=found.occlusion.largest / 127)
    assert drops.max() <= found.occlusion.largest * (1 + 1e-6)
    assert written.header["cal_max"] == pytest.approx(found.occlusion.largest)
    weights = np.maximum(drops, 0) ** 2
    peak = np.array([(weights * axis).sum() / weights.sum() for axis in np.indices(drops.shape)])
    assert found.occlusion.voxel is not None
    widths = [
        axis.step * stride
        for axis, stride in zip(given.placement.axes, found.occlusion.layer.stride, strict=True)
    ]
    in_scan = [widths[given.placement.order.index(axis)] for axis in range(3)]
    for where in (peak, found.occlusion.voxel):
        assert (np.abs(np.subtract(where, blob)) <= np.array(in_scan) / 2 + 0.5).all(), where


def test_files_are_what_the_schema_says(tmp_path: Path) -> None:
    given = prediction(impulse(*PEAK), on_the_grid(bright()))
    found = checked(given, one_logit(lesion()))
    files = found.write(tmp_path / "out")
    assert [path.name for path in files.paths] == [
        "scan_verify.png",
        "scan_occlusion.nii.gz",
        "scan_verify.json",
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in files.paths
    )
    content = json.loads(files.result.read_text())
    validator = jsonschema.Draft202012Validator(verification_schema())
    validator.validate(content)
    assert content["verdict"] == "supported"
    assert content["marked_hidden"]["logit_drop"] == pytest.approx(found.marked_drop)
    np.testing.assert_allclose(content["occlusion"]["logit_drops"], found.occlusion.logit_drops)
    corner = np.array(content["occlusion"]["affine_ras_mm"]) @ [*PEAK, 1]
    np.testing.assert_allclose(
        corner[:3], content["occlusion"]["strongest_world_ras_mm"], atol=1e-6
    )
    for change in ({"verdict": "fine"}, {"schema": "vcam-verify/0"}, {"controls": None}):
        assert not validator.is_valid({**content, **change})
    nothing = checked(prediction(np.zeros(CELLS), on_the_grid(bright())), one_logit(lesion()))
    validator.validate(json.loads(json.dumps(nothing.to_dict(), allow_nan=False)))


def test_the_picture_shows_both_maps(tmp_path: Path) -> None:
    def coloured(cam: np.ndarray, weights: np.ndarray) -> list[bool]:
        found = checked(prediction(cam, on_the_grid(bright())), one_logit(weights))
        with Image.open(found.write(tmp_path).picture) as png:
            picture = np.asarray(png.convert("RGB")).astype(int)
        slices = picture[62:-230]
        strong = (slices[..., 0] - slices[..., 2]) > 60
        half = len(slices) // 2
        return [bool(part.any()) for part in (strong[:half], strong[half:])]

    assert coloured(impulse(*PEAK), lesion()) == [True, True]
    assert coloured(np.zeros(CELLS), lesion()) == [False, True]
    assert coloured(impulse(*PEAK), lesion() * 0) == [True, False]


def test_the_docs_explain_every_field() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text()
    schema = verification_schema()
    for part in (schema, schema["properties"]["occlusion"], schema["$defs"]["outcome"]):
        for name, described in part["properties"].items():
            assert f"`{name}`" in page, name
            assert "const" in described or described["description"], name


def test_a_version_that_goes_away_starts_over() -> None:
    """Explained and hidden parts come from one version."""
    served = {"version": 1}
    volume, seen = on_the_grid(bright()), []
    steps = verify(volume, Target(), Question(), Context(), {}, Plan(blocks=60))
    step = advance(steps, None)
    while not isinstance(step, Done):
        seen.append((step.signature, step.target.version))
        if step.target.version not in (None, served["version"]):
            step = advance(steps, ModelNotFoundError("gone"))
            continue
        if step.signature == "spec":
            outputs = {"model_spec": np.array([spec().to_json().encode()], object)}
        elif step.signature == "scores":
            logits = one_logit(lesion())(np.array(step.inputs["volume"])[..., 0].astype(float))
            outputs = {"logits": logits.astype(np.float32), "scores": scores_of(logits, spec())}
        else:
            outputs = {
                "scores": np.array([[0.2, 0.8]], np.float32),
                "cam": impulse(*PEAK)[None].astype(np.float32),
                "class_index": np.array([1], np.int32),
            }
        version = served["version"]
        if seen[-1] == ("scores", 1):
            served["version"] = 2  # after the first batch
        step = advance(steps, Answer(outputs=outputs, version=version))
    found = step.result
    assert found.prediction.version == 2
    assert {version for name, version in seen[-found.calls :]} == {2}
    names = [name for name, _ in seen]
    assert names.count("spec") == 2
    assert names.count("serving_default") >= 2


def test_answers_that_break_the_contract_are_refused() -> None:
    given = prediction(impulse(*PEAK), on_the_grid(bright()))
    for logits in (None, np.zeros((16, 3), np.float32), np.full((16, 2), np.nan, np.float32)):
        steps = verify_prediction(given, Plan())
        call = advance(steps, None)
        assert isinstance(call, Call)
        outputs = {"scores": np.full((16, 2), 0.5, np.float32)}
        if logits is not None:
            outputs["logits"] = logits
        with pytest.raises(ContractError, match="logits"):
            advance(steps, Answer(outputs=outputs, version=3))


@pytest.mark.parametrize("wrong", [{"blocks": 0}, {"fill": "mean"}])
def test_plans_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="Expected"):
        Plan(**wrong)


@pytest.mark.parametrize("aggregation", [None, SliceAggregation.MAX, SliceAggregation.MEAN])
@pytest.mark.parametrize("temperature", [None, 1.7])
@pytest.mark.parametrize("kind", ["softmax", "positive", "sigmoid"])
def test_the_logit_of_a_score_is_its_logit(
    kind: str, temperature: float | None, aggregation: SliceAggregation | None
) -> None:
    model = spec() if aggregation is None else spec_of_slices(aggregation)
    model = dataclasses.replace(
        model,
        labels=("a", "b", "c"),
        activation=Activation.SIGMOID if kind == "sigmoid" else Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS
        if kind == "positive"
        else ExplainDefault.TOP_CLASS,
        calibration_temperature=temperature,
    )
    rows = np.random.default_rng(3).normal(0, 2, (1 if aggregation is None else 7, 3))
    scores = scores_of(rows, model).astype(np.float64)
    score = scores[0] if aggregation is None else aggregate(scores, model)
    np.testing.assert_allclose(1 / (1 + np.exp(-score_logits(rows, model))), score, atol=1e-6)
    far = score_logits(rows + np.array([0, 500, 0]), model)[1] * (temperature or 1)
    assert 400 < far < 600  # where the score itself is 1


def test_rank_correlation_is_pearsons_of_average_ranks() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 60).astype(float), rng.integers(0, 9, 60).astype(float)

    def ranks(values: np.ndarray) -> np.ndarray:
        return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])

    found = rank_correlation(a, b)
    assert found == pytest.approx(np.corrcoef(ranks(a), ranks(b))[0, 1])
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.zeros(60)) is None
    assert rank_correlation(a[:2], b[:2]) is None


def test_plain_scans_on_another_grid(tmp_path: Path) -> None:
    """The usual case: a scan that is resampled, and whose blocks hold all of it."""
    volume = scan(PLAIN)
    found = checked(prediction(impulse(*PEAK), volume), one_logit(lesion()))
    assert found.occlusion.on_scan().shape == volume.shape
    assert found.write(tmp_path).picture.stat().st_size > 0


def test_parts_take_their_surroundings_and_the_rest_the_median() -> None:
    values = np.full((8, 10, 12), -850.0)
    values[:, :, :2] = 40  # most of the rest is lung; the wall is far off
    values[4:6, 6:8, 8:10] = 30
    calls: list[Call] = []
    found = checked(
        prediction(impulse(*PEAK), on_the_grid(values)),
        one_logit(lesion()),
        calls,
        fill="surroundings",
    )
    asked = np.concatenate([call.inputs["volume"] for call in calls])[..., 0]
    whole, marked, rest = asked[:3]
    hidden = marked != whole
    assert hidden.any()
    assert (np.abs(marked[hidden] + 850) < 100).all()
    assert set(rest[rest != whole]) == {found.fill} == {np.median(values)}
    assert found.fill_kind == "surroundings"
