"""What an exported run carries: levels, calibration, figures, chosen layers and methods."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from vcam_client import ModelSpec
from vcam_client.errors import ConfigError
from vcam_client.spec import Explanation, SliceAggregation
from vcam_serving.session import Servable
from vcam_serving.verify import SPEC_FILE
from vcam_training import train
from vcam_training.cams.cam_methods import METHODS
from vcam_training.config import load, override
from vcam_training.evaluation.map_metrics import MAP_METRICS
from vcam_training.exporting.export_run import export_run, model_spec
from vcam_training.run_folder import read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

TEMPERATURE = 2.5
"""Put in place of the run's own, which may be 1."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "solids"
    return train.run(load("solids", tiny=True), out, data_folder=out.parent)


@pytest.fixture(scope="module")
def network(run: Path) -> keras.Model:
    return keras.models.load_model(run / "best.keras")


@pytest.fixture(scope="module")
def figures(run: Path) -> dict:
    return read_finished(run, "metrics.json")


def levels(explanation: Explanation) -> tuple[float | None, ...]:
    return (
        explanation.reference_maximum,
        explanation.evidence_minimum,
        explanation.threshold,
    )


def test_every_method_has_the_levels_that_the_run_measured(
    run: Path, network: keras.Model, figures: dict
) -> None:
    spec = model_spec(run, network, name="x")
    assert [e.method for e in spec.explanations] == list(METHODS)
    assert {e.layer for e in spec.explanations} == {figures["layer"]}
    for explanation in spec.explanations:
        known = figures["levels"][explanation.method]
        names = ("reference_maximum", "evidence_minimum", "threshold")
        assert levels(explanation) == tuple(known[name] for name in names)
        assert explanation.threshold is not None or known["positives"] == 0
    assert spec.default_layer.reference_maximum == spec.default_explanation.reference_maximum


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (None, "found no such file"),
        (b"", "received an empty file"),
        (b"PK\3\4", "received a file that is damaged or cut off"),
    ],
)
def test_a_run_whose_network_is_damaged_is_not_exported(
    run: Path, tmp_path: Path, content: bytes | None, received: str
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "best.keras").unlink()
    if content is not None:
        (copy / "best.keras").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        export_run(copy, tmp_path / "models")
    assert f"the best network of a run in '{copy / 'best.keras'}', {received}" in str(caught.value)
    assert "Put it back from a copy" in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_calibration_and_figures_travel_with_the_model(
    run: Path, network: keras.Model, figures: dict
) -> None:
    spec = model_spec(run, network, name="x")
    assert spec.calibration_temperature == figures["calibration"]["temperature"]
    assert spec.decision_threshold == figures["calibration"]["decision_threshold"]
    assert [m.name for m in spec.metrics] == [m["name"] for m in figures["metrics"]]
    assert spec.slice_aggregation is None


def test_several_layers_the_first_is_the_default(
    run: Path, network: keras.Model, figures: dict
) -> None:
    spec = model_spec(run, network, name="x", layers=["last", "0", "relu1+relu2"])
    assert [layer.name for layer in spec.cam_layers] == ["relu2", "relu1", "relu1+relu2"]
    assert spec.default_layer.name == figures["layer"] == "relu2"
    assert len(spec.explanations) == 3 * len(METHODS)
    for explanation in spec.explanations:
        if explanation.layer != "relu2":
            assert levels(explanation) == (None, None, None)
    assert spec.layer("relu1").reference_maximum is None
    assert (
        spec.explanation("gradcam", "relu2").reference_maximum
        == (figures["levels"]["gradcam"]["reference_maximum"])
    )
    assert len(spec.metrics) == len(figures["metrics"])


