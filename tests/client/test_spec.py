"""The model spec: valid once it exists, the same after a trip through JSON."""

import dataclasses
import json
from typing import Any

import pytest
from client.stand_in import SPEC

from vcam_client import ModelSpec
from vcam_client.errors import ContractError, InputError
from vcam_client.spec import (
    CamLayer,
    Explanation,
    Fit,
    Grid,
    Intensity,
    Metric,
    Provenance,
    Resampling,
    SliceAggregation,
    Trust,
)

FULL = dataclasses.replace(
    SPEC,
    description="d",
    licence="Apache-2.0",
    intended_use="research",
    decision_threshold=0.4,
    calibration_temperature=1.5,
    grid=Grid(
        shape=(4, 6, 8),
        axes=("I", "A", "R"),
        fit=Fit.SPACING,
        spacing_mm=(2.5, 1.0, 1.0),
        resampling=Resampling.AREA,
        padding_value=-1000,
    ),
    intensity=Intensity(
        units="HU",
        dtype="int16",
        transform="clip",
        modalities=("CT",),
        window=(-1000, 400),
        band_edges=(0.0, 1.5),
    ),
    cam_layers=(
        dataclasses.replace(
            SPEC.default_layer, reference_maximum=0.0, receptive_field=(5.0, 5.0, 5.0)
        ),
    ),
    provenance=Provenance(
        data_set="phantoms", data_sha256="ab", config="{}", library_versions={"keras": "3"}
    ),
    metrics=(
        Metric(name="accuracy", value=0.97, lower=0.95, upper=0.99, count=200, split="test"),
        Metric(name="pointing", value=1.0, chance=0.015),
    ),
)


FINE = dataclasses.replace(SPEC.default_layer, name="fine")
EXPLAINED = dataclasses.replace(
    FULL,
    cam_layers=(*FULL.cam_layers, FINE),
    explanations=(
        Explanation(signature="layercam", method="layercam", layer="conv", reference_maximum=0.0),
        Explanation(
            signature="gradcam",
            method="gradcam",
            layer="conv",
            reference_maximum=3.5,
            evidence_minimum=0.0,
            threshold=0.4,
        ),
        Explanation(signature="gradcam_fine", method="gradcam", layer="fine", evidence_minimum=2.0),
    ),
    trust=Trust(
        summary="points at lesions",
        signature="layercam",
        depends_on_weights=False,
        figures=(Metric(name="pointing", value=0.9, lower=0.8, upper=0.95, chance=0.1, count=40),),
        measured_at="2025-01-01T00:00:00Z",
    ),
)
UNTESTED = dataclasses.replace(EXPLAINED, trust=Trust(summary="", signature="gradcam"))


@pytest.mark.parametrize("spec", [SPEC, FULL, EXPLAINED, UNTESTED])
def test_json_brings_back_the_same_spec(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_json_has_original_field_names_and_prints_defaults() -> None:
    fields = json.loads(SPEC.to_json())
    assert fields["contract_version"] == 1
    assert fields["description"] == ""
    assert fields["grid"]["padding_value"] == -1000
    assert fields["cam_layers"][0]["stride"] == [2.0, 2.0, 2.0]
    assert "decision_threshold" not in fields  # unset and zero are told apart


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(shape=(4,)), "2 or 3 positive sizes"),
        (lambda: Grid(shape=(4, 4, 4), axes=("S", "P", "A")), "one each of"),
        (lambda: Grid(shape=(4, 4, 4), fit=Fit.SPACING), "3 positive spacings"),
        (lambda: Grid(shape=(4, 4, 4), spacing_mm=(1, 1, 1)), "0 positive spacings"),
        (lambda: Grid(shape=(4, 4, 4), padding_value=float("nan")), "finite padding"),
        (lambda: Intensity(dtype="uint8"), "input dtype"),
        (lambda: Intensity(window=(400, -1000)), r"window \(low, high\)"),
        (lambda: Intensity(dtype="int16", window=(-1000, 40000)), "does not fit int16"),
        (lambda: CamLayer(name="c", cells=(2,), offset=(1, 2), stride=(1,)), "one length"),
        (lambda: CamLayer(name="c", cells=(2,), offset=(1,), stride=(0,)), "positive"),
        (lambda: dataclasses.replace(SPEC, labels=("a", "a")), "distinct labels"),
        (lambda: dataclasses.replace(SPEC, cam_layers=()), "at least one CAM layer"),
        (
            lambda: dataclasses.replace(SPEC, slice_aggregation=SliceAggregation.MAX),
            "slice aggregation",
        ),
        (lambda: dataclasses.replace(SPEC, grid=Grid(shape=(4, 4))), "3 axes, the grid 2"),
    ],
)
def test_a_spec_that_contradicts_itself_can_t_exist(make: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        make()


@pytest.mark.parametrize(
    ("asked", "signature"),
    [
        ({}, "layercam"),
        ({"method": "layercam"}, "layercam"),
        ({"method": "gradcam"}, "gradcam"),
        ({"method": "gradcam", "layer": "conv"}, "gradcam"),
        ({"method": "gradcam", "layer": "fine"}, "gradcam_fine"),
        ({"method": "gradcam_fine"}, "gradcam_fine"),
        ({"layer": "conv"}, "layercam"),
    ],
)
def test_an_explanation_is_found_by_method_and_layer(asked: dict[str, str], signature: str) -> None:
    found = EXPLAINED.explanation(**asked)
    assert found.signature == signature
    assert found in EXPLAINED.explanations


@pytest.mark.parametrize(
    "asked",
    [{"method": "hirescam"}, {"layer": "fine"}, {"method": "gradcam_fine", "layer": "conv"}],
)
def test_an_explanation_that_is_not_there_names_those_that_are(asked: dict[str, str]) -> None:
    offered = "layercam on conv, gradcam on conv, gradcam on fine"
    with pytest.raises(InputError, match=f"'stand-in' has no map .* Choose one of: {offered}"):
        EXPLAINED.explanation(**asked)


def test_a_spec_without_explanations_offers_grad_cam_on_its_first_layer() -> None:
    first = FULL.cam_layers[0]
    assert FULL.default_explanation == Explanation(
        signature="gradcam",
        method="gradcam",
        layer=first.name,
        reference_maximum=first.reference_maximum,
    )
    assert FULL.explanation("gradcam", first.name) == FULL.default_explanation
    assert EXPLAINED.default_explanation.signature == "layercam"
    assert EXPLAINED.default_layer.name == "conv"


@pytest.mark.parametrize(
    "change",
    [
        {"explanations": EXPLAINED.explanations[:1] * 2},
        {"cam_layers": FULL.cam_layers},  # one of the explanations is on a layer that is gone
        {"cam_layers": (*EXPLAINED.cam_layers, FINE)},
    ],
)
def test_explanations_that_contradict_the_layers_can_t_exist(change: Any) -> None:
    with pytest.raises(ContractError, match="explanations with signatures of their own"):
        dataclasses.replace(EXPLAINED, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"reference_maximum": -1.0},
        {"reference_maximum": float("nan")},
        {"evidence_minimum": float("inf")},
        {"threshold": 0.0},
        {"threshold": 1.5},
    ],
)
def test_figures_of_an_explanation_are_checked(change: dict[str, float]) -> None:
    (name,) = change
    with pytest.raises(ContractError, match=f"'gradcam': expected .*{name}|{name}"):
        dataclasses.replace(EXPLAINED.explanations[1], **change)
