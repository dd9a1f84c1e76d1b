"""Levels of maps: hand-made tables, and models whose maps are known by construction."""

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.spec import CamLayer
from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.maps import explained
from vcam_training.cams.target_layer import explain, target_layer
from vcam_training.data.dataset import Split
from vcam_training.evaluation.evidence_levels import EvidenceLevels, evidence_levels, measure
from vcam_training.evaluation.localisation import best_threshold, heatmap_on_grid
from vcam_training.evaluation.roles import roles

GRID = (8, 6)
NOTHING = np.zeros(GRID, bool)
OBJECT = np.zeros(GRID, bool)
OBJECT[2:4, 2:4] = True


def split(labels: list[int], masks: list[np.ndarray], seed: int = 0) -> Split:
    volumes = np.random.default_rng(seed).normal(size=(len(labels), *GRID)).astype(np.float32)
    return Split(volumes=volumes, labels=np.array(labels, np.int32), masks=np.stack(masks))


@pytest.mark.parametrize(
    ("positives", "negatives", "minimum"),
    [
        ([4, 9, 16], [0.5, 1], 2),  # √(1 · 4)
        ([4, 9, 16], [-1, -0.5], 1.75),  # (−.5 + 4) / 2
        ([4, 9, 16], [-8, -6], 0),  # (−6 + 4) / 2 is below 0
        ([4, 9, 16], [0.0], 2),
        (list(range(1, 101)), [29.5] * 50, 5.95),  # the cut is at 29.7, the 5 % quantile at 5.95
        ([1, 2, 3], [], None),
        ([], [1, 2], None),
        ([1, 2, 3], [1, 2, 3], None),  # not told apart
        ([1, 2], [3, 4], None),  # the wrong way round
        ([-2, -1], [-4, -3], None),  # nothing is evidence
        ([1e38, 1e39], [1e-38], 1.0),  # Grad-CAM++ grows with exp(score)
    ],
)
def test_the_evidence_minimum_of_hand_made_tables(
    positives: list[float], negatives: list[float], minimum: float | None
) -> None:
    found = evidence_levels(positives, negatives)
    assert found.evidence_minimum == (None if minimum is None else pytest.approx(minimum))
    assert (found.positives, found.negatives) == (len(positives), len(negatives))


def test_no_more_than_a_twentieth_of_the_positives_is_given_up() -> None:
    rng = np.random.default_rng(0)
    positives, negatives = rng.gamma(2, size=400), rng.gamma(1, size=400)
    minimum = evidence_levels(positives, negatives).evidence_minimum
    assert 0.04 <= (positives <= minimum).mean() <= 0.05


def test_the_reference_is_the_median_of_positives() -> None:
    found = evidence_levels([1, 5, 6], [0.5], (0.3, 0.7))
    assert found.reference_maximum == 5
    assert (found.threshold, found.threshold_dice, found.separation) == (0.3, 0.7, 1)
    assert evidence_levels([-1, -2], []).reference_maximum is None
    assert evidence_levels([], []) == EvidenceLevels()


def test_levels_are_written_and_read() -> None:
    found = evidence_levels([1, 5, 6], [0.5], (0.3, 0.7))
    assert EvidenceLevels(**found.to_json_dict()) == found


def test_roles_where_one_class_has_objects() -> None:
    given = roles(split([0, 1, 1, 0], [NOTHING, OBJECT, NOTHING, NOTHING]), 2)
    assert given.class_index.tolist() == [[0, 1], [1, -1], [1, -1], [0, 1]]
    assert given.can_be_positive.tolist() == [False, True, False, False]
    assert given.is_negative.tolist() == [True, False, False, True]


def test_roles_where_all_classes_have_objects() -> None:
    given = roles(split([0, 1, 2, 3], [OBJECT, OBJECT, NOTHING, OBJECT]), 4)
    assert given.class_index.tolist() == [[0, 1], [1, 3], [2, 3], [3, 0]]
    assert given.can_be_positive.tolist() == [True, True, False, True]
    assert given.is_negative.all()


def test_roles_without_masks() -> None:
    two = roles(split([0, 1], [NOTHING] * 2), 2)
    assert two.class_index.tolist() == [[0, 1], [1, -1]]
    assert two.can_be_positive.tolist() == [False, True]
    three = roles(split([0, 1, 2], [NOTHING] * 3), 3)
    assert three.class_index.tolist() == [[0, 1], [1, 2], [2, 0]]
    assert three.can_be_positive.all()
    assert not three.has_mask.any()


