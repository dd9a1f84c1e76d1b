"""What a run of each task leaves: figures, answers, mistakes, pictures and a page agree."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax
from shapes import NAMES, shapes, shapes_config
from sklearn.metrics import confusion_matrix, r2_score, roc_auc_score

from vcam_training.run_folder import read_finished

TASKS = ("classes", "findings", "regression")
COUNT = 30


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def answers(run: Path, split: str = "test") -> list[dict[str, str]]:
    return [row for row in rows(run / "predictions.csv") if row["split"] == split]


def columns(found: list[dict[str, str]], kind: str, task: str) -> np.ndarray:
    return np.array([[float(row[f"{kind}_{name}"]) for name in NAMES[task]] for row in found])


def figures(run: Path) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in read_finished(run, "metrics.json")["metrics"]}


def truth(task: str) -> np.ndarray:
    """Labels of the test split."""
    noise = shapes_config(task).data.noise
    return shapes(task, COUNT, 2, noise).labels


@pytest.mark.parametrize("task", TASKS)
def test_a_run_leaves_what_its_task_has(run_of: Callable[[str], Path], task: str) -> None:
    left = {path.name for path in run_of(task).iterdir()}
    common = {"predictions.csv", "errors.csv", "errors.png", "report.html", "metrics.json"}
    common.add("examples.png")
    classifier = {"confusion.png", "roc.png", "reliability.png", "errors"}
    assert common <= left
    assert classifier <= left if task != "regression" else not classifier & left
    assert ("scatter.png" in left) == (task == "regression")
    assert not [name for name in left if name.startswith(".part")]


@pytest.mark.parametrize("task", TASKS)
def test_every_answer_is_in_the_table(run_of: Callable[[str], Path], task: str) -> None:
    run = run_of(task)
    found = answers(run)
    assert len(found) == len(answers(run, "validation")) == COUNT
    assert [row["number"] for row in found] == [str(n) for n in range(COUNT)]
    assert found[3]["name"] == "image 3"
    scores = columns(found, "score", task)
    if task == "regression":
        assert np.allclose(columns(found, "truth", task), truth(task), rtol=1e-6)
        return
    temperature = read_finished(run, "metrics.json")["calibration"]["temperature"]
    logits = columns(found, "logit", task) / temperature
    expected = softmax(logits, axis=1) if task == "classes" else expit(logits)
    assert np.allclose(scores, expected, atol=1e-6)
    if task == "classes":
        assert [row["truth"] for row in found] == [NAMES[task][label] for label in truth(task)]
        assert [row["answer"] for row in found] == [NAMES[task][k] for k in scores.argmax(axis=1)]
    else:
        assert np.array_equal(columns(found, "truth", task), truth(task))


@pytest.mark.parametrize("task", TASKS)
def test_examples_are_volumes_of_the_split(run_of: Callable[[str], Path], task: str) -> None:
    volumes = shapes(task, COUNT, 2, shapes_config(task).data.noise).volumes
    found = list((run_of(task) / "examples").glob("*.npy"))
    assert found
    for path in found:
        np.testing.assert_array_equal(np.load(path), volumes[int(path.name[:5])])


@pytest.mark.parametrize("task", TASKS)
def test_figures_are_those_of_the_table(run_of: Callable[[str], Path], task: str) -> None:
    run = run_of(task)
    scores, known = columns(answers(run), "score", task), truth(task)
    found = figures(run)
    if task == "regression":
        expected = {
            f"R², {n}": r2_score(known[:, k], scores[:, k]) for k, n in enumerate(NAMES[task])
        }
        assert {"pointing, inside", "mean Dice, at threshold"} <= set(found)
        assert "positives without evidence" not in found
    else:
        there = known if task == "findings" else np.eye(3)[known]
        kept = [k for k in range(3) if there[:, k].any()]
        areas = {NAMES[task][k]: roc_auc_score(there[:, k], scores[:, k]) for k in kept}
        expected = {f"AUC, {name}": area for name, area in areas.items()}
        mean = "mean AUC" if task == "findings" else "mean AUC, one against the rest"
        expected[mean] = np.mean(list(areas.values()))
        assert {"positives without evidence", "negatives without evidence"} <= set(found)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name
        assert found[name]["lower"] <= value <= found[name]["upper"]


def test_a_finding_that_is_never_there_is_named(run_of: Callable[[str], Path]) -> None:
    run = run_of("findings")
    said = "No AUC of the finding rare: it is never there."
    assert read_finished(run, "metrics.json")["notes"] == [said]
    assert said in (run / "report.html").read_text(encoding="utf-8")
    assert "AUC, rare" not in figures(run)


def test_the_confusion_of_classes(run_of: Callable[[str], Path]) -> None:
    run = run_of("classes")
    found = answers(run)
    expected = confusion_matrix(
        [row["truth"] for row in found], [row["answer"] for row in found], labels=NAMES["classes"]
    )
    (table,) = read_finished(run, "metrics.json")["confusions"]
    assert table["labels"] == list(NAMES["classes"])
    assert table["counts"] == expected.tolist()


def test_findings_are_decided_at_their_own_thresholds(run_of: Callable[[str], Path]) -> None:
    run = run_of("findings")
    known = read_finished(run, "metrics.json")
    limits = known["calibration"]["finding_thresholds"]
    assert limits[2] is None
    scores, there = columns(answers(run), "score", "findings"), truth("findings")
    assert len(known["confusions"]) == 2
    for k, table in enumerate(known["confusions"]):
        decided = scores[:, k] >= limits[k]
        assert table["counts"] == confusion_matrix(there[:, k], decided).tolist()


def test_each_misclassified_volume_has_a_file(run_of: Callable[[str], Path]) -> None:
    run = run_of("classes")
    wrong = {row["number"]: row for row in answers(run) if row["truth"] != row["answer"]}
    assert wrong, "the run is meant to make mistakes"
    files = sorted((run / "errors").iterdir())
    assert len(files) == len(wrong)
    for file in files:
        said = json.loads(file.read_text(encoding="utf-8"))
        row = wrong[str(said["number"])]
        assert file.name == f"{said['number']:05d}-image_{said['number']}.json"
        assert (said["truth"], said["answer"]) == (row["truth"], row["answer"])
        assert said["score"] == pytest.approx(float(row[f"score_{row['answer']}"]), abs=1e-6)
        assert said["score_of_truth"] == pytest.approx(
            float(row[f"score_{row['truth']}"]), abs=1e-6
        )
        assert said["scores"].keys() == set(NAMES["classes"])
    listed = rows(run / "errors.csv")
    assert [row["number"] for row in listed] == sorted(
        wrong, key=lambda n: float(wrong[n][f"score_{wrong[n]['truth']}"])
    )


def test_each_volume_with_a_wrong_finding_has_a_file(run_of: Callable[[str], Path]) -> None:
    run = run_of("findings")
    limits = np.array(
        [
            t or np.inf
            for t in read_finished(run, "metrics.json")["calibration"]["finding_thresholds"]
        ]
    )
    scores, there = columns(answers(run), "score", "findings"), truth("findings")
    wrong = ((scores >= limits) != there) & np.isfinite(limits)
    assert wrong.any()
    files = sorted((run / "errors").iterdir())
    assert [int(file.name[:5]) for file in files] == np.flatnonzero(wrong.any(axis=1)).tolist()
    for file in files:
        said = json.loads(file.read_text(encoding="utf-8"))
        n = said["number"]
        missed = [NAMES["findings"][k] for k in np.flatnonzero(wrong[n] & there[n])]
        alarms = [NAMES["findings"][k] for k in np.flatnonzero(wrong[n] & ~there[n])]
        assert (said["missed"], said["false_alarms"]) == (missed, alarms)
    assert len(rows(run / "errors.csv")) == wrong.sum()


def test_the_errors_of_a_regression_are_listed_largest_first(run_of: Callable[[str], Path]) -> None:
    run = run_of("regression")
    listed = rows(run / "errors.csv")
    assert sorted(int(row["number"]) for row in listed) == list(range(COUNT))
    known = truth("regression")
    spread = dict(zip(NAMES["regression"], known.std(axis=0), strict=True))
    sizes = [abs(float(row["error"])) / spread[row["target"]] for row in listed]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("task", TASKS)
def test_the_page_holds_everything_and_needs_nothing(
    run_of: Callable[[str], Path], task: str
) -> None:
    run = run_of(task)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    for name in figures(run):
        assert name in page
    for told in ("shapes_net", "60 train, 30 validation, 30 test", "vcam-train export", "Squares"):
        assert told in page
    before, maps = page.split("<h2>Maps</h2>")
    shown, examples = (part.count("<figure>") for part in (before, maps))
    assert shown == min(24, max(len(rows(run / "errors.csv")), 8))
    assert 0 < examples <= 8
    embedded = page.count('src="data:image/png')
    assert embedded == shown + examples + (2 if task == "regression" else 4)
    assert str(run.parent) not in page.replace(str(run), "")


@pytest.mark.parametrize("task", TASKS)
def test_pictures_can_be_looked_at(run_of: Callable[[str], Path], task: str) -> None:
    for picture in run_of(task).glob("*.png"):
        with Image.open(picture) as opened:
            assert min(opened.size) > 150, picture.name
            assert len(opened.convert("RGB").getcolors(1 << 24)) > 20, picture.name
