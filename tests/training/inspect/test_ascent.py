"""Patterns of filters whose best input is known."""

import csv
import json

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.inspecting.ascent import ascend
from vcam_training.inspecting.ascent_files import write_ascent
from vcam_training.intensity import Bands, Window

GRID = (8, 10)


@pytest.fixture
def edges(subject_of):
    """Of pairs of rows, filter 0 answers to bright above dark, 1 to bright, 2 to nothing."""
    image = keras.Input((*GRID, 1))
    convolution = layers.Conv2D(3, (2, 1), strides=(2, 1), name="cells")
    x = convolution(Window(0.0, 2.0, name="window")(image))
    x = layers.ReLU(name="after")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    kernel = np.zeros((2, 1, 1, 3), np.float32)
    kernel[:, 0, 0, 0] = 1, -1
    kernel[:, 0, 0, 1] = 1, 1
    convolution.set_weights([kernel, np.array([0, 0, -1], np.float32)])
    return subject_of(model)


def test_the_activation_rises_and_never_falls(edges) -> None:
    found = ascend(edges, "cells", 0, steps=40)
    assert found.activation.shape == (41,)
    assert found.step_sizes.shape == (40,)
    assert (np.diff(found.activation) >= 0).all()
    assert found.activation[-1] > found.activation[0] + 0.3


def test_a_filter_for_brightness_ends_at_the_upper_end_of_the_window(edges) -> None:
    found = ascend(edges, "cells", 1, steps=100)
    np.testing.assert_allclose(found.pattern, 2.0)
    assert found.activation[-1] == pytest.approx(2.0)  # two voxels of 1 behind the window
    assert found.step_sizes[-1] == 0  # nothing better to be found
    assert (found.pattern.shape, found.behind_intensity, found.window) == (GRID, False, (0, 2))


def test_the_pattern_is_what_the_filter_looks_for(edges) -> None:
    pattern = ascend(edges, "cells", 0, steps=100).pattern
    np.testing.assert_allclose(pattern[0::2], 2)
    np.testing.assert_allclose(pattern[1::2], 0)


def test_the_same_seed_gives_the_same_pattern(edges) -> None:
    one, again, other = (ascend(edges, "cells", 0, steps=3, seed=seed) for seed in (1, 1, 2))
    assert one.pattern.tobytes() == again.pattern.tobytes() != other.pattern.tobytes()


def test_bands_are_ascended_behind_the_intensity_layer(subject_of) -> None:
    image = keras.Input((*GRID, 1))
    convolution = layers.Conv2D(1, 1, use_bias=False, name="cells")
    x = convolution(Bands((0.0, 1.0, 2.0, 3.0), name="bands")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    convolution.set_weights([np.array([1.0, -1.0, 0.5], np.float32).reshape(1, 1, 3, 1)])
    found = ascend(subject_of(model), "cells", 0, steps=100)
    assert found.behind_intensity
    assert found.pattern.shape == (*GRID, 3)
    np.testing.assert_allclose(found.pattern[..., 0], 1)
    np.testing.assert_allclose(found.pattern[..., 1], 0)
    assert found.activation[-1] == pytest.approx(1.5)
    # the layer is as it was
    seen = model.get_layer("bands")(np.full((1, *GRID, 1), 1.5, np.float32))
    np.testing.assert_array_equal(np.asarray(seen)[0, 0, 0], [0, 1, 0])


def test_a_coarse_start_where_fine_noise_is_averaged_away(subject_of) -> None:
    image = keras.Input((32, 32, 1))
    x = layers.AveragePooling2D(16)(image)
    convolution = layers.Conv2D(1, 1, activation="relu", name="cells")
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(convolution(x))))
    convolution.set_weights([np.ones((1, 1, 1, 1), np.float32), np.array([-1.3], np.float32)])
    found = ascend(subject_of(model), "cells", 0, steps=20, seed=0)
    assert found.activation[-1] > found.activation[0] > 0


def test_filters_that_can_not_be_ascended(edges) -> None:
    with pytest.raises(ConfigError, match="filter 2 has no gradient anywhere"):
        ascend(edges, "after", 2)
    with pytest.raises(ConfigError, match="from 0 to 2, received 3"):
        ascend(edges, "cells", 3)
    with pytest.raises(ConfigError, match="conv9"):
        ascend(edges, "conv9", 0)


def test_by_default_a_filter_that_answers_is_taken(edges) -> None:
    found = ascend(edges, "after", steps=3)
    assert found.filter_index == 1  # to noise, 0 answers half as much and 2 not at all
    assert found.pattern.tobytes() == ascend(edges, "after", 1, steps=3).pattern.tobytes()


def test_by_default_coarser_noise_is_looked_at_where_nothing_answers(subject_of) -> None:
    image = keras.Input((32, 32, 1))
    x = layers.AveragePooling2D(16)(image)
    convolution = layers.Conv2D(2, 1, activation="relu", name="cells")
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(convolution(x))))
    convolution.set_weights([np.ones((1, 1, 1, 2), np.float32), np.array([-9, -1.3], np.float32)])
    assert ascend(subject_of(model), "cells", steps=1).filter_index == 1


def test_the_files_of_an_ascent(edges, tmp_path) -> None:
    found = ascend(edges, "cells", 0, steps=4)
    names = write_ascent(found, tmp_path / "a", title="known", units="HU")
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(names)
    np.testing.assert_array_equal(np.load(tmp_path / "a/pattern.npy"), found.pattern)
    with (tmp_path / "a/ascent.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([float(row["activation"]) for row in rows], found.activation)
    said = json.loads((tmp_path / "a/ascent.json").read_text())
    assert (said["filter"], said["activation"]["end"]) == (0, found.activation[-1])
    for name in ("pattern.png", "ascent.png"):
        assert (tmp_path / "a" / name).read_bytes().startswith(b"\x89PNG")
