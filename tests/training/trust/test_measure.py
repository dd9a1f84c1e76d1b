"""Whole reports: what is concluded, said and written."""

import json
import re
from dataclasses import replace

import keras
import numpy as np
import pytest

from vcam_client.errors import ConfigError, OutputError
from vcam_client.spec import Explanation
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.evaluation.evaluate import evaluate
from vcam_training.trust import measure, write
from vcam_training.trust.figures import (
    DELETION_GAIN,
    NEAR,
    RANDOMISED,
    SILENT_NEGATIVES,
    SILENT_POSITIVES,
)


@pytest.fixture(scope="module")
def trained(deep_model, squares) -> keras.Model:
    """Knows squares from noise, and was taught so in a few seconds."""
    model = keras.models.clone_model(deep_model)
    split = squares(400, 2)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.01
    keras.utils.set_random_seed(1)
    model.fit(split.volumes[..., None], split.labels, epochs=8, batch_size=20, verbose=0)
    return model


@pytest.fixture(scope="module")
def report(trained, spec_of, squares):
    return measure(trained, spec_of(trained), squares(60, 3), squares(60, 4), samples=16)


def test_a_model_that_learned_passes(report) -> None:
    assert report.depends_on_weights is True
    assert report.checks[0].passed is True
    near = report.figure(NEAR)
    assert near.value > 0.8 > near.control
    assert near.count == report.scans == 30
    assert report.figure(DELETION_GAIN).lower > 0
    assert report.figure(DELETION_GAIN).count == report.samples == 16
    assert report.figure(SILENT_NEGATIVES).value > report.figure(SILENT_POSITIVES).value


def test_each_figure_has_its_interval_and_is_named_once(report) -> None:
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names)
    for figure in report.figures:
        assert figure.lower <= figure.value <= figure.upper, figure.name
        assert figure.meaning.endswith(".")


def test_the_figures_of_a_run_are_the_same(report, trained, spec_of, squares) -> None:
    """Training measures pointing, Dice and energy for itself."""
    layer = spec_of(trained).default_layer
    contract = DataContract(
        labels=("nothing", "object"),
        grid=spec_of(trained).grid,
        intensity=spec_of(trained).intensity,
    )
    run = evaluate(trained, layer, contract, squares(60, 3), squares(60, 4)).evaluation
    known = {metric.name: metric for metric in run.metrics}
    same = {
        NEAR: NEAR,
        "pointing, inside": "pointing, inside",
        "Dice": "mean Dice, at threshold",
        "IoU": "mean IoU, at threshold",
        "energy inside": "energy inside",
    }
    for ours, theirs in same.items():
        assert report.figure(ours).value == pytest.approx(known[theirs].value, abs=1e-6), ours
        assert report.figure(ours).control == pytest.approx(known[theirs].chance, abs=1e-6), ours
    assert report.figure(SILENT_POSITIVES).value == known["positives without evidence"].value
    assert report.figure(SILENT_NEGATIVES).value == known["negatives without evidence"].value


def test_what_travels_with_the_model(report) -> None:
    trust = report.trust
    assert trust.summary == report.summary
    assert trust.signature == "gradcam"
    assert trust.depends_on_weights is True
    assert [m.name for m in trust.figures] == [f.name for f in report.figures]
    metric = next(m for m in trust.figures if m.name == NEAR)
    assert (metric.split, metric.chance) == ("test", report.figure(NEAR).control)


def test_missing_levels_are_filled_in_and_known_ones_stay(
    report, trained, spec_of, squares
) -> None:
    (filled,) = report.spec.explanations
    assert filled == report.explanation
    assert filled.reference_maximum > filled.evidence_minimum > 0
    assert 0 < filled.threshold < 1
    spec = spec_of(trained)
    known = Explanation(
        signature="gradcam", method="gradcam", layer=spec.default_layer.name, threshold=0.35
    )
    spec = replace(spec, explanations=(known,))
    again = measure(trained, spec, squares(20, 3), squares(20, 4), samples=2, seeds=1)
    assert again.explanation.threshold == 0.35
    assert again.explanation.reference_maximum is not None


def test_the_summary_is_one_line(report) -> None:
    near = report.figure(NEAR)
    assert report.summary.startswith("Maps checked on 30 held-out scans: strongest point within")
    assert "\n" not in report.summary
    assert report.summary.endswith("they change when the weights are randomised.")
    assert f"{100 * near.value:.0f}" in report.summary


def test_a_map_that_ignores_the_weights_is_warned_of_first(
    weightless_model, spec_of, squares
) -> None:
    found = measure(
        weightless_model, spec_of(weightless_model), squares(20, 3), squares(20, 4), samples=8
    )
    assert found.depends_on_weights is False
    assert found.summary.startswith("Warning: The maps hardly change when all weights are random")
    assert not found.summary.endswith("when the weights are randomised.")
    assert found.figure(RANDOMISED).value == pytest.approx(1)


