"""A soil run from training to `vcam-client predict` on stacks and series."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from client.dicom_files import write_series

from vcam_client._cli import main
from vcam_client.spec import Activation, ExplainDefault, ModelSpec, SliceAggregation
from vcam_serving import EmbeddedServer
from vcam_serving.verify import SPEC_FILE
from vcam_training import train
from vcam_training.config import load, override
from vcam_training.data.soil.porous_media import PorousMedium, generate
from vcam_training.exporting.export_run import export_run
from vcam_training.learning.history import read_history
from vcam_training.run_folder import read_contract

SIZE = 24
LABEL = "1 - fraction of phase 2"


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    """int16 [slices, rows, columns], larger than the network's grid."""
    grey = generate(PorousMedium(shape=(40, SIZE, SIZE), profile=3), seed=4).grey
    return grey.astype(np.int16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cube: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("soil")
    tifffile.imwrite(folder / "soil.tif", cube, photometric="minisblack")
    settings = [f"data.series={folder / 'soil.tif'}", "data.spacing_mm=0.02", "data.targets=2"]
    config = override(load("soil_porosity", tiny=True), settings)
    return train.run(config, folder / "run", data_folder=folder)


@pytest.fixture(scope="module")
def version(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(run, tmp_path_factory.mktemp("models") / "soil")


def test_the_served_spec_is_that_of_training(run: Path, version: Path, cube: np.ndarray) -> None:
    spec = ModelSpec.from_json((version / SPEC_FILE).read_text(encoding="utf-8"))
    contract = read_contract(run)
    assert spec.intensity.band_edges == contract.intensity.band_edges
    low, high = float(cube.min()), float(cube.max())
    expected = low + (high - low) / 6 * np.array([0, 1, 2, 6])
    np.testing.assert_allclose(spec.intensity.band_edges, expected, rtol=1e-6)
    model = keras.models.load_model(run / "best.keras", compile=False)
    assert model.get_layer("bands").edges == spec.intensity.band_edges
    assert spec.labels == (LABEL,)
    assert spec.activation is Activation.IDENTITY
    assert spec.explain_default is ExplainDefault.TARGET
    assert spec.slice_aggregation is SliceAggregation.MEAN
    assert spec.grid == contract.grid


def test_figures_compare_with_the_mean(run: Path) -> None:
    metrics = {m["name"]: m for m in json.loads((run / "metrics.json").read_text())["metrics"]}
    assert metrics[f"MSE, {LABEL}"]["chance"] > 0


def test_a_stack_and_a_series_are_answered_by_the_mean_of_their_slices(
    run: Path, version: Path, cube: np.ndarray, tmp_path: Path
) -> None:
    scan = cube[5:17]
    tifffile.imwrite(tmp_path / "other.tif", scan, photometric="minisblack")
    write_series(tmp_path / "series", scan)
    model = keras.models.load_model(run / "best.keras", compile=False)
    side = read_contract(run).grid.shape[0]
    block = SIZE // side
    means = scan.reshape(len(scan), side, block, side, block).mean(axis=(2, 4))
    expected = model.predict(means[..., None].astype(np.float32), verbose=0).mean()
    with EmbeddedServer(version.parent.parent, port=0, rest_port=0) as server:
        server.wait_until_available("soil")
        for name, options in (("other.tif", ["--spacing", "0.02"]), ("series", [])):
            out = tmp_path / f"of-{name}"
            asked = ["predict", str(tmp_path / name), "--model", "soil", "--json", *options]
            done = CliRunner().invoke(main, [*asked, "--server", server.address, "--out", str(out)])
            assert done.exit_code == 0, done.output
            answer = json.loads(done.stdout)
            assert answer["scores"] == {LABEL: pytest.approx(float(expected), abs=1e-4)}
            assert list(out.glob("*_heatmap.nii.gz"))


def test_a_run_starts_from_another_targets(run: Path, tmp_path: Path) -> None:
    series = json.loads((run / "config.json").read_text())["data"]["series"]
    settings = [
        f"data.series={series}",
        "data.spacing_mm=0.02",
        "data.targets=3",
        f"start_from={run}",
        "learning_rate=1e-9",
        "epochs=1",
    ]
    lines: list[str] = []
    config = override(load("soil_porosity", tiny=True), settings)
    later = train.run(config, tmp_path / "later", data_folder=tmp_path, report=lines.append)
    assert any("layers start with the weights of" in line for line in lines)
    first, second = (
        keras.models.load_model(path / "best.keras", compile=False) for path in (run, later)
    )
    for one, other in zip(first.trainable_weights, second.trainable_weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)
    assert len(read_history(later / "history.csv")) == 1
