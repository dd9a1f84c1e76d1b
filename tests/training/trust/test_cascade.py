"""Randomised weights: a two-layer net by hand, fresh weights of every kind of layer."""

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose
from scipy import stats

from vcam_training.trust.cascade import (
    MOST_STEPS,
    TRAINED,
    cascade,
    stages,
    untrained,
    weighted_layers,
)
from vcam_training.trust.cases import Cases, positive_cases
from vcam_training.trust.checks import depends_on_weights, independent_of_weights
from vcam_training.trust.controls import edge_maps, noisy_maps
from vcam_training.trust.figures import CAM, EDGES, NOISY, cascade_curves
from vcam_training.trust.subject import Subject


@pytest.fixture
def two_layers() -> keras.Model:
    """Three channels of one pixel each, their means, two logits."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((5, 6, 1))
    x = layers.Conv2D(3, 1, activation="relu", use_bias=False, name="conv")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, name="logits")(x))


def noise(count: int, *shape: int, labels: int = 2) -> Cases:
    rng = np.random.default_rng(5)
    volumes = rng.normal(size=(count, *shape)).astype(np.float32)
    return Cases(
        volumes=volumes,
        classes=np.arange(count, dtype=np.int32) % labels,
        masks=np.zeros(volumes.shape, bool),
        numbers=np.arange(count),
    )


def by_hand(kernel: np.ndarray, dense: np.ndarray, image: np.ndarray, label: int) -> np.ndarray:
    """Grad-CAM of `two_layers`: features weighted by ∂logit/∂feature = weight / 30."""
    features = np.maximum(image[..., None] * kernel.reshape(3), 0)
    return (features * dense[:, label] / image.size).sum(axis=-1)


def test_a_two_layer_net_by_hand(two_layers, spec_of) -> None:
    cases = noise(4, 5, 6)
    subject = Subject(two_layers, spec_of(two_layers))
    found = cascade(subject, cases, {"cam": lambda cams, rng: cams}, seeds=[7, 8])
    assert found.layers == (TRAINED, "logits", "conv")
    assert found.similarity["cam"].shape == (3, 2, 4)
    kernel, dense, _ = two_layers.get_weights()
    for column, seed in enumerate((7, 8)):
        new_kernel, new_dense, _ = untrained(two_layers, seed).get_weights()
        steps = ((kernel, dense), (kernel, new_dense), (new_kernel, new_dense))
        for row, weights in enumerate(steps):
            for n, (image, label) in enumerate(zip(cases.volumes, cases.classes, strict=True)):
                before, after = (by_hand(*w, image, label) for w in (steps[0], weights))
                # float32 and float64 must not break ties apart
                pair = (before.round(6).ravel(), after.round(6).ravel())
                expected = stats.spearmanr(*pair).statistic
                measured = found.similarity["cam"][row, column, n]
                assert measured == pytest.approx(expected, abs=0.02)


def test_the_trained_model_stays_as_it_is(two_layers, spec_of) -> None:
    before = [w.copy() for w in two_layers.get_weights()]
    subject, cases = Subject(two_layers, spec_of(two_layers)), noise(2, 5, 6)
    maps = subject.maps(cases.volumes, cases.classes)
    cascade(subject, cases, {"cam": lambda cams, rng: cams}, seeds=[1])
    for old, new in zip(before, two_layers.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert np.array_equal(subject.maps(cases.volumes, cases.classes), maps)


def test_fresh_weights_of_every_layer() -> None:
    """Nested models, fixed seeds and running statistics."""
    inner = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 3, padding="same", name="conv")], name="inner"
    )
    image = x = keras.Input((4, 4, 2))
    x = inner(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalMaxPooling2D()(x)
    fixed = keras.initializers.HeNormal(seed=1)
    model = keras.Model(image, layers.Dense(2, kernel_initializer=fixed, name="logits")(x))
    model.set_weights([np.full_like(w, 7) for w in model.get_weights()])
    assert list(weighted_layers(model)) == ["logits", "norm", "inner/conv"]

    first, same, other = (weighted_layers(untrained(model, seed)) for seed in (1, 1, 2))
    for path in ("logits", "inner/conv"):
        kernels = [found[path].get_weights()[0] for found in (first, same, other)]
        assert np.array_equal(kernels[0], kernels[1])
        assert not np.allclose(kernels[0], kernels[2])
        assert kernels[0].std() > 0
    gamma, beta, mean, variance = first["norm"].get_weights()
    assert_allclose([gamma, beta, mean, variance], [[1] * 3, [0] * 3, [0] * 3, [1] * 3])
    assert all((w == 7).all() for w in model.get_weights())


def test_a_shared_layer_is_randomised_once() -> None:
    conv = layers.Conv2D(2, 3, padding="same", name="conv")
    image = keras.Input((4, 4, 2))
    x = layers.GlobalMaxPooling2D()(conv(conv(image)))
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    assert list(weighted_layers(model)) == ["logits", "conv"]


@pytest.mark.parametrize("count", [1, 5, MOST_STEPS, MOST_STEPS + 1, 60])
def test_first_and_last_layers_are_always_looked_at(count: int) -> None:
    found = stages(count)
    assert (found[0], found[-1]) == (0, count - 1)
    assert len(found) == min(count, MOST_STEPS)
    assert found == sorted(set(found))


def curves_of(model, spec, cases, seeds=range(6)):
    edges = edge_maps(cases.volumes, spec.cam_layers[0], spec)
    kinds = {CAM: lambda cams, rng: cams, NOISY: noisy_maps, EDGES: lambda cams, rng: edges}
    return cascade_curves(cascade(Subject(model, spec), cases, kinds, seeds=list(seeds)))


def test_the_controls_are_flagged_as_they_must_be(deep_model, spec_of, squares) -> None:
    spec = spec_of(deep_model)
    curves = curves_of(deep_model, spec, positive_cases(squares(40, 1), 2))
    assert independent_of_weights(curves[EDGES])
    assert_allclose(curves[EDGES].values, 1)
    assert not independent_of_weights(curves[NOISY])
    assert not independent_of_weights(curves[CAM])
    assert depends_on_weights(curves) is True
    assert curves[CAM].values[0] == pytest.approx(1)
    assert 0.9 < curves[NOISY].values[0] < 1


def test_a_map_that_ignores_the_weights_is_found_out(weightless_model, spec_of, squares) -> None:
    spec = spec_of(weightless_model)
    curves = curves_of(weightless_model, spec, positive_cases(squares(20, 1), 2))
    assert curves[CAM].values[-1] == pytest.approx(1)
    assert depends_on_weights(curves) is False


def test_without_edges_there_is_no_answer(deep_model, spec_of) -> None:
    cases = noise(4, 16, 16)
    cases = Cases(
        volumes=np.full_like(cases.volumes, 0.5),
        classes=cases.classes,
        masks=cases.masks,
        numbers=cases.numbers,
    )
    assert depends_on_weights(curves_of(deep_model, spec_of(deep_model), cases, [1])) is None
