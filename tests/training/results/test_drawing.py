"""Curves, tables and panels with known answers."""

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose
from shapes import Shapes, shapes
from sklearn.metrics import roc_curve as reference_curve

from vcam_client.folder_writing import replace_folder
from vcam_client.spec import Fit, Grid, Intensity
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.drawing import canvas, plane_image
from vcam_training.evaluation.calibration import Fitted
from vcam_training.evaluation.evaluate import Fixed
from vcam_training.evaluation.evidence_levels import EvidenceLevels
from vcam_training.learning.history import Row
from vcam_training.results import curves
from vcam_training.results.answers import Answers
from vcam_training.results.confusion import confusions, draw_confusions
from vcam_training.results.gallery import panels
from vcam_training.results.mistakes import LEAST_CERTAIN, mistakes, percent
from vcam_training.results.roc import roc_curve

UNFITTED = Fitted(temperature=1.0, decision_threshold=None)


def answers_of(task: str, logits: np.ndarray, fitted: Fitted | None, labels: np.ndarray) -> Answers:
    split = shapes(task, len(labels), 0)
    object.__setattr__(split, "labels", labels)
    return Answers(
        name="test",
        contract=Shapes(task=task).contract,
        split=split,
        logits=logits.astype(np.float32),
        fitted=fitted,
    )


def test_the_curve_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + positive, 1)  # with ties
    alarms, found, _ = reference_curve(positive, scores, drop_intermediate=False)
    mine = roc_curve(scores, positive)
    assert_allclose(mine[0], alarms)
    assert_allclose(mine[1], found)


def test_two_classes_are_counted_by_score_and_at_the_threshold(tmp_path) -> None:
    margins = np.array([-2.0, 0.5, 1.5, -0.5, 3])
    labels = np.array([0, 0, 0, 1, 1], np.int32)
    logits = np.stack([-margins / 2, margins / 2], axis=1)
    fitted = Fitted(temperature=1.0, decision_threshold=0.7)
    tables = confusions(answers_of("two", logits, fitted, labels))
    assert [table.counts.tolist() for table in tables] == [[[1, 2], [1, 1]], [[2, 1], [1, 1]]]
    assert_allclose(tables[0].shares, [[1 / 3, 2 / 3], [1 / 2, 1 / 2]])
    draw_confusions(tmp_path / "one.png", tables, "x")
    draw_confusions(tmp_path / "other.png", tables[::-1], "x")
    assert not np.array_equal(*(imread(tmp_path / f"{n}.png") for n in ("one", "other")))


def test_without_a_mistake_the_least_certain_answers_are_shown() -> None:
    labels = np.arange(20, dtype=np.int32) % 3
    certainty = np.linspace(1, 5, 20)[::-1]
    logits = np.eye(3)[labels] * certainty[:, None]
    found = mistakes(
        answers_of("classes", logits, Fitted(temperature=1.0, decision_threshold=None), labels)
    )
    assert [one.number for one in found] == list(range(19, 19 - LEAST_CERTAIN, -1))
    assert not any(one.is_wrong for one in found)
    assert "rightly" in found[0].caption()


def test_findings_without_thresholds_are_never_wrong() -> None:
    there = np.array([[True, False, False]] * 4)
    answers = answers_of("findings", np.zeros((4, 3)), UNFITTED, there)
    assert not any(one.is_wrong for one in mistakes(answers))
    assert confusions(answers) == []


