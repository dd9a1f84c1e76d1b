"""Every experiment that comes with vcam ends served and explained, at a tiny size."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import nibabel as nib
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from numpy.typing import NDArray

from vcam_client import ModelSpec
from vcam_client._cli import main as vcam_client
from vcam_client.spec import Activation, SliceAggregation
from vcam_serving import EmbeddedServer
from vcam_serving.verify import SPEC_FILE
from vcam_training import train
from vcam_training.config import load, names
from vcam_training.data.contract import DataContract
from vcam_training.evaluation.calibration import scores_of
from vcam_training.exporting.export_run import export_run

WORLD_AXIS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
SLICES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Exported:
    """A tiny run and its version, with volumes that it has not seen."""

    run: Path
    spec: ModelSpec
    contract: DataContract
    volumes: NDArray


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def exported(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    work = tmp_path_factory.mktemp("work")

    def make(name: str) -> Exported:
        config = load(name, tiny=True)
        run = train.run(config, work / name, data_folder=work / "data")
        version = export_run(run, models / name)
        data = config.data.load(work / "data", lambda line: None)
        return Exported(
            run=run,
            spec=ModelSpec.from_json((version / SPEC_FILE).read_text()),
            contract=data.contract,
            volumes=data.test.volumes[:SLICES],
        )

    return make


@pytest.fixture
def server(models: Path) -> Iterator[Callable[[str], str]]:
    """Serves one model; gives the address."""
    started: list[EmbeddedServer] = []

    def serve(name: str) -> str:
        server = EmbeddedServer(models / name, port=0, rest_port=0).__enter__()
        started.append(server)
        server.wait_until_available("default")
        return server.address

    yield serve
    for server in started:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("name", names())
def test_an_experiment_ends_served_and_explained(
    name: str,
    exported: Callable[[str], Exported],
    server: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = exported(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    scan, volumes = write_scan(made, tmp_path)
    spacing = [] if made.contract.grid.axes else ["--spacing", "1"]
    options = ["--server", server(name), *spacing]
    done = CliRunner().invoke(vcam_client, ["predict", scan.name, *options])
    assert done.exit_code == 0, done.output

    (written,) = tmp_path.glob("*_result.json")
    result = json.loads(written.read_text())
    expected = keras_scores(made, volumes)
    assert list(result["scores"]) == list(made.spec.labels)
    np.testing.assert_allclose(list(result["scores"].values()), expected, rtol=1e-3, atol=1e-4)
    (explanation,) = result["explanations"]
    assert explanation["label"] in made.spec.labels
    assert list(tmp_path.glob("*_overlay*.png"))


def write_scan(made: Exported, folder: Path) -> tuple[Path, NDArray]:
    """A file that lies on the model's grid as it is, and the volumes that the model sees."""
    grid, volumes = made.contract.grid, made.volumes
    if grid.ndim == 2:
        whole = made.spec.slice_aggregation is not SliceAggregation.NONE
        shown = volumes if whole else volumes[:1]
        tifffile.imwrite(
            folder / "scan.tif", shown if whole else shown[0], photometric="minisblack"
        )
        return folder / "scan.tif", shown
    if not grid.axes:
        np.save(folder / "scan.npy", volumes[0])
        return folder / "scan.npy", volumes[:1]
    # Stored as [i, j, k] = the tensor's axes, last one first.
    affine = np.eye(4)
    affine[:3, :3] = 0
    spacing = grid.spacing_mm or (1.0,) * 3
    for column, (code, step) in enumerate(zip(grid.axes[::-1], spacing[::-1], strict=True)):
        affine[WORLD_AXIS[code], column] = step if code in "RAS" else -step
    nib.save(nib.Nifti1Image(volumes[0].transpose(2, 1, 0), affine), folder / "scan.nii.gz")
    return folder / "scan.nii.gz", volumes[:1]


def keras_scores(made: Exported, volumes: NDArray) -> NDArray[np.float64]:
    """What the run's own network answers, [K]."""
    model = keras.models.load_model(made.run / "best.keras", compile=False)
    logits = model.predict(volumes[..., None].astype(np.float32), verbose=0)
    if made.spec.activation is Activation.IDENTITY:
        answers = logits.astype(np.float64)
    else:
        if logits.shape[1] == 1:
            logits = np.concatenate([-logits, logits], axis=1) / 2
        exclusive = made.spec.activation is Activation.SOFTMAX
        temperature = made.spec.calibration_temperature or 1.0
        answers = scores_of(logits, temperature, exclusive=exclusive)
    return answers.mean(axis=0)