@pytest.fixture(scope="module", params=[1, 3], ids=["one logit", "three"])
def network(request: pytest.FixtureRequest) -> keras.Model:
    keras.utils.set_random_seed(0)
    volume = x = keras.Input((*GRID, 1), name="volume")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="fine")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="coarse")(x)
    x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
    return keras.Model(volume, layers.Dense(request.param)(x))


@pytest.mark.parametrize("name", ["fine", "coarse", "fine+coarse"])
def test_maps_of_all_methods_are_those_of_each(network: keras.Model, name: str) -> None:
    """19 volumes: the second batch is smaller."""
    rng = np.random.default_rng(0)
    classes = max(2, network.output_shape[-1])
    volumes = rng.normal(size=(19, *GRID)).astype(np.float32)
    asked = rng.integers(classes, size=(19, 2)).astype(np.int32)
    found = list(explained(network, name, volumes, asked))
    assert [one.index for one in found] == list(range(19))
    output = network(volumes[..., None]).numpy()
    logits = np.concatenate([-output, output], axis=1) / 2 if classes == 2 else output
    np.testing.assert_allclose([one.logits for one in found], logits, atol=1e-5)
    for method in METHODS:
        for number in range(2):
            each = explain(
                network, name, volumes[..., None], asked[:, number], method=method,
                one_logit=classes == 2,
            ).numpy()  # fmt: skip
            cams = np.stack([one.cams[method][number] for one in found])
            np.testing.assert_allclose(cams, each, atol=1e-5 * np.abs(each).max())


def test_volumes_larger_than_a_batch_are_explained_one_by_one(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = np.random.default_rng(0).normal(size=(3, *GRID)).astype(np.float32)
    asked = np.zeros((3, 1), np.int32)
    together = list(explained(network, "coarse", volumes, asked))
    monkeypatch.setattr("vcam_training.cams.maps._VOXELS_AT_ONCE", 1)
    for one, other in zip(explained(network, "coarse", volumes, asked), together, strict=True):
        np.testing.assert_allclose(one.cams["gradcam"], other.cams["gradcam"], rtol=1e-5)


def test_a_split_is_measured_as_its_parts_say(network: keras.Model) -> None:
    """Against maps of each method, class by class, of a split with every kind of volume."""
    classes = max(2, network.output_shape[-1])
    rng = np.random.default_rng(1)
    labels = rng.integers(classes, size=40).tolist()
    masks = [OBJECT if label and rng.random() < 0.7 else NOTHING for label in labels]
    data = split(labels, masks)
    place: CamLayer = target_layer(network, "fine+coarse").place
    measured = measure(network, place, data)
    right = measured.logits.argmax(axis=1) == data.labels
    positive = right & data.masks.any(axis=(1, 2))
    assert 2 <= positive.sum() < right.sum()
    others = {label: [c for c in range(1, classes) if c != label] for label in range(classes)}
    later = {k: ([c for c in v if c > k] or v or [-1])[0] for k, v in others.items()}
    other = np.array([later[label] for label in labels], np.int32)
    for method in METHODS:
        own, foreign = (
            explain(
                network, place.name, data.volumes[..., None], np.maximum(index, 0),
                method=method, one_logit=classes == 2,
            ).numpy()
            for index in (data.labels, other)
        )  # fmt: skip
        expected = evidence_levels(
            own[positive].max(axis=(1, 2)),
            foreign[other >= 0].max(axis=(1, 2)),
            best_threshold(
                (heatmap_on_grid(cam, GRID, place) for cam in own[positive]), data.masks[positive]
            ),
        )
        for name, value in expected.to_json_dict().items():
            found = getattr(measured.levels[method], name)
            assert found == (None if value is None else pytest.approx(value, rel=1e-4)), name


def test_methods_that_are_not_asked_for_are_not_computed(network: keras.Model) -> None:
    data = split([0, 1], [NOTHING, OBJECT])
    place = target_layer(network, "coarse").place
    assert list(measure(network, place, data, methods=("layercam",)).levels) == ["layercam"]
