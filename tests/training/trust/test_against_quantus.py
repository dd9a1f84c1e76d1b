"""The same figures as Quantus, where it supports the case.

Pointing and relevance mass work on volumes, too; pixel flipping and the randomisation of
weights reorder channels of 2-D inputs alone, and pixel flipping has one baseline for a
whole batch. Quantus 0.6 randomises a Keras model by permuting the weights of a fresh
clone, whose other layers are untrained from the start, and does not look into nested
models: its test is run here on stages that ours made.

Source: A. Hedström et al., Quantus, JMLR 24 (2023).
"""

import warnings
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import layers
from numpy.testing import assert_allclose

from vcam_client.spec import CamLayer
from vcam_training.cams.target_layer import explainer
from vcam_training.evaluation.localisation import energy_inside, heatmap_on_grid
from vcam_training.trust.cascade import cascade, untrained, weighted_layers
from vcam_training.trust.cases import Cases
from vcam_training.trust.fidelity import FRACTIONS, fidelity, replacement
from vcam_training.trust.localising import PEERS, PLACED, localise
from vcam_training.trust.similarity import rank_correlations
from vcam_training.trust.subject import Subject

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def quantus() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantus")


def plain(**options: object) -> dict[str, object]:
    """Maps as they are, and no advice."""
    return {"abs": False, "normalise": False, "disable_warnings": True, **options}


def known(*shape: int, count: int = 12) -> tuple[Cases, np.ndarray, CamLayer]:
    """Boxes at random, maps of random cells, a cell for each voxel."""
    masks = np.zeros((count, *shape), bool)
    for mask in masks:
        corner = [RNG.integers(0, n - 3) for n in shape]
        mask[tuple(slice(c, c + 3) for c in corner)] = True
    maps = RNG.normal(size=masks.shape).astype(np.float32)
    maps[: count // 2] += 3 * masks[: count // 2]
    layer = CamLayer(name="x", cells=shape, offset=(0.0,) * len(shape), stride=(1.0,) * len(shape))
    cases = Cases(
        volumes=RNG.random(masks.shape).astype(np.float32),
        classes=np.zeros(count, np.int32),
        masks=masks,
        numbers=np.arange(count),
    )
    return cases, maps, layer


@pytest.mark.parametrize("shape", [(9, 8), (6, 7, 8)])
def test_pointing_and_energy(quantus, shape) -> None:
    cases, maps, layer = known(*shape)
    heatmaps = np.stack([heatmap_on_grid(cam, shape, layer) for cam in maps])
    given = {
        "model": None,
        "x_batch": cases.volumes[:, None],
        "y_batch": cases.classes,
        "a_batch": heatmaps[:, None],
        "s_batch": cases.masks[:, None],
        "channel_first": True,
    }
    ours = localise(cases, maps, layer, cuts=dict.fromkeys((PLACED, *PEERS), 0.5))
    hits = quantus.PointingGame(**plain())(**given)
    assert 0 < sum(hits) < len(hits)
    assert (ours.distance == 0).tolist() == [bool(hit) for hit in hits]
    mass = quantus.RelevanceMassAccuracy(**plain())(**given)
    assert_allclose(ours.energy, mass, rtol=1e-5)
    assert_allclose(
        [energy_inside(h, m) for h, m in zip(heatmaps, cases.masks, strict=True)], mass, rtol=1e-5
    )


@pytest.fixture(scope="module")
def fine_model() -> keras.Model:
    """Two convolutions whose cells are the 7 × 6 pixels."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((7, 6, 1))
    for number in (1, 2):
        x = layers.Conv2D(5, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, name="logits")(x))


def test_deletion_is_pixel_flipping(quantus, fine_model, spec_of) -> None:
    """Same order, same baseline: the scores after each of our steps are the same."""
    spec = spec_of(fine_model)
    cases, _, _ = known(7, 6, count=3)
    maps = RNG.normal(size=(3, 7, 6)).astype(np.float32)
    ours = fidelity(Subject(fine_model, spec), cases, maps)
    counts = np.array([round(fraction * 42) for fraction in FRACTIONS])
    assert counts[1] == 0  # less than half a pixel: nothing is flipped yet
    for n, image in enumerate(cases.volumes):
        flipping = quantus.PixelFlipping(
            **plain(features_in_step=1, perturb_baseline=replacement(image, spec.grid))
        )
        (curve,) = flipping(
            model=fine_model,
            x_batch=image[None, ..., None],
            y_batch=cases.classes[n : n + 1],
            a_batch=maps[n][None, None],
            channel_first=False,
            softmax=True,
        )
        assert_allclose(ours.deletion[n, 2:], np.array(curve)[counts[2:] - 1], atol=1e-5)


def test_similarity_is_its_spearman(quantus) -> None:
    a, b = RNG.normal(size=(2, 6, 40)).round(1)
    expected = quantus.similarity_func.correlation_spearman(a, b, batched=True)
    assert_allclose(rank_correlations(a, b), expected, atol=1e-12)


def test_randomisation_is_its_parameter_test(quantus, fine_model, spec_of, monkeypatch) -> None:
    model = fine_model
    cases, _, _ = known(7, 6, count=5)
    subject = Subject(model, spec_of(model))
    ours = cascade(subject, cases, {"cam": lambda cams, rng: cams}, seeds=[11])

    def stages(self, order: str = "top_down", seed: int = 0):
        stage, fresh = keras.models.clone_model(model), weighted_layers(untrained(model, 11))
        stage.set_weights(model.get_weights())
        for path, layer in weighted_layers(stage).items():
            layer.set_weights(fresh[path].get_weights())
            yield path, stage

    def explain(model, inputs, targets, **_: object) -> np.ndarray:
        images = np.reshape(inputs, (-1, 7, 6, 1)).astype(np.float32)
        return explainer(model, "conv2")(images, np.asarray(targets, np.int32)).numpy()[:, None]

    kind = quantus.helpers.model.tf_model.TensorFlowModel
    monkeypatch.setattr(kind, "get_random_layer_generator", stages)
    theirs = quantus.MPRT(**plain(similarity_func=quantus.similarity_func.correlation_spearman))(
        model=model,
        x_batch=cases.volumes[..., None],
        y_batch=cases.classes,
        explain_func=explain,
        channel_first=False,
        a_batch=explain(model, cases.volumes, cases.classes),
    )
    assert list(theirs) == ["original", "logits", "conv2", "conv1"]
    assert ours.layers[1:] == ("logits", "conv2", "conv1")
    for row, name in enumerate(theirs):
        assert_allclose(ours.similarity["cam"][row, 0], theirs[name], atol=1e-3)
