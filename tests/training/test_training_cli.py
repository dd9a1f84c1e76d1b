"""`vcam-train` as a user runs it, from training to a prediction of the served model."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vcam_client import Client, ModelSpec, read_volume
from vcam_client.spec import Activation, ExplainDefault
from vcam_serving import EmbeddedServer
from vcam_serving.verify import SPEC_FILE
from vcam_training import _cli
from vcam_training._cli.run import INTERRUPTED
from vcam_training.run_folder import read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

VCAM_TRAIN = Path(sys.executable).with_name("vcam-train")
RUNS, MODELS = Path("build/runs"), Path("build/models")


def vcam_train(*arguments: str, cwd: Path) -> int:
    """Exit code of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["vcam-train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
    return stopped.value.code or 0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def solids(work: Path) -> Path:
    """The exported version of a tiny run, all folders by default."""
    assert vcam_train("run", "solids", "--tiny", cwd=work) == 0
    assert vcam_train("export", str(RUNS / "solids-tiny"), cwd=work) == 0
    return work / MODELS / "solids" / "1"


@pytest.fixture(scope="module")
def ct_phantom(work: Path) -> Path:
    """The same for phantoms, the folders named."""
    out, data, base = (str(work / name) for name in ("ct run", "ct data", "build/models/chest"))
    assert vcam_train("run", "ct-phantom", "--tiny", "--out", out, "--data", data, cwd=work) == 0
    assert vcam_train("export", out, "--to", base, cwd=work) == 0
    return Path(base) / "1"


@pytest.fixture(scope="module")
def server(solids: Path, ct_phantom: Path):
    assert solids.parent.parent == ct_phantom.parent.parent
    with EmbeddedServer(solids.parent.parent, port=0, rest_port=0) as running:
        yield running


def spec_of(version: Path) -> ModelSpec:
    return ModelSpec.from_json((version / SPEC_FILE).read_text())


def test_folders_by_default(work: Path, solids: Path) -> None:
    assert (work / RUNS / "solids-tiny" / "metrics.json").exists()
    assert (solids / "saved_model.pb").exists()
    assert not (work / "build/data").exists()  # solids are made in memory


def test_folders_by_name(work: Path, ct_phantom: Path) -> None:
    (data,) = (work / "ct data").iterdir()
    assert (data / "index.jsonl").exists()
    assert (ct_phantom / "saved_model.pb").exists()


def test_a_second_run_and_export(work: Path, solids: Path, capfd) -> None:
    assert vcam_train("run", "solids", "--tiny", cwd=work) == 0
    said = capfd.readouterr()
    assert "is finished; nothing to do" in said.out
    assert said.out.rstrip().endswith(f"Next: vcam-train export {RUNS / 'solids-tiny'}")
    assert said.err == ""
    assert vcam_train("export", str(RUNS / "solids-tiny"), "--to", "again/solids", cwd=work) == 0
    assert vcam_train("export", str(RUNS / "solids-tiny"), "--to", "again/solids", cwd=work) == 0
    said = capfd.readouterr()
    assert f"Exported and verified: {work / 'again/solids/2'}" in said.out
    assert "Next: vcam-serve again" in said.out
    assert sorted(p.name for p in (work / "again/solids").iterdir()) == ["1", "2"]


def test_the_spec_of_solids(work: Path, solids: Path) -> None:
    spec = spec_of(solids)
    assert (spec.name, spec.labels) == ("solids", ("sphere", "octahedron"))
    assert (spec.activation, spec.explain_default) == (Activation.SOFTMAX, ExplainDefault.TOP_CLASS)
    assert (spec.grid.shape, spec.grid.axes) == ((15, 15, 15), ())
    assert spec.intensity.dtype == "float32"
    assert spec.licence == "Apache-2.0"
    assert "Tests and teaching" in spec.intended_use


def test_the_spec_of_the_phantoms(ct_phantom: Path) -> None:
    spec = spec_of(ct_phantom)
    assert (spec.name, spec.labels) == ("chest", ("no consolidation", "consolidation"))
    assert spec.explain_default is ExplainDefault.POSITIVE_CLASS
    assert (spec.grid.shape, spec.grid.axes) == ((12, 16, 16), ("S", "P", "L"))
    assert spec.grid.spacing_mm == (20.0, 20.0, 20.0)
    assert spec.grid.padding_value == spec.intensity.window[0]
    assert (spec.intensity.units, spec.intensity.dtype) == ("HU", "int16")
    assert spec.intensity.modalities == ("CT",)


def test_the_spec_says_where_the_model_comes_from(work: Path, solids: Path) -> None:
    run = work / RUNS / "solids-tiny"
    provenance, data = spec_of(solids).provenance, read_finished(run, "data.json")
    assert (provenance.data_set, provenance.data_sha256) == ("solids", data["sha256"])
    assert len(provenance.data_sha256) == 64
    assert json.loads(provenance.config) == json.loads((run / "config.json").read_text())
    assert provenance.code_version
    assert {"keras", "tensorflow", "python"} <= set(provenance.library_versions)
    assert provenance.created_at == read_finished(run, "metrics.json")["finished_at"]


def test_the_spec_holds_held_out_figures_with_intervals(work: Path, solids: Path) -> None:
    spec = spec_of(solids)
    figures = read_finished(work / RUNS / "solids-tiny", "metrics.json")
    metrics = {metric.name: metric for metric in spec.metrics}
    assert list(metrics) == [metric["name"] for metric in figures["metrics"]]
    for name in ("accuracy", "pointing, within one cell", "pointing, inside"):
        metric = metrics[name]
        assert metric.lower <= metric.value <= metric.upper
        assert (metric.count, metric.split) == (8, "test")
    assert metrics["pointing, inside"].chance < metrics["pointing, within one cell"].chance
    reference = spec.default_layer.reference_maximum
    assert reference == pytest.approx(figures["levels"]["gradcam"]["reference_maximum"])
    assert spec.calibration_temperature == figures["calibration"]["temperature"]


def test_layers_and_method_by_choice(work: Path, solids: Path, capfd) -> None:
    """Repeated and with commas; the first layer and the method are the default."""
    chosen = ["--layer", "relu1,last", "--layer", "relu1+relu2", "--method", "hirescam"]
    out = str(RUNS / "solids-tiny")
    assert vcam_train("export", out, "--to", "other/solids", *chosen, cwd=work) == 0
    said = capfd.readouterr().out
    assert "Default: hirescam on relu1\n" in said
    assert "`vcam-train trust` measures levels and figures of relu1, relu1+relu2." in said
    spec = spec_of(work / "other/solids/1")
    assert [layer.name for layer in spec.cam_layers] == ["relu1", "relu2", "relu1+relu2"]
    assert (spec.default_explanation.method, spec.default_layer.name) == ("hirescam", "relu1")
    assert spec.default_layer.reference_maximum is None
    assert "accuracy" in [metric.name for metric in spec.metrics]
    assert "pointing, inside" not in [metric.name for metric in spec.metrics]


def test_a_served_run_explains_a_phantom(work: Path, ct_phantom: Path, server) -> None:
    (data,) = (work / "ct data").iterdir()
    with Client(server.address) as client:
        assert client.spec("chest").spec == spec_of(ct_phantom)
        for name in ("test_0000", "test_0001"):
            scan = data / f"{name}.nii.gz"
            prediction = client.predict(scan, model="chest")
            assert prediction.scores.sum() == pytest.approx(1, abs=1e-6)
            assert prediction.class_index == 1
            assert prediction.cam.shape == spec_of(ct_phantom).default_layer.cells
            written = prediction.write(work / "results")
            heatmap = nib.load(written.heatmap)
            assert heatmap.shape == read_volume(scan).shape
            np.testing.assert_allclose(heatmap.affine, read_volume(scan).affine, atol=1e-5)


def test_a_served_run_scores_as_its_network_does(work: Path, solids: Path, server) -> None:
    import keras

    from vcam_training.data.phantoms.solids import generate

    run = work / RUNS / "solids-tiny"
    network = keras.models.load_model(run / "best.keras")
    made = generate(3, size=15, seed=5).volumes
    logits = np.asarray(network(made[..., None], training=False), np.float64)
    logits /= read_finished(run, "metrics.json")["calibration"]["temperature"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with Client(server.address) as client:
        for number, volume in enumerate(made):
            stored = nib.Nifti1Image(volume.T, np.eye(4))  # the model's axes are k, j, i
            nib.save(stored, work / f"solid{number}.nii.gz")
            prediction = client.predict(work / f"solid{number}.nii.gz", model="solids")
            np.testing.assert_allclose(prediction.scores, expected[number], atol=1e-5)
            assert prediction.class_index == expected[number].argmax()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "solid"],
            "Expected one of the configs",
        ),
        (["run", "missing.py"], "received 'missing.py'"),
        (["run", "solids", "--set", "epoch=3"], "There is no setting 'epoch'. Choose one of"),
        (["run", "solids", "--set", "data.sizes=3"], "There is no setting 'data.sizes'"),
        (["run", "solids", "--set", "epochs.x=3"], "'epochs' has no parts"),
        (["run", "solids", "--set", "epochs"], "Expected --set key=value, received 'epochs'"),
        (["run", "solids", "--set", "epochs=few"], "epochs to be a whole number, received 'few'"),
        (["run", "solids", "--set", "optimizer=sgd"], "Set one of optimizer.name"),
        (["run", "solids", "--set", "explain_default=top"], "one of TOP_CLASS, POSITIVE_CLASS"),
        (
            ["run", "solids", "--set", "model=resnet"],
            "one of plain, residual, dense_net, vgg, fc_dense_net, application, keras_ct, received",
        ),
        (
            ["run", "solids", "--set", "data.volume_matched=maybe"],
            "true or false, received 'maybe'",
        ),
        (["run", "solids", "--set", "epochs=0"], "Expected epochs of 1 or more, received 0"),
        (["run", "solids", "--set", "data.size=9"], "at least 15 voxels"),
        (["export", "build/runs/none"], "which `vcam-train run` made, received 'build/runs/none'"),
        (["export", "build/runs/none", "--to", "models/x"], "which is not there"),
    ],
)
def test_a_mistake_is_one_message(
    tmp_path: Path, arguments: list[str], message: str, capfd
) -> None:
    assert vcam_train(*arguments, cwd=tmp_path) == 1
    said = capfd.readouterr()
    assert said.err.startswith("vcam-train: ")
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert "Traceback" not in said.err + said.out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def config(:", "line 1 of"),
        ("import nothing_at_all", "line 1 of"),
        (
            "from dataclasses import replace\nfrom vcam_training.config import load\n\n\n"
            "def config():\n    return replace(load('solids'), epohcs=3)\n",
            "line 6 of",
        ),
    ],
)
def test_a_mistake_in_a_config_of_ones_own(tmp_path: Path, text: str, message: str, capfd) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert vcam_train("run", "mine.py", cwd=tmp_path) == 1
    said = capfd.readouterr().err
    assert message in said
    assert "mine.py" in said
    assert len(said.splitlines()) == 1


