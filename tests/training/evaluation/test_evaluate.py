"""Held-out figures and chance on models whose maps are known by construction."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer, Fit, Grid, Intensity, Metric
from vcam_training.cams.perfect_map import perfect_map_dice
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explain
from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import calibrate, fit_temperature, scores_of
from vcam_training.evaluation.evaluate import ON_VALIDATION, Evaluation, evaluate
from vcam_training.evaluation.evidence_levels import measure
from vcam_training.evaluation.intervals import mean_interval, wilson_interval
from vcam_training.evaluation.localisation import energy_inside, heatmap_on_grid, overlap
from vcam_training.task import Task

GRID = (8, 8, 8)
CELL = 2
THRESHOLD = 0.5
"""Of the brightest cell of `brightness`: above it, the volume is positive."""


@pytest.fixture(scope="module")
def brightness() -> keras.Model:
    """One logit: the brightest cell of 2³ voxels (their mean) less the threshold."""
    volume = x = keras.Input((*GRID, 1), name="volume")
    x = layers.AveragePooling3D(CELL)(x)
    x = layers.Conv3D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(x)
    x = layers.GlobalMaxPooling3D()(x)
    logit = layers.Dense(1, kernel_initializer="ones", name="logit")
    model = keras.Model(volume, logit(x))
    logit.bias.assign([-THRESHOLD])
    return model


@pytest.fixture(scope="module")
def layer(brightness: keras.Model) -> CamLayer:
    found = cam_layer(brightness)
    assert (found.name, found.cells, found.offset) == ("cells", (4, 4, 4), (0.5, 0.5, 0.5))
    return found


def bright(cell: tuple[int, int, int], value: float) -> np.ndarray:
    """A volume whose only bright cell is this one."""
    volume = np.zeros(GRID, np.float32)
    volume[tuple(slice(CELL * c, CELL * c + CELL) for c in cell)] = value
    return volume


def box(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(GRID, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def split(*cases: tuple[np.ndarray, int, np.ndarray | None]) -> Split:
    nothing = np.zeros(GRID, bool)
    return Split(
        volumes=np.stack([volume for volume, _, _ in cases]),
        labels=np.array([label for _, label, _ in cases], np.int32),
        masks=np.stack([nothing if mask is None else mask for _, _, mask in cases]),
    )


LESION = box((2, 2, 2), (4, 4, 4))
"""Exactly the cell (1, 1, 1)."""
CASES = split(
    (bright((1, 1, 1), 0.9), 1, LESION),  # found, inside
    (bright((1, 1, 2), 0.9), 1, LESION),  # found, the cell beside it
    (bright((3, 3, 3), 0.9), 1, LESION),  # found, evidence elsewhere
    (bright((1, 1, 1), 0.2), 1, LESION),  # missed, but the map points at it
    (bright((0, 0, 0), 0.2), 0, None),  # right
    (bright((0, 0, 0), 0.9), 0, None),  # false alarm
)


@pytest.fixture(scope="module")
def evaluation(brightness: keras.Model, layer: CamLayer) -> Evaluation:
    return measured_of(brightness, layer, CASES, replace(CASES))


def measured_of(
    model: keras.Model, layer: CamLayer, validation: Split, test: Split, **options: str
) -> Evaluation:
    contract = DataContract(
        labels=("nothing", "lesion"),
        grid=Grid(shape=validation.volumes.shape[1:], axes=(), fit=Fit.STRETCH),
        intensity=Intensity(),
    )
    return evaluate(model, layer, contract, validation, test, **options).evaluation


def metric(evaluation: Evaluation, name: str) -> Metric:
    (found,) = [metric for metric in evaluation.metrics if metric.name == name]
    return found


def test_accuracy(evaluation: Evaluation) -> None:
    accuracy = metric(evaluation, "accuracy")
    assert (accuracy.value, accuracy.count, accuracy.split) == (4 / 6, 6, "test")
    assert (accuracy.lower, accuracy.upper) == wilson_interval(4, 6)
    assert accuracy.chance == 4 / 6  # what "lesion" for each would reach


def test_figures_of_the_validation_split_are_called_so(
    brightness: keras.Model, layer: CamLayer, evaluation: Evaluation
) -> None:
    """Where nothing was set aside, both splits are the same one."""
    found = measured_of(brightness, layer, CASES, CASES)
    assert {metric.split for metric in found.metrics} == {"validation"}
    assert found.notes == (ON_VALIDATION, *evaluation.notes)
    assert ON_VALIDATION not in evaluation.notes
    assert [m.value for m in found.metrics] == [m.value for m in evaluation.metrics]


def test_pointing_counts_each_volume_with_an_object(evaluation: Evaluation) -> None:
    inside = metric(evaluation, "pointing, inside")
    near = metric(evaluation, "pointing, within one cell")
    assert (inside.value, inside.count) == (2 / 4, 4)
    assert (near.value, near.count) == (3 / 4, 4)
    assert (near.lower, near.upper) == wilson_interval(3, 4)


def test_chance_is_what_a_random_cell_reaches(evaluation: Evaluation) -> None:
    """One of 64 cells lies inside; its 26 neighbours, 1 or less of a cell from the voxels' edge.

    A neighbour's centre is half a cell from the lesion's face, √2 / 2 from an edge and
    √3 / 2 from a corner.
    """
    assert metric(evaluation, "pointing, inside").chance == 1 / 64
    assert metric(evaluation, "pointing, within one cell").chance == 27 / 64


def test_the_ceiling_is_the_lowest_perfect_map(evaluation: Evaluation, layer: CamLayer) -> None:
    lowest = metric(evaluation, "Dice of a perfect map, lowest")
    assert lowest.value == perfect_map_dice(LESION, layer)
    assert (lowest.lower, lowest.upper, lowest.count) == (None, None, 4)


def own_cams(model: keras.Model, layer: CamLayer, cases: Split) -> np.ndarray:
    volumes = cases.volumes[..., None]
    return explain(model, layer.name, volumes, cases.labels, one_logit=True).numpy()


def test_overlap_and_energy_are_means_over_volumes_with_an_object(
    evaluation: Evaluation, brightness: keras.Model, layer: CamLayer
) -> None:
    threshold = evaluation.levels["gradcam"].threshold
    shown = [heatmap_on_grid(cam, GRID, layer) for cam in own_cams(brightness, layer, CASES)[:4]]
    overlaps = [overlap(heatmap, LESION, threshold) for heatmap in shown]
    for name, values, chances in (
        ("mean Dice, at threshold", [o.dice for o in overlaps], [o.dice_chance for o in overlaps]),
        ("mean IoU, at threshold", [o.iou for o in overlaps], [o.iou_chance for o in overlaps]),
        ("energy inside", [energy_inside(h, LESION) for h in shown], [8 / 512]),
    ):
        found = metric(evaluation, name)
        assert found.value == pytest.approx(np.mean(values))
        assert found.chance == pytest.approx(np.mean(chances))
        assert (found.count, (found.lower, found.upper)) == (4, mean_interval(values))
        assert 0 < found.value < 1


def test_the_threshold_is_validations_not_the_tests(
    brightness: keras.Model, layer: CamLayer
) -> None:
    """A heatmap of one cell is a tent: the larger the object, the lower the best threshold."""
    thresholds = []
    for low, high in ((1, 5), (2, 4)):
        lesion = box((low,) * 3, (high,) * 3)
        validation = split((bright((1, 1, 1), 0.9), 1, lesion), (bright((0, 0, 0), 0.2), 0, None))
        measured = measured_of(brightness, layer, validation, CASES)
        threshold = measured.levels["gradcam"].threshold
        assert threshold == measure(brightness, layer, validation).levels["gradcam"].threshold
        shown = [heatmap_on_grid(cam, GRID, layer) for cam in own_cams(brightness, layer, CASES)]
        dice = np.mean([overlap(heatmap, LESION, threshold).dice for heatmap in shown[:4]])
        assert metric(measured, "mean Dice, at threshold").value == pytest.approx(dice)
        thresholds.append(threshold)
    assert thresholds[0] < thresholds[1]


def test_maps_without_evidence_are_counted(brightness: keras.Model, layer: CamLayer) -> None:
    """Validation sets the level between .2 and .8, at .4."""
    validation = split(
        (bright((1, 1, 1), 0.9), 1, LESION),
        (bright((1, 1, 1), 0.8), 1, LESION),
        (bright((0, 0, 0), 0.2), 0, None),
    )
    level = measure(brightness, layer, validation).levels["gradcam"].evidence_minimum
    per_brightness = own_cams(brightness, layer, validation)[0].max() / 0.9
    assert level == pytest.approx(per_brightness * 0.4, rel=1e-4)  # √(.2 · .8)
    test = split(
        (bright((1, 1, 1), 0.9), 1, LESION),
        (bright((1, 1, 1), 0.3), 1, LESION),  # missed: not a positive
        (bright((0, 0, 0), 0.45), 0, None),  # above the level
        (bright((0, 0, 0), 0.3), 0, None),
        (bright((0, 0, 0), 0.1), 0, None),
    )
    measured = measured_of(brightness, layer, validation, test)
    positives = metric(measured, "positives without evidence")
    assert (positives.value, positives.count) == (0, 1)
    negatives = metric(measured, "negatives without evidence")
    assert (negatives.value, negatives.count) == (2 / 3, 3)
    assert (negatives.lower, negatives.upper) == wilson_interval(2, 3)


def test_scores_are_decided_at_validations_threshold(
    brightness: keras.Model, layer: CamLayer
) -> None:
    """Validation cuts between .55 and .7 although the logit changes its sign at .5."""
    validation = split(
        (bright((1, 1, 1), 0.7), 1, LESION),
        (bright((1, 1, 1), 0.9), 1, LESION),
        (bright((0, 0, 0), 0.55), 0, None),
        (bright((0, 0, 0), 0.1), 0, None),
    )
    test = split(
        (bright((1, 1, 1), 0.8), 1, LESION),
        (bright((1, 1, 1), 0.6), 1, LESION),
        (bright((1, 1, 1), 0.65), 1, LESION),
        (bright((0, 0, 0), 0.61), 0, None),
        (bright((0, 0, 0), 0.7), 0, None),
    )
    measured = measured_of(brightness, layer, validation, test)
    z = np.array([0.2, 0.4, 0.05, -0.4])
    temperature = fit_temperature(np.stack([-z / 2, z / 2], axis=1), validation.labels)
    assert measured.calibration.temperature == pytest.approx(temperature, rel=1e-4)
    low, high = (1 / (1 + np.exp(-value / temperature)) for value in (0.05, 0.2))
    assert measured.calibration.decision_threshold == pytest.approx((low + high) / 2, abs=1e-6)
    sensitivity = metric(measured, "sensitivity, at threshold")
    assert (sensitivity.value, sensitivity.count) == (2 / 3, 3)
    specificity = metric(measured, "specificity, at threshold")
    assert (specificity.value, specificity.count) == (1 / 2, 2)
    assert metric(measured, "AUC").value == 3 / 6
    assert metric(measured, "accuracy").value == 3 / 5


def test_the_calibration_error_is_that_of_calibrated_scores(
    evaluation: Evaluation, brightness: keras.Model
) -> None:
    z = np.array([0.4, 0.4, 0.4, -0.3, -0.3, 0.4])
    logits = np.stack([-z / 2, z / 2], axis=1)
    expected = calibrate(logits, CASES.labels, logits, CASES.labels)
    assert evaluation.calibration.temperature == pytest.approx(expected.temperature, rel=1e-3)
    found = metric(evaluation, "expected calibration error")
    assert found.value == pytest.approx(expected.after.error, abs=1e-4)
    assert found.lower <= found.value <= found.upper
    scores = scores_of(logits, evaluation.calibration.temperature)[:, 1]
    assert sorted({round(one.score, 4) for one in evaluation.calibration.after.bins}) == (
        pytest.approx(sorted(set(scores.round(4))), abs=2e-4)
    )


def test_without_objects_no_figure_needs_one(brightness: keras.Model, layer: CamLayer) -> None:
    empty = split((bright((0, 0, 0), 0.2), 0, None), (bright((0, 0, 0), 0.9), 1, None))
    measured = measured_of(brightness, layer, empty, empty)
    assert [m.name for m in measured.metrics] == [
        "accuracy",
        "sensitivity, at threshold",
        "specificity, at threshold",
        "AUC",
        "expected calibration error",
        "positives without evidence",
        "negatives without evidence",
    ]
    assert metric(measured, "accuracy").value == 1
    levels = measured.levels["gradcam"]
    expected = own_cams(brightness, layer, empty)[1].max()
    assert levels.reference_maximum == pytest.approx(expected)
    assert (levels.positives, levels.negatives, levels.threshold) == (1, 1, None)


def test_no_reference_when_no_positive_is_found(brightness: keras.Model, layer: CamLayer) -> None:
    missed = split((bright((1, 1, 1), 0.2), 1, LESION))
    measured = measured_of(brightness, layer, missed, CASES)
    assert measured.levels["gradcam"].reference_maximum is None
    assert measured.calibration.decision_threshold is None
    names = [m.name for m in measured.metrics]
    assert "mean Dice, at threshold" not in names
    assert "sensitivity, at threshold" not in names
    assert {"energy inside", "pointing, inside", "AUC"} <= set(names)


def test_pointing_of_many_classes() -> None:
    """Two channels, two logits: each class is lit by its own channel."""
    volume = x = keras.Input((*GRID, 1), name="volume")
    x = layers.AveragePooling3D(CELL)(x)
    conv = layers.Conv3D(2, 1, activation="relu", name="cells")
    x = layers.GlobalMaxPooling3D()(conv(x))
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(volume, dense(x))
    conv.set_weights([np.array([[[[[1, -1]]]]], np.float32), np.zeros(2, np.float32)])
    dense.set_weights([np.eye(2, dtype=np.float32)])
    both = bright((1, 1, 1), 0.9) + bright((3, 0, 0), -0.8)
    cases = split(
        (both, 0, LESION),
        (both, 1, box((6, 0, 0), (8, 2, 2))),  # its dark cell is class 1's evidence
    )
    measured = measured_of(model, cam_layer(model), cases, cases)
    assert metric(measured, "accuracy").value == 0.5
    assert metric(measured, "pointing, inside").value == 1


def test_another_method_measures_its_own_maps(brightness: keras.Model, layer: CamLayer) -> None:
    """LayerCAM leaves out what has no positive gradient: all but the brightest cell here."""
    volume = bright((1, 1, 1), 0.9) + bright((3, 3, 3), 0.8)
    cases = split((volume, 1, LESION), (bright((0, 0, 0), 0.2), 0, None))
    by_method = {
        method: measured_of(brightness, layer, cases, cases, method=method)
        for method in ("gradcam", "layercam")
    }
    assert {e.method for e in by_method.values()} == {"gradcam", "layercam"}
    energy = {k: metric(e, "energy inside").value for k, e in by_method.items()}
    assert energy["layercam"] > 1.5 * energy["gradcam"]
    assert by_method["gradcam"].levels == by_method["layercam"].levels
    with pytest.raises(ConfigError, match="CAM method"):
        measured_of(brightness, layer, cases, cases, method="cam")


def test_images_are_measured_as_volumes_are() -> None:
    """The same construction in two dimensions."""
    image = x = keras.Input((8, 8, 1), name="volume")
    x = layers.AveragePooling2D(CELL)(x)
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="cells")(x)
    x = layers.GlobalMaxPooling2D()(x)
    logit = layers.Dense(1, kernel_initializer="ones", name="logit")
    model = keras.Model(image, logit(x))
    logit.bias.assign([-THRESHOLD])
    images, masks = np.zeros((4, 8, 8), np.float32), np.zeros((4, 8, 8), bool)
    masks[:2, 2:4, 2:4] = True
    images[0, 2:4, 2:4], images[1, 6:, 6:], images[2, :2, :2] = 0.9, 0.9, 0.2
    cases = Split(volumes=images, labels=np.array([1, 1, 0, 0], np.int32), masks=masks)
    measured = measured_of(model, cam_layer(model), cases, cases)
    assert metric(measured, "accuracy").value == 1
    assert (metric(measured, "pointing, inside").value, metric(measured, "AUC").value) == (0.5, 1)
    assert metric(measured, "pointing, inside").chance == 1 / 16
    assert metric(measured, "energy inside").chance == 4 / 64


@pytest.fixture(scope="module")
def two_channels() -> keras.Model:
    """Two logits: the brightest and the darkest cell of 2² pixels, each less the threshold."""
    image = x = keras.Input((8, 8, 1), name="volume")
    x = layers.AveragePooling2D(CELL)(x)
    conv = layers.Conv2D(2, 1, activation="relu", name="cells")
    x = layers.GlobalMaxPooling2D()(conv(x))
    dense = layers.Dense(2)
    model = keras.Model(image, dense(x))
    conv.set_weights([np.array([[[[1, -1]]]], np.float32), np.zeros(2, np.float32)])
    dense.set_weights([np.eye(2, dtype=np.float32), np.full(2, -THRESHOLD, np.float32)])
    return model


def contract_of(task: Task) -> DataContract:
    return DataContract(
        task=task,
        labels=("bright", "dark"),
        grid=Grid(shape=(8, 8), axes=(), fit=Fit.STRETCH),
        intensity=Intensity(),
    )


def test_findings_are_explained_one_by_one(two_channels: keras.Model) -> None:
    """A bright cell at (1, 1), a dark one at (3, 0), both, or none."""
    images, masks = np.zeros((8, 8, 8), np.float32), np.zeros((2, 8, 8, 8), bool)
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 2, bool)
    for n, (bright_one, dark_one) in enumerate(labels):
        if bright_one:
            images[n, 2:4, 2:4] = 0.9
            masks[0, n, 2:4, 2:4] = True
        if dark_one:
            images[n, 6:, :2] = -0.8
            masks[1, n, 6:, :2] = True
    masks[1, 5] = False  # one dark object that nobody has marked
    data = Split(
        volumes=images,
        labels=labels,
        masks=np.zeros(images.shape, bool),
        finding_masks={0: masks[0], 1: masks[1]},
    )
    place = cam_layer(two_channels)
    measured = evaluate(
        two_channels, place, contract_of(Task.FINDINGS), data, replace(data)
    ).evaluation
    inside = metric(measured, "pointing, inside")
    assert (inside.value, inside.count, inside.chance) == (1, 5, 1 / 16)
    positives = metric(measured, "positives without evidence")
    assert (positives.value, positives.count) == (0, 6)
    negatives = metric(measured, "negatives without evidence")
    assert negatives.value == 1
    assert metric(measured, "mean AUC").value == 1
    assert all(threshold for threshold in measured.calibration.finding_thresholds)
    levels = measured.levels["gradcam"]
    assert (levels.positives, levels.separation) == (6, 1)
    assert levels.evidence_minimum < levels.reference_maximum
    assert measured.notes == ()


def test_findings_that_were_missed_are_no_positives(two_channels: keras.Model) -> None:
    images = np.zeros((6, 8, 8), np.float32)
    labels = np.zeros((6, 2), bool)
    labels[:3, 0] = True
    for n, value in enumerate([0.9, 0.8, 0.05, 0.1]):
        images[n, 2:4, 2:4] = value  # the third is there and hardly seen
    masks = np.zeros(images.shape, bool)
    data = Split(volumes=images, labels=labels, masks=masks)
    place = cam_layer(two_channels)
    measured = evaluate(
        two_channels, place, contract_of(Task.FINDINGS), data, replace(data)
    ).evaluation
    assert measured.levels["gradcam"].positives == 2
    assert metric(measured, "positives without evidence").count == 2
    assert measured.calibration.finding_thresholds[1] is None
    assert measured.notes == ("No AUC of the finding dark: it is never there.",)


def test_a_regression_has_figures_of_its_maps_and_no_levels(two_channels: keras.Model) -> None:
    """The first target is the brightest cell; the mask says where that is."""
    rng = np.random.default_rng(0)
    images, masks = np.zeros((12, 8, 8), np.float32), np.zeros((12, 8, 8), bool)
    values = rng.uniform(0.1, 1, (12, 2)).astype(np.float32)
    images[:, 2:4, 2:4], images[:, 6:, :2] = values[:, :1, None], -values[:, 1:, None]
    masks[:, 2:4, 2:4] = True
    labels = values - np.float32(THRESHOLD)
    data = Split(volumes=images, labels=labels, masks=masks)
    place = cam_layer(two_channels)
    evaluated = evaluate(two_channels, place, contract_of(Task.REGRESSION), data, data)
    measured = evaluated.evaluation
    assert measured.calibration is None
    assert metric(measured, "MSE, bright").value == pytest.approx(0, abs=1e-10)
    assert metric(measured, "R², dark").value == pytest.approx(1)
    assert metric(measured, "MSE, dark").chance == pytest.approx(labels[:, 1].var())
    assert measured.target_means == pytest.approx(labels.mean(axis=0))
    assert metric(measured, "pointing, inside").value == 1
    levels = measured.levels["gradcam"]
    assert (levels.reference_maximum, levels.evidence_minimum) == (None, None)
    assert levels.threshold is not None
    np.testing.assert_allclose(evaluated.logits["test"], labels, atol=1e-5)
    assert Evaluation.from_json_dict(json.loads(json.dumps(measured.to_json_dict()))) == measured
    without = Split(volumes=images, labels=labels, masks=np.zeros(images.shape, bool))
    plain = evaluate(two_channels, place, contract_of(Task.REGRESSION), data, without).evaluation
    assert {m.name.partition(",")[0] for m in plain.metrics} == {"MSE", "mean absolute error", "R²"}


def test_an_evaluation_is_written_and_read(evaluation: Evaluation) -> None:
    written = json.loads(json.dumps(evaluation.to_json_dict()))
    assert Evaluation.from_json_dict(written) == evaluation
    assert set(written["levels"]) == {"gradcam", "gradcam_plus_plus", "hirescam", "layercam"}


def test_figures_of_another_version_are_one_clear_error(evaluation: Evaluation) -> None:
    older = {"metrics": evaluation.to_json_dict()["metrics"], "reference_maximum": 1.0}
    with pytest.raises(ConfigError, match="Train it again into another folder with --out"):
        Evaluation.from_json_dict(older)
