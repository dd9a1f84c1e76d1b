"""Runs and exported versions are scored on their own data, on others, and on none that differ."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shapes import NAMES, KeptAside, shapes, shapes_config

from vcam_client import Client
from vcam_client.errors import ConfigError
from vcam_client.spec import Activation, ExplainDefault
from vcam_serving import EmbeddedServer
from vcam_training import train
from vcam_training._cli import cli
from vcam_training.evaluate_run import default_folder, evaluate_run
from vcam_training.exporting.export_run import export_run
from vcam_training.inspecting.subject import read_subject
from vcam_training.run_folder import read_finished

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 saves a variable by np.array(variable), which NumPy 2 would like to be otherwise.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def metrics(path: Path) -> list[dict]:
    found: list[dict] = json.loads((path / "metrics.json").read_text())["metrics"]
    return found


def assert_same(found: list[dict], expected: list[dict]) -> None:
    assert [one["name"] for one in found] == [one["name"] for one in expected]
    for name in ("value", "lower", "upper", "chance", "count"):
        pairs = [(one[name], other[name]) for one, other in zip(found, expected, strict=True)]
        for one, other in pairs:
            assert one == (None if other is None else pytest.approx(other, rel=1e-5, abs=1e-9))


@pytest.fixture(scope="module")
def kept_aside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose source can load one split alone."""
    folder = tmp_path_factory.mktemp("kept_aside")
    config = shapes_config("two", epochs=4)
    config = replace(config, data=KeptAside(task="two", noise=0.5))
    return train.run(config, folder / "run", data_folder=folder)