def test_a_layer_that_is_not_there(work: Path, solids: Path, capfd) -> None:
    out = str(RUNS / "solids-tiny")
    assert vcam_train("export", out, "--to", "no/solids", "--layer", "conv9", cwd=work) == 1
    said = capfd.readouterr().err
    assert said.startswith("vcam-train: ")
    assert "conv9" in said
    assert not list((work / "no").rglob("*.pb"))


def test_an_unfinished_run_can_not_be_exported(work: Path, solids: Path, capfd) -> None:
    unfinished = work / "unfinished"
    unfinished.mkdir()
    config = (work / RUNS / "solids-tiny" / "config.json").read_text()
    (unfinished / "config.json").write_text(config)
    assert vcam_train("export", "unfinished", cwd=work) == 1
    assert "the same command resumes an interrupted run" in capfd.readouterr().err


def test_interrupting_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vcam_training.train.run", interrupted)
    assert vcam_train("run", "solids", "--tiny", cwd=tmp_path) == INTERRUPTED
    said = capfd.readouterr().err
    assert f"Interrupted. The same command resumes the run in {RUNS / 'solids-tiny'}." in said


def test_a_config_of_ones_own(tmp_path: Path, capfd) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from vcam_training.configs import solids\n"
        "def config():\n    return replace(solids.tiny(), name='mine', epochs=1)\n"
    )
    assert vcam_train("run", "mine.py", cwd=tmp_path) == 0
    assert (tmp_path / RUNS / "mine" / "metrics.json").exists()
    capfd.readouterr()
    assert vcam_train("run", "mine.py", "--tiny", cwd=tmp_path) == 1
    assert "found no tiny()" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["export", "run"]),
        (["run", "-h"], ["--out", "--data", "--set", "--tiny", "resumes"]),
        (["export", "--help"], ["--to", "--layer", "--method"]),
    ],
)
def test_help(tmp_path: Path, arguments: list[str], words: list[str], capsys) -> None:
    assert vcam_train(*arguments, cwd=tmp_path) == 0
    said = capsys.readouterr().out
    for word in words:
        assert word in said


def test_the_installed_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [VCAM_TRAIN, "run", "solid"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("vcam-train: Expected one of the configs")
    assert len(done.stderr.splitlines()) == 1
