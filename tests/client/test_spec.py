"""The model spec: valid once it exists, the same after a trip through JSON."""

import dataclasses
import json
from typing import Any

import pytest
from client.stand_in import SPEC

from vcam_client import ModelSpec
from vcam_client.errors import ContractError
from vcam_client.spec import (
    CamLayer,
    Fit,
    Grid,
    Intensity,
    Metric,
    Provenance,
    Resampling,
    SliceAggregation,
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


@pytest.mark.parametrize("spec", [SPEC, FULL])
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