@pytest.fixture(scope="module")
def regression(run_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported version of the regression."""
    return export_run(run_of("regression"), tmp_path_factory.mktemp("models") / "shapes")


@pytest.mark.parametrize("task", ["classes", "findings"])
def test_on_its_own_test_split_a_run_reaches_what_it_reached(
    run_of: Callable[[str], Path], tmp_path: Path, task: str
) -> None:
    run = run_of(task)
    said: list[str] = []
    scored = evaluate_run(run, tmp_path, out=tmp_path / "out", report=said.append)
    known = read_finished(run, "metrics.json")
    assert_same(metrics(tmp_path / "out"), known["metrics"])
    assert "These are the data of its training" in said
    assert list(scored.notes) == known["notes"]
    for name in ("predictions.csv", "errors.csv", "confusion.png"):
        before, after = ((folder / name).read_bytes() for folder in (run, tmp_path / "out"))
        if name == "predictions.csv":
            rows = [row for row in before.splitlines() if not row.startswith(b"validation")]
            assert rows == after.splitlines()
        else:
            assert before == after, name


def test_nothing_is_fitted_on_the_data_under_test(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """On other data figures change, temperature and thresholds stay."""
    run = run_of("findings")
    scored = evaluate_run(run, tmp_path, settings=["data.seed=5"], out=tmp_path / "out")
    known = read_finished(run, "metrics.json")
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    for name in ("temperature", "finding_thresholds"):
        assert written["calibration"][name] == known["calibration"][name]
    assert written["calibration"]["after"] != known["calibration"]["after"]
    before = {metric["name"]: metric["value"] for metric in known["metrics"]}
    assert any(metric.value != before[metric.name] for metric in scored.metrics)


def test_other_splits_say_what_they_are(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    for split, word in (("train", "trained on these"), ("validation", "thresholds were chosen")):
        scored = evaluate_run(run_of("classes"), tmp_path, split=split, out=tmp_path / split)
        assert word in scored.notes[0]
        assert {metric.split for metric in scored.metrics} == {split}
    assert len((tmp_path / "train/predictions.csv").read_text().splitlines()) == 60 + 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.task=findings", "findings instead of classes"),
        ("data.task=two", r"labels \('nothing', 'bright'\) instead of"),
        ("data.scale=2", r"intensity.window \(-3.0, 3.0\) instead of"),
        ("epochs=3", "received 'epochs=3'. The network is trained"),
    ],
)
def test_other_data_are_refused(
    run_of: Callable[[str], Path], tmp_path: Path, setting: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_run(run_of("classes"), tmp_path, settings=[setting], out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_results_do_not_lie_in_a_run(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a run's"):
        evaluate_run(run_of("classes"), tmp_path, out=run_of("classes"))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match=r"Expected the folder .* received the file"):
        evaluate_run(run_of("classes"), file, out=tmp_path / "out")


def test_data_that_are_not_there_are_refused(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", str(run_of("classes")), "--data", str(tmp_path / "nope")]
    done = CliRunner().invoke(cli, [*arguments, "--out", str(out)])
    assert isinstance(done.exception, ConfigError)
    assert "found nothing at" in str(done.exception)
    assert not out.exists()


def test_other_data_and_settings_lie_in_another_folder(
    run_of: Callable[[str], Path], regression: Path
) -> None:
    run = run_of("classes")
    subject = read_subject(run)
    asked = [
        (None, ()),
        (None, ("data.seed=1",)),
        (None, ("data.seed=2",)),
        ("hidden/a.npz", ()),
        ("hidden/b.npz", ("data.seed=2",)),
        (None, tuple(f"data.file=folder/{number}" for number in range(50))),
    ]
    names = [default_folder(subject, "test", *one).name for one in asked]
    assert names[:5] == [
        f"{run.name}-test",
        f"{run.name}-test-data.seed=1",
        f"{run.name}-test-data.seed=2",
        f"{run.name}-test-a",
        f"{run.name}-test-b-data.seed=2",
    ]
    assert len(names[5]) < 100
    version = default_folder(read_subject(regression.parent), "train", None, ())
    assert version.name == "shapes-1-train"


def test_a_file_kept_aside_is_scored_alone(kept_aside: Path, tmp_path: Path) -> None:
    """By the command; the file has no other split."""
    file = tmp_path / "hidden"
    file.write_text("2")  # the seed of the run's own test split
    arguments = ["evaluate", str(kept_aside), "--data", str(file), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert_same(metrics(tmp_path / "out"), read_finished(kept_aside, "metrics.json")["metrics"])
    assert "accuracy: " in done.stdout
    assert "(95 % interval " in done.stdout
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in done.stdout
    assert "What was scored" in (tmp_path / "out/report.html").read_text()
    file.write_text("2 nothing bright")
    evaluate_run(kept_aside, file, out=tmp_path / "out")
    file.write_text("2 bright nothing")
    with pytest.raises(ConfigError, match="in this order, the data name bright, nothing"):
        evaluate_run(kept_aside, file, out=tmp_path / "out")
    file.write_text("2")
    with pytest.raises(ConfigError, match=r"of shape \[30\], up to 2"):
        evaluate_run(kept_aside, file, settings=["data.task=classes"], out=tmp_path / "out")


def test_an_unfinished_run_is_refused(kept_aside: Path, tmp_path: Path) -> None:
    for name in ("config.json", "data.json", "best.keras"):
        (tmp_path / name).write_bytes((kept_aside / name).read_bytes())
    with pytest.raises(ConfigError, match="Expected a finished run"):
        evaluate_run(tmp_path, tmp_path)


def test_an_exported_regression_is_scored_and_served(
    run_of: Callable[[str], Path], regression: Path, tmp_path: Path
) -> None:
    known = {
        m["name"]: m["value"]
        for m in read_finished(run_of("regression"), "metrics.json")["metrics"]
    }
    scored = evaluate_run(regression.parent, tmp_path, out=tmp_path / "out")
    for metric in scored.metrics:
        assert metric.value == pytest.approx(known[metric.name], rel=1e-4, abs=1e-6), metric.name
    by_name = {metric.name: metric for metric in scored.metrics}
    assert by_name["R², brightness"].chance is None  # a version does not say what a mean was
    assert {"scatter.png", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}
    row = (tmp_path / "out/predictions.csv").read_text().splitlines()[1].split(",")
    image = tmp_path / "scan.npy"
    np.save(image, shapes("regression", 30, 2).volumes[0])
    with (
        EmbeddedServer(regression.parent, port=0, rest_port=0) as server,
        Client(server.address) as client,
    ):
        answer = client.predict(image)
    spec = answer.spec
    assert (spec.activation, spec.explain_default) == (Activation.IDENTITY, ExplainDefault.TARGET)
    assert (spec.labels, spec.unit, spec.calibration_temperature) == (
        NAMES["regression"],
        "a.u.",
        None,
    )
    assert spec.decision_threshold is None
    explanation = spec.default_explanation
    assert (explanation.reference_maximum, explanation.evidence_minimum) == (None, None)
    assert 0 < explanation.threshold < 1
    assert {m.name for m in spec.metrics} == set(known)
    assert answer.scores == pytest.approx([float(value) for value in row[5:7]], abs=1e-5)
    assert answer.label == "brightness"
    assert answer.evidence.found