def test_objects_that_hiding_paints(weightless_model, spec_of) -> None:
    """Dark scans with few bright pixels of noise: their median is as bright as an object."""
    rng = np.random.default_rng(0)
    volumes = np.where(rng.random((24, 16, 16)) < 0.55, 0.9, 0.0).astype(np.float32)
    masks = np.zeros(volumes.shape, bool)
    masks[1::2, 4:8, 4:8] = True
    volumes[masks] = 1.0
    split = Split(volumes=volumes, labels=np.arange(24, dtype=np.int32) % 2, masks=masks)
    steep = keras.models.clone_model(weightless_model)
    steep.set_weights([*weightless_model.get_weights()[:-2], np.array([[40.0]]), np.array([-20.0])])
    found = measure(steep, spec_of(steep), split, split, samples=8, seeds=1)
    check = next(check for check in found.checks if check.name.startswith("hiding and showing"))
    assert check.passed is None
    assert "Deletion and insertion can't tell" in found.summary


def test_without_masks(trained, spec_of, squares) -> None:
    def bare(split: Split) -> Split:
        return replace(split, masks=np.zeros_like(split.masks))

    found = measure(
        trained, spec_of(trained), bare(squares(20, 3)), bare(squares(20, 4)), samples=8, seeds=2
    )
    assert "pointing" not in " ".join(figure.name for figure in found.figures)
    assert "hiding what they mark lowers the area under the score" in found.summary
    assert found.scans == 10  # the positive ones
    json.dumps(found.to_json_dict(), allow_nan=False)


def test_maps_of_zeros_give_finite_figures(deep_model, spec_of, squares, tmp_path) -> None:
    silent = keras.models.clone_model(deep_model)
    silent.set_weights([np.zeros_like(w) for w in deep_model.get_weights()])
    found = measure(silent, spec_of(silent), squares(12, 3), squares(12, 4), samples=4, seeds=1)
    json.dumps(found.to_json_dict(), allow_nan=False)
    assert found.figure(NEAR).value == 0  # a map of zeros points nowhere
    assert found.figure(DELETION_GAIN).value == 0
    assert found.summary.startswith("Warning: ")
    write(found, tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_same_seed_gives_the_same_report(trained, spec_of, squares) -> None:
    first, second = (
        measure(trained, spec_of(trained), squares(12, 3), squares(12, 4), samples=4, seeds=2)
        for _ in range(2)
    )
    assert first.figures == second.figures
    assert first.weight_curves == second.weight_curves


def test_progress_is_told(trained, spec_of, squares) -> None:
    said: list[str] = []
    measure(
        trained,
        spec_of(trained),
        squares(8, 3),
        squares(8, 4),
        samples=2,
        seeds=1,
        report=said.append,
    )
    assert "Randomising the weights" in said
    assert "Comparing maps with masks" in said


@pytest.mark.parametrize("wrong", [{"samples": 1}, {"seeds": 0}])
def test_too_little_is_refused(trained, spec_of, squares, wrong) -> None:
    with pytest.raises(ConfigError, match="at least 2 samples and 1 seed"):
        measure(trained, spec_of(trained), squares(8, 3), squares(8, 4), **wrong)


def test_no_scan_to_explain_is_refused(trained, spec_of, squares) -> None:
    negatives = squares(8, 4)
    only = Split(
        volumes=negatives.volumes[::2], labels=negatives.labels[::2], masks=negatives.masks[::2]
    )
    with pytest.raises(ConfigError, match="show a class or finding"):
        measure(trained, spec_of(trained), squares(8, 3), only)


def test_the_page_needs_nothing_beside_it(report, tmp_path) -> None:
    write(report, tmp_path / "new" / "folder", "3")
    page = (tmp_path / "new" / "folder" / "report.html").read_text(encoding="utf-8")
    assert report.summary in page
    assert "known, version 3" in page
    for figure in report.figures:
        assert figure.name in page
    assert not re.search(r"https?:|<link|<script|url\(|@import", page)
    sources = re.findall(r'src="([^"]{0,30})', page)
    assert len(sources) == 3 + len(report.examples)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert 0 < sum(one.right for one in report.examples) <= 4
    figures = json.loads((tmp_path / "new" / "folder" / "trust.json").read_text())
    assert figures["summary"] == report.summary
    assert figures["version"] == "3"
    curves = {curve["name"]: curve for curve in figures["weight_curves"]["curves"]}
    assert len(curves["edge detector"]["values"]) == len(figures["weight_curves"]["layers"])


def test_names_are_escaped(report, tmp_path) -> None:
    odd = replace(report, spec=replace(report.spec, name="<b>&"))
    write(odd, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>&" not in page.replace("<b>", "<b>", 1).split("</h1>")[0]
    assert "&lt;b&gt;&amp;" in page


def test_a_report_is_whole_or_not_there(report, tmp_path, monkeypatch) -> None:
    write(report, tmp_path, "1")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("vcam_training.trust.run.page", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(report, tmp_path, "2")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_refused(report, tmp_path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"is a file, not a folder.* with --out"):
        write(report, tmp_path / "taken")
