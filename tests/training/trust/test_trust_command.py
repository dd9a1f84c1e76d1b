"""`vcam-train trust` as a user runs it, on a tiny exported run."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vcam_client import Client, ModelSpec
from vcam_client._text import describe_spec
from vcam_client.errors import ConfigError
from vcam_serving import EmbeddedServer
from vcam_serving.verify import MODEL_FILE, SPEC_FILE
from vcam_training import _cli, trust
from vcam_training.config import load
from vcam_training.exporting.export_run import export_run
from vcam_training.train import run
from vcam_training.trust.loading import version_folder

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
QUICK = ("--samples", "2", "--seeds", "1")


def vcam_train(*arguments: str, cwd: Path) -> int:
    """Exit code of the command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["vcam-train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            _cli.main()
    return stopped.value.code or 0


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 of a tiny run, the only one."""
    work = tmp_path_factory.mktemp("exported")
    done = run(load("solids", tiny=True), work / "run")
    return export_run(done, work / "models" / "solids")


@pytest.fixture
def version(exported: Path, tmp_path: Path) -> Path:
    """A copy of it to do things to."""
    copy = tmp_path / "models" / "solids" / "1"
    shutil.copytree(exported, copy)
    return copy


@pytest.fixture(scope="module")
def done(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command ran on the model's folder, once."""
    work = tmp_path_factory.mktemp("done")
    shutil.copytree(exported.parent, work / "models" / "solids")
    assert vcam_train("trust", "models/solids", *QUICK, cwd=work) == 0
    return work


def spec_at(version: Path) -> ModelSpec:
    return ModelSpec.from_json((version / SPEC_FILE).read_text())


def test_a_new_version_carries_the_figures(done: Path, exported: Path) -> None:
    new, old = spec_at(done / "models/solids/2"), spec_at(exported)
    assert old.trust is None
    assert new.trust is not None
    assert new.trust.summary.count("held-out scans") == 1
    assert {"Dice", "similarity, all weights random"} <= {m.name for m in new.trust.figures}
    assert new.metrics == old.metrics
    assert replace(new, trust=None, explanations=()) == replace(old, explanations=())


def test_the_old_version_is_untouched(done: Path, exported: Path) -> None:
    assert digest(done / "models/solids/1") == digest(exported)
    assert sorted(p.name for p in (done / "models/solids").iterdir()) == ["1", "2"]


def test_the_report_lies_where_it_is_said_to(done: Path) -> None:
    folder = done / "build/trust/solids/1"
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "trust.json"]
    figures = json.loads((folder / "trust.json").read_text())
    trusted = spec_at(done / "models/solids/2").trust
    assert figures["summary"] == trusted.summary
    assert [f["name"] for f in figures["figures"]] == [m.name for m in trusted.figures]


def test_the_served_model_says_so_itself(done: Path) -> None:
    with EmbeddedServer(done / "models/solids", port=0, rest_port=0) as server:
        server.wait_until_available("default")
        with Client(server.address) as client:
            served = client.spec()
    assert served.version == 2
    assert served.spec.trust == spec_at(done / "models/solids/2").trust
    said = describe_spec("default", served)
    assert served.spec.trust.summary in said
    assert "similarity, all weights random" in said
    assert "control 1" in said  # the edge detector's


def test_only_measured(version: Path, capfd) -> None:
    out = version.parents[2] / "report"
    code = vcam_train(
        "trust", str(version), *QUICK, "--no-publish", "--out", str(out), cwd=version.parents[2]
    )
    said = capfd.readouterr()
    assert code == 0
    assert (out / "report.html").exists()
    assert [p.name for p in version.parent.iterdir()] == ["1"]
    assert said.out.splitlines()[-1] == f"Report: {out / 'report.html'}"
    assert "held-out scans" in said.out.splitlines()[-2]
    assert "Randomising the weights" in said.err


def test_interrupted_while_measuring(version: Path, monkeypatch, capfd) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    work = version.parents[2]
    monkeypatch.setattr("vcam_training.trust.measuring.cascade", interrupted)
    assert vcam_train("trust", str(version), *QUICK, cwd=work) == 130
    assert "nothing was published" in capfd.readouterr().err
    assert not (work / "build").exists()
    assert [p.name for p in version.parent.iterdir()] == ["1"]


def test_interrupted_while_publishing(version: Path, exported: Path, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vcam_training.exporting.export.verify", interrupted)
    work = version.parents[2]
    assert vcam_train("trust", str(version), *QUICK, cwd=work) == 130
    assert [p.name for p in version.parent.iterdir()] == ["1"]
    assert [p.name for p in version.parents[1].iterdir()] == ["solids"]  # no staging folder
    assert digest(version) == digest(exported)


def test_the_newest_version_is_meant(version: Path) -> None:
    shutil.copytree(version, version.parent / "00012")
    (version.parent / "not-a-version").mkdir()
    assert version_folder(version.parent) == version.parent / "00012"
    assert version_folder(version) == version


def test_no_model_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="Export a run with"):
            version_folder(place)


def rewritten(version: Path, **provenance: str) -> None:
    spec = spec_at(version)
    changed = replace(spec, provenance=replace(spec.provenance, **provenance))
    (version / SPEC_FILE).write_text(changed.to_json())


def test_other_data_is_refused(version: Path) -> None:
    rewritten(version, data_sha256="0" * 64)
    with pytest.raises(ConfigError, match="the data that the model was trained on, sha256 0000"):
        trust.trust(version, samples=2, seeds=1)
    assert [p.name for p in version.parent.iterdir()] == ["1"]


def test_a_model_without_its_config_is_refused(version: Path) -> None:
    rewritten(version, config="")
    with pytest.raises(ConfigError, match="Export the run again"):
        trust.trust(version, samples=2, seeds=1)


def test_a_model_without_its_network_is_refused(version: Path) -> None:
    (version / MODEL_FILE).unlink()
    with pytest.raises(ConfigError, match=r"model\.keras"):
        trust.trust(version, samples=2, seeds=1)