def test_a_missed_finding_says_score_and_threshold() -> None:
    there = np.array([[True, False, False], [False, True, False]])
    logits = np.array([[-2.0, -3, -3], [-3, 2, -3]])
    fitted = Fitted(temperature=1.0, decision_threshold=None, finding_thresholds=(0.5, 0.5, None))
    (one,) = mistakes(answers_of("findings", logits, fitted, there))
    assert (one.number, one.about, one.truth, one.answer) == (0, "bright", "present", "not found")
    assert one.score == pytest.approx(1 / (1 + np.exp(2)))
    said = one.caption().replace("\u00a0", " ")
    assert said == "image 0: bright is present, not found: score 11.9 %, threshold 50.0 %"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (1e-5, "under 0.1 %"),
        (0.5, "50.0 %"),
        (0.99999, "over 99.9 %"),
        (1, "100.0 %"),
    ],
)
def test_nothing_is_rounded_to_all_or_none(share: float, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == text


def test_a_plane_shows_scan_map_and_outline() -> None:
    scan = np.linspace(-100, 300, 32).reshape(4, 8)
    grey = plane_image(scan, (0.0, 200.0), 80, aspect=2.0)
    assert grey.shape == (80, 80, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert (grey[0, 0, 0], grey[-1, -1, 0]) == (0, 255)
    heat, mask = np.zeros((4, 8)), np.zeros((4, 8), bool)
    heat[1, 2], mask[2:, 5:] = 1, True
    marked = plane_image(scan, (0.0, 200.0), 80, heat=heat, mask=mask, aspect=2.0)
    changed = (marked != grey).any(axis=-1)
    assert changed[20:40, 20:30].all()  # the cell of the map
    assert not changed[:20].any()
    outline = changed & ~np.pad(np.ones((20, 10), bool), ((20, 40), (20, 50)))
    assert outline.any()
    assert not outline[:, :50].any()
    assert not outline[50:70, 60:].any()  # inside the object nothing is drawn


def test_a_folder_is_there_as_a_whole_or_not_at_all(tmp_path) -> None:
    place = tmp_path / "errors"
    replace_folder(place, lambda part: (part / "old").write_text("x"))

    def fails(part) -> None:
        (part / "new").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_folder(place, fails)
    assert [path.name for path in place.iterdir()] == ["old"]
    replace_folder(place, lambda part: (part / "new").write_text("y"))
    assert [path.name for path in place.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["errors"]


def test_a_volume_is_shown_where_its_object_is() -> None:
    """Of a volume the slice with the object, without one that of the strongest cell."""
    volume = x = keras.Input((6, 4, 4, 1))
    x = keras.layers.Conv3D(1, 1, kernel_initializer="ones", name="cells")(x)
    x = keras.layers.GlobalMaxPooling3D()(x)
    model = keras.Model(volume, keras.layers.Dense(2, kernel_initializer="ones")(x))
    layer = cam_layer(model)
    volumes = np.zeros((2, 6, 4, 4), np.float32)
    volumes[:, 4, 1, 1] = 1
    masks = np.zeros(volumes.shape, bool)
    masks[0, 2, 3, 3] = True
    split = Split(volumes=volumes, labels=np.array([0, 1], np.int32), masks=masks)
    contract = DataContract(
        labels=("a", "b"),
        grid=Grid(shape=(6, 4, 4), axes=(), fit=Fit.STRETCH),
        intensity=Intensity(window=(0.0, 1.0)),
    )
    answers = Answers(
        name="test",
        contract=contract,
        split=split,
        logits=np.array([[0, 1], [1, 0]], np.float32),
        fitted=UNFITTED,
    )
    fixed = Fixed(fitted=UNFITTED, method="gradcam", levels=EvidenceLevels())
    with_object, without = panels(model, layer, fixed, answers, mistakes(answers))
    assert np.array_equal(with_object.mask, masks[0, 2])
    assert not with_object.scan.any()  # the bright voxel is in another slice
    assert without.scan[1, 1] == 1
    assert without.heat[1, 1] == without.heat.max() > 0
    silent = Fixed(fitted=UNFITTED, method="gradcam", levels=EvidenceLevels(evidence_minimum=1e9))
    shown = panels(model, layer, silent, answers, mistakes(answers))
    assert not shown[1].heat.any()
    assert shown[1].caption.endswith("The map holds no evidence.")
    assert np.array_equal(shown[1].scan, volumes[1, 3])  # the middle


def test_one_epoch_is_one_tick(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def kept(*size: float, dpi: int):
        drawn.append(canvas(*size, dpi=dpi))
        return drawn[-1]

    monkeypatch.setattr(curves, "canvas", kept)
    row = Row(epoch=1, values={"loss": 0.5, "val_loss": 0.6}, learning_rate=1e-3, seconds=1.0)
    curves.draw_curves(tmp_path / "curves.png", [row], "loss", "one")
    assert [list(axes.get_xticks()) for axes in drawn[0].axes] == [[1], [1]]