@pytest.mark.parametrize(
    ("layers", "method"), [(["relu1", "relu2"], None), ([], "layercam"), (["relu1+relu2"], None)]
)
def test_figures_of_another_default_are_left_out(
    run: Path, network: keras.Model, layers: list[str], method: str | None
) -> None:
    """But those about scores are the model's."""
    spec = model_spec(run, network, name="x", layers=layers, method=method)
    assert spec.metrics
    assert not {m.name for m in spec.metrics} & set(MAP_METRICS)
    assert spec.default_explanation.method == (method or "gradcam")


def test_another_method_has_its_own_levels(run: Path, network: keras.Model, figures: dict) -> None:
    spec = model_spec(run, network, name="x", method="layercam")
    known = figures["levels"]["layercam"]["reference_maximum"]
    assert spec.default_explanation.reference_maximum == known
    assert spec.default_layer.reference_maximum == known
    assert (
        spec.explanation("gradcam").reference_maximum
        == (figures["levels"]["gradcam"]["reference_maximum"])
    )


def test_what_is_not_there(run: Path, network: keras.Model) -> None:
    with pytest.raises(ConfigError, match="conv9"):
        model_spec(run, network, name="x", layers=["conv9"])
    with pytest.raises(ConfigError, match="out of gradcam, gradcam_plus_plus"):
        model_spec(run, network, name="x", method="cam")
    with pytest.raises(ConfigError, match="Name each layer once"):
        model_spec(run, network, name="x", layers=["last", "relu2"])


def test_the_export_says_what_was_not_measured(run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    version = export_run(run, tmp_path / "solids", layers=["last", "relu1"], report=said.append)
    assert said[0].startswith("Maps on relu2, relu1 by gradcam, ")
    assert said[1] == "Default: gradcam on relu2"
    assert "`vcam-train trust` measures levels and figures of relu1" in said[2]
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text())
    assert [layer.name for layer in spec.cam_layers] == ["relu2", "relu1"]
    said.clear()
    export_run(run, tmp_path / "plain", report=said.append)
    assert len(said) == 2


def test_served_scores_are_calibrated_and_logits_untouched(run: Path, tmp_path: Path) -> None:
    """softmax(logits / T), whatever signature answers."""
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    values = json.loads((changed / "metrics.json").read_text())
    values["calibration"]["temperature"] = TEMPERATURE
    (changed / "metrics.json").write_text(json.dumps(values))
    version = export_run(changed, tmp_path / "solids")
    volumes = np.random.default_rng(0).random((3, 15, 15, 15, 1)).astype(np.float32)
    network = keras.models.load_model(changed / "best.keras")
    logits = np.asarray(network(volumes, training=False), np.float64)
    expected = softmax(logits / TEMPERATURE, axis=1)
    assert np.abs(expected - softmax(logits, axis=1)).max() > 0.05
    with Servable(version) as served:
        answers = served.run("scores", {"volume": volumes})
        np.testing.assert_allclose(answers["scores"], expected, atol=1e-5)
        np.testing.assert_allclose(answers["logits"], logits, atol=1e-4)
        shown = served.run("serving_default", {"volume": volumes})
        np.testing.assert_allclose(shown["scores"], expected, atol=1e-5)


def test_a_run_on_images_names_its_slice_aggregation(tmp_path: Path) -> None:
    run = train.run(
        override(load("discs", tiny=True), ["epochs=1"]), tmp_path / "run", data_folder=tmp_path
    )
    version = export_run(run, tmp_path / "images")
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text())
    assert spec.grid.ndim == 2
    assert spec.slice_aggregation is SliceAggregation.NONE
    assert "accuracy" in {m.name for m in spec.metrics}


def test_other_things_do_not_lie_beside_versions(run: Path, tmp_path: Path) -> None:
    base = tmp_path / "build"
    for name in ("runs", "data", "page", "trust"):
        (base / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds other things: data, page, runs and 1 more"):
        export_run(run, base)
    assert len(list(base.iterdir())) == 4
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export_run(run, file)


def test_a_folder_of_models_is_no_folder_of_versions(run: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "solids" / "1").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds models: solids"):
        export_run(run, tmp_path / "models")
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["solids"]
