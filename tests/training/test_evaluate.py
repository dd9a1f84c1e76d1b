"""Accuracy, pointing and chance on models whose maps are known by construction."""

from itertools import product

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose

from vcam_client.spec import CamLayer, Metric
from vcam_training.data.dataset import Split
from vcam_training.evaluate import Evaluation, cell_distances, evaluate, maps, wilson_interval
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.receptive_field import cam_layer

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
    return evaluate(brightness, layer, CASES, CASES)


def metric(evaluation: Evaluation, name: str) -> Metric:
    (found,) = [metric for metric in evaluation.metrics if metric.name == name]
    return found


def test_accuracy(evaluation: Evaluation) -> None:
    accuracy = metric(evaluation, "accuracy")
    assert (accuracy.value, accuracy.count, accuracy.split) == (4 / 6, 6, "test")
    assert (accuracy.lower, accuracy.upper) == wilson_interval(4, 6)
    assert accuracy.chance is None


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


def test_the_reference_maximum_is_the_median_over_positives_found(
    evaluation: Evaluation, brightness: keras.Model, layer: CamLayer
) -> None:
    """The missed one and the negatives say nothing."""
    found = maps(brightness, layer, CASES.volumes[:3], CASES.labels[:3])
    assert evaluation.reference_maximum == pytest.approx(np.median(found.max(axis=(1, 2, 3))))
    unequal = split(
        (bright((1, 1, 1), 0.6), 1, LESION),
        (bright((1, 1, 1), 0.7), 1, LESION),
        (bright((1, 1, 1), 1.0), 1, LESION),
    )
    cams = maps(brightness, layer, unequal.volumes, unequal.labels)
    measured = evaluate(brightness, layer, unequal, CASES)
    assert measured.reference_maximum == pytest.approx(cams[1].max())


def test_without_objects_there_is_accuracy_alone(brightness: keras.Model, layer: CamLayer) -> None:
    empty = split((bright((0, 0, 0), 0.2), 0, None), (bright((0, 0, 0), 0.9), 1, None))
    measured = evaluate(brightness, layer, empty, empty)
    assert [m.name for m in measured.metrics] == ["accuracy"]
    assert measured.metrics[0].value == 1
    assert measured.reference_maximum is None


def test_no_reference_when_no_positive_is_found(brightness: keras.Model, layer: CamLayer) -> None:
    missed = split((bright((1, 1, 1), 0.2), 1, LESION))
    assert evaluate(brightness, layer, missed, CASES).reference_maximum is None


def test_maps_are_of_the_true_class(brightness: keras.Model, layer: CamLayer) -> None:
    volumes = np.stack([bright((1, 2, 3), 0.9)] * 2)
    negative, positive = maps(brightness, layer, volumes, np.array([0, 1], np.int32))
    assert positive.max() > 0
    assert np.unravel_index(positive.argmax(), layer.cells) == (1, 2, 3)
    assert negative.max() <= 0


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
    measured = evaluate(model, cam_layer(model), cases, cases)
    assert metric(measured, "accuracy").value == 0.5
    assert metric(measured, "pointing, inside").value == 1


def test_an_evaluation_is_written_and_read(evaluation: Evaluation) -> None:
    assert Evaluation.from_json_dict(evaluation.to_json_dict()) == evaluation


@pytest.mark.parametrize("seed", range(4))
def test_cell_distances_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = CamLayer(name="x", cells=(3, 4, 5), offset=(2.5, 1.0, 0.5), stride=(3.0, 2.0, 2.0))
    mask = box((2, 3, 1), (6, 6, 5)) & (rng.random(GRID) < 0.4)
    found = cell_distances(mask, layer)
    for cell in product(*map(range, layer.cells)):
        centre = np.array(layer.offset) + np.array(layer.stride) * cell
        gaps = [np.maximum(np.abs(v - centre) - 0.5, 0) / layer.stride for v in np.argwhere(mask)]
        expected = min(np.linalg.norm(gap) for gap in gaps)
        if expected <= 1:
            assert found[cell] == pytest.approx(expected)
        else:
            assert found[cell] > 1


def test_a_cells_centre_within_half_a_voxel_is_inside() -> None:
    mask = box((2, 2, 2), (3, 3, 3))
    for offset, distance in ((2.0, 0.0), (2.5, 0.0), (3.0, 0.5 / 2 * np.sqrt(3)), (4.5, np.inf)):
        layer = CamLayer(name="x", cells=(1,) * 3, offset=(offset,) * 3, stride=(2.0,) * 3)
        found = float(cell_distances(mask, layer)[0, 0, 0])
        assert found == pytest.approx(distance) if np.isfinite(distance) else found > 1


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (5, 10), (298, 300), (300, 300)])
def test_the_interval_holds_the_shares_that_the_count_does_not_contradict(
    successes: int, count: int
) -> None:
    """Wilson: at its ends, share and count are z standard errors apart."""
    for end in wilson_interval(successes, count):
        apart = abs(end - successes / count)
        assert apart == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), abs=1e-6)


def test_known_intervals() -> None:
    assert_allclose(wilson_interval(5, 10), (0.236593, 0.763407), atol=1e-6)
    assert_allclose(wilson_interval(0, 10), (0, 3.841459 / (10 + 3.841459)), atol=1e-6)
    assert_allclose(wilson_interval(300, 300), (300 / (300 + 3.841459), 1), atol=1e-6)
