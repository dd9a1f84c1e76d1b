"""Features, gradients and maps of a layer: known by hand, and as served."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import softmax

from vcam_client.errors import ConfigError
from vcam_client.spec import ExplainDefault
from vcam_serving.session import Servable
from vcam_training.cams.layers import candidates
from vcam_training.inspecting.look import look
from vcam_training.inspecting.subject import read_subject
from vcam_training.network import read_network
from vcam_training.task import Task

NAMES = ("ct", "mr", "radiograph", "slices", "regression", "findings", "bright")
GRID = (4, 6)
FACTORS = (1.0, -2.0, 0.5)
WEIGHTS = [[1.0, -1.0], [3.0, 0.5], [0.0, 8.0]]


@pytest.fixture
def subject(subject_of, known_model):
    return subject_of(known_model(GRID, FACTORS, WEIGHTS), temperature=2.0)


@pytest.fixture
def image():
    return np.random.default_rng(3).permutation(24).reshape(GRID).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_cam_and_the_scores_are_what_the_served_model_returns(golden, name) -> None:
    one = golden[name]
    low, high = one.spec.intensity.window or (0.0, 300.0)
    rng = np.random.default_rng(7)
    volume = rng.uniform(low, high, one.spec.grid.shape).astype(one.spec.intensity.dtype)
    with Servable(one.path) as served:
        answer = served.run("serving_default", {"volume": volume[None, ..., None]})
        other = served.run(
            "layercam",
            {"volume": volume[None, ..., None], "class_index": np.array([0], np.int32)},
        )
    seen = look(read_subject(one.path), volume)
    assert seen.class_index == answer["class_index"][0]
    largest = np.abs(answer["cam"]).max()
    np.testing.assert_allclose(seen.cam, answer["cam"][0], atol=1e-5 * largest)
    np.testing.assert_allclose(seen.scores, answer["scores"][0], rtol=1e-4, atol=1e-5)
    asked = look(read_subject(one.path), volume, class_index=0, method="layercam")
    np.testing.assert_allclose(
        asked.cam, other["cam"][0], atol=1e-5 * max(1e-6, np.abs(other["cam"]).max())
    )


def test_features_and_gradients_are_those_of_the_layer(subject, image) -> None:
    seen = look(subject, image)
    np.testing.assert_allclose(seen.activation, image[..., None] * np.array(FACTORS), rtol=1e-6)
    logits = (image.mean() * np.array(FACTORS)) @ np.array(WEIGHTS)
    np.testing.assert_allclose(seen.scores, softmax(logits / 2), rtol=1e-4)
    assert seen.class_index == logits.argmax() == 1
    by_hand = np.broadcast_to(np.array(WEIGHTS)[:, 1] / image.size, seen.gradient.shape)
    np.testing.assert_allclose(seen.gradient, by_hand, rtol=1e-5)
    np.testing.assert_allclose(seen.cam, (seen.activation * by_hand).sum(axis=-1), rtol=1e-4)
    assert seen.place.cells == GRID


def test_another_class_has_its_own_gradient(subject, image) -> None:
    seen = look(subject, image, class_index=0)
    np.testing.assert_allclose(seen.gradient[0, 0], np.array(WEIGHTS)[:, 0] / image.size)


def test_the_filter_by_default_adds_most_to_the_map(subject, image) -> None:
    shares = np.array(FACTORS) * np.array(WEIGHTS)[:, 1]  # −1, −1, 4
    assert look(subject, image).filter_index == shares.argmax() == 2
    assert look(subject, image, class_index=0).filter_index == 0
    chosen = look(subject, image, filter_index=1)
    assert (chosen.filter_index, chosen.is_strongest) == (1, False)


def test_percentiles_and_what_is_above_the_75th(subject, image) -> None:
    seen = look(subject, image, filter_index=0)  # the numbers 0 to 23, each once
    assert seen.percentiles == {0: 0, 25: 5.75, 50: 11.5, 75: 17.25, 100: 23}
    np.testing.assert_array_equal(seen.strong, image >= 18)
    assert seen.sums == pytest.approx([276, -552, 138])


def test_one_logit_is_two_classes_with_opposite_gradients(subject_of, known_model, image) -> None:
    model = known_model(GRID, (1.0, 2.0), [[3.0], [-1.0]])
    subject = subject_of(model, explain_default=ExplainDefault.POSITIVE_CLASS)
    positive, negative = look(subject, image), look(subject, image, class_index=0)
    assert positive.class_index == 1
    np.testing.assert_allclose(positive.gradient[0, 0], np.array([3, -1]) / 24, rtol=1e-5)
    np.testing.assert_allclose(negative.gradient, -positive.gradient)
    z = float(image.mean()) * (3 - 2)
    np.testing.assert_allclose(positive.scores, softmax([-z / 2, z / 2]), rtol=1e-4)


def test_a_regression_answers_values_and_explains_its_target(
    subject_of, known_model, image
) -> None:
    subject = subject_of(
        known_model(GRID, (1.0,), [[2.0]]),
        task=Task.REGRESSION,
        labels=("porosity",),
        explain_default=ExplainDefault.TARGET,
    )
    seen = look(subject, image)
    assert (seen.class_index, seen.activation.shape) == (0, (*GRID, 1))
    np.testing.assert_allclose(seen.scores, [2 * image.mean()], rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layer": "conv9"}, "conv9"),
        ({"filter_index": 3}, "filter of layer 'cells' from 0 to 2, received 3"),
        ({"class_index": 2}, "class from 0 to 1, received 2"),
        ({"method": "cam"}, "CAM method out of"),
    ],
)
def test_what_can_not_be_looked_at(subject, image, asked: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        look(subject, image, **asked)


def test_one_layer_at_a_time(golden) -> None:
    subject = read_subject(golden["findings"].path)
    volume = np.zeros(golden["findings"].spec.grid.shape)
    names = [candidate.layer.name for candidate in candidates(subject.model)]
    with pytest.raises(ConfigError, match=rf"single layer to look into.*of {', '.join(names)}"):
        look(subject, volume, layer="+".join(names))
    fused = replace(subject, network=replace(subject.network, explained=("+".join(names),)))
    assert look(fused, volume).place.name == names[0]


def test_mixed_precision_is_looked_at_in_float32(golden, monkeypatch, known_model) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = known_model(GRID, FACTORS, WEIGHTS)
    finally:
        keras.config.set_dtype_policy(policy)
    one = replace(read_network(golden["radiograph"].path), model=mixed)
    monkeypatch.setattr("vcam_training.inspecting.subject.read_network", lambda place: one)
    found = read_subject(golden["radiograph"].path).model
    volume = np.full((1, *GRID, 1), 1.001, np.float32)
    expected = 1.001 * np.array(FACTORS) @ np.array(WEIGHTS)
    np.testing.assert_allclose(np.asarray(found(volume))[0], expected, rtol=1e-5)
    assert np.abs(np.asarray(mixed(volume))[0] / expected - 1).max() > 1e-4


def test_a_bare_network_says_nothing_of_its_data(tmp_path, subject) -> None:
    subject.model.save(tmp_path / "bare.keras")
    with pytest.raises(ConfigError, match="says nothing about its data"):
        read_subject(tmp_path / "bare.keras")


def test_a_model_without_a_config_has_no_data(golden, tmp_path) -> None:
    subject = read_subject(golden["ct"].path)
    with pytest.raises(ConfigError, match="Expected the config of its training"):
        subject.data(tmp_path, lambda line: None)
