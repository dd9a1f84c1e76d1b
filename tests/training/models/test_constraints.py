"""Mirrored kernels and centred heads, and what they do to maps."""

import keras
import numpy as np
import pytest
from keras import layers

from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explain
from vcam_training.config import load
from vcam_training.intensity import Window
from vcam_training.models import PlainCnn
from vcam_training.models.constraints import Centred, Mirrored, MirroredHeNormal


def test_a_mirrored_kernel_is_the_mean_of_its_mirror_images():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2, 4)).astype(np.float32)
    images = [kernel[::a, ::b, ::c] for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    np.testing.assert_allclose(Mirrored()(kernel), np.mean(images, axis=0), atol=1e-6)


def test_mirrored_weights_begin_as_strong_as_he_s():
    shape = (3, 3, 3, 64, 64)
    kernel = np.asarray(MirroredHeNormal(seed=1)(shape))
    np.testing.assert_allclose(Mirrored()(kernel), kernel, atol=1e-6)
    energy = (kernel**2).sum(axis=(0, 1, 2)).mean()
    assert energy == pytest.approx(2 / 64, rel=0.05)  # 27 weights of variance 2 / (27 · 64)


def test_weights_of_a_seed_come_again():
    again = MirroredHeNormal.from_config(MirroredHeNormal(seed=3).get_config())
    shape = (3, 3, 2, 2)
    np.testing.assert_array_equal(MirroredHeNormal(seed=3)(shape), again(shape))
    assert not np.array_equal(MirroredHeNormal(seed=4)(shape), again(shape))


def test_a_centred_kernel_has_nothing_common_to_all_classes():
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    centred = np.asarray(Centred()(kernel))
    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(centred - kernel, (centred - kernel)[:, :1].repeat(3, 1), atol=1e-6)


def test_the_map_of_a_mirrored_network_has_the_object_s_symmetry_and_its_logit():
    """A block of the cube's symmetry gives a map of that symmetry; its mean is the logit."""
    keras.utils.set_random_seed(2)
    network = PlainCnn(
        filters=(4, 6),
        pools=1,
        pooling="average",
        head="contrast",
        halving="average",
        mirrored=True,
    )
    model = network.build((16, 16, 16), Window(0.0, 1.0), 2)
    dense = model.get_layer("logits")
    dense.kernel.assign(Centred()(dense.kernel))
    volume = np.zeros((1, 16, 16, 16, 1), np.float32)
    volume[:, 4:12, 5:11, 6:10] = 0.8
    logits = np.asarray(model(volume))[0]
    maps = [explain(model, "last", volume, [k]).numpy()[0] for k in (0, 1)]
    assert cam_layer(model, "last").cells == (8, 8, 8)
    for k in (0, 1):
        assert maps[k].sum() == pytest.approx(logits[k], rel=1e-4)
        assert np.abs(maps[k]).max() > 0
        for axis in range(3):
            np.testing.assert_allclose(maps[k], np.flip(maps[k], axis), atol=1e-6)
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-6)


def test_a_free_network_s_map_is_not_symmetric():
    keras.utils.set_random_seed(2)
    network = PlainCnn(filters=(4, 6), pools=1, pooling="average", head="contrast")
    model = network.build((16, 16, 16), Window(0.0, 1.0), 2)
    volume = np.zeros((1, 16, 16, 16, 1), np.float32)
    volume[:, 4:12, 5:11, 6:10] = 0.8
    cam = explain(model, "last", volume, [0]).numpy()[0]
    assert np.abs(cam - np.flip(cam, 0)).max() > 0.01 * np.abs(cam).max()


def test_solids_keep_their_kernels_mirrored_through_training_and_saving(tmp_path):
    config = load("solids")
    model = config.model.build((12, 12, 12), Window(0.0, 1.0), 2)
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(True))
    rng = np.random.default_rng(0)
    model.train_on_batch(rng.random((2, 12, 12, 12, 1), np.float32), np.array([0, 1]))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    convolutions = [layer for layer in loaded.layers if isinstance(layer, layers.Conv3D)]
    assert len(convolutions) == 3
    for layer in convolutions:
        kernel = np.asarray(layer.kernel)
        np.testing.assert_allclose(Mirrored()(kernel), kernel, atol=1e-6)
        assert isinstance(layer.kernel_constraint, Mirrored)
    np.testing.assert_allclose(np.asarray(loaded.get_layer("logits").kernel).sum(1), 0, atol=1e-6)
