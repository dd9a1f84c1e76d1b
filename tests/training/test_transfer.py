"""Weights taken over from other networks, and backbones that stay as they are."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from tiny_networks import WRITTEN_HERE, Tiny, hu

from vcam_client.errors import ConfigError
from vcam_training import train
from vcam_training.config import load, override
from vcam_training.intensity import Window
from vcam_training.models import KerasApplication, PlainCnn, ResidualNet, Vgg
from vcam_training.running.transfer import freeze_backbone, start_from

HEADS = {"logits", "dense", "fc1", "fc2"}
"""Layers behind the last one with a spatial extent."""


@pytest.fixture(params=[name for name in WRITTEN_HERE if not name.endswith("3-D")])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return WRITTEN_HERE[request.param]


@pytest.fixture(params=[name for name in WRITTEN_HERE if name.endswith("3-D")])
def tiny_3d(request: pytest.FixtureRequest) -> Tiny:
    return WRITTEN_HERE[request.param]


@pytest.fixture(scope="module")
def mobilenet() -> Tiny:
    """A nested network with batch normalisation."""
    return Tiny(KerasApplication(name="MobileNet"), (32, 32), colours=True)


def named_weights(model: keras.Model, prefix: str = "") -> dict[str, list[np.ndarray]]:
    """{path of a layer: copies of its weights}."""
    found: dict[str, list[np.ndarray]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= named_weights(layer, f"{prefix}{layer.name}/")
        elif layer.weights:
            found[prefix + layer.name] = layer.get_weights()
    return found


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def a_step(model: keras.Model, tiny: Tiny) -> None:
    """With a rate that moves whatever is trained."""
    if not model.compiled:
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            run_eagerly=True,
        )
    model.train_on_batch(tiny.volumes(4), np.eye(2)[[0, 1, 1, 1]])


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path)
    return path


# Taking over


def test_the_same_network_is_taken_over_whole(tmp_path: Path) -> None:
    """Statistics of batch normalisation included."""
    tiny = WRITTEN_HERE["residual"]
    other = tiny.build(seed=7)
    a_step(other, tiny)
    count = len(named_weights(other))
    mine = tiny.build()
    assert start_from(mine, saved(other, tmp_path / "other.keras")) == (count, count)
    for one, theirs in zip(mine.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, theirs)


def test_a_head_of_another_size_stays_new(tiny: Tiny, tmp_path: Path) -> None:
    other = tiny.build(outputs=5, seed=7)
    mine = tiny.build()
    before, theirs = named_weights(mine), named_weights(other)
    taken, count = start_from(mine, saved(other, tmp_path / "other.keras"))
    assert (taken, count) == (len(before) - 1, len(before))
    for name, weights in named_weights(mine).items():
        assert same(weights, before[name] if name == "logits" else theirs[name]), name


def test_layers_of_other_shapes_or_names_stay_as_they_are(tmp_path: Path) -> None:
    """Wider from the second convolution on: the first is shared, and what follows is not."""
    other = PlainCnn(filters=(3, 5, 4), pools=1, batch_norm=True).build((8, 8), hu(), 2)
    mine = PlainCnn(filters=(3, 6, 4), pools=1).build((8, 8), hu(), 2)
    before, theirs = named_weights(mine), named_weights(other)
    assert start_from(mine, saved(other, tmp_path / "other.keras")) == (2, 4)
    after = named_weights(mine)
    assert same(after["conv1"], theirs["conv1"])
    assert same(after["logits"], theirs["logits"])
    assert same(after["conv2"], before["conv2"])
    assert same(after["conv3"], before["conv3"])


def test_from_volumes_to_images_nothing_fits_but_the_head(tmp_path: Path) -> None:
    other, mine = (WRITTEN_HERE[name].build() for name in ("plain 3-D", "plain"))
    assert start_from(mine, saved(other, tmp_path / "other.keras")) == (1, 3)


def test_no_layer_in_common(tmp_path: Path) -> None:
    other = ResidualNet(filters=(3, 4), shrink=1).build((8, 8), hu(), 3)
    mine = PlainCnn(filters=(3, 4)).build((8, 8), hu(), 2)
    place = saved(other, tmp_path / "other.keras")
    with pytest.raises(ConfigError, match=r"layers like those of plain_cnn_2d in '.*other\.keras'"):
        start_from(mine, place)


def test_places_without_a_network(tmp_path: Path) -> None:
    mine = PlainCnn(filters=(3,), pools=0).build((8, 8), hu(), 2)
    with pytest.raises(ConfigError, match=r"a run's folder, an exported model's or a \.keras file"):
        start_from(mine, tmp_path)
    with pytest.raises(ConfigError, match=r"weights in '.*no\.h5', found no file that can be read"):
        start_from(mine, tmp_path / "no.h5")
    for name, message in (
        ("no.keras", r"Keras model in '.*no\.keras', received a file that is damaged"),
        ("no.h5", r"weights by layer names in '.*no\.h5', received a file that is damaged"),
    ):
        (tmp_path / name).write_bytes(b"no network")
        with pytest.raises(ConfigError, match=message):
            start_from(mine, tmp_path / name)
    mine.save_weights(tmp_path / "mine.weights.h5")
    with pytest.raises(ConfigError, match=r"Give a \.keras file, or an \.h5 file as Keras publ"):
        start_from(mine, tmp_path / "mine.weights.h5")


def test_nested_layers_and_others_of_the_same_name(mobilenet: Tiny, tmp_path: Path) -> None:
    """Into a network whose layers are not nested, and back."""
    nested = mobilenet.build(seed=7)
    inner = nested.get_layer("mobilenet")
    flat = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
    count = len(named_weights(flat))
    assert start_from(flat, saved(nested, tmp_path / "nested.keras")) == (count, count)
    for one, other in zip(flat.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    fresh = mobilenet.build(seed=8)
    assert start_from(fresh, saved(flat, tmp_path / "flat.keras")) == (count, count + 1)
    assert same(fresh.get_layer("mobilenet").get_weights(), flat.get_weights())


def test_a_name_that_is_there_twice_counts_by_its_path_alone(tmp_path: Path) -> None:
    def twins(first: str, second: str, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        x = inputs = keras.Input((8, 8, 1))
        for name in (first, second):
            inner = keras.Input((8, 8, 1))
            convolution = keras.layers.Conv2D(1, 3, padding="same", name="conv")
            x = keras.Model(inner, convolution(inner), name=name)(x)
        pooled = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(2, name="logits")(pooled))

    other = twins("a", "b", seed=1)
    place = saved(other, tmp_path / "other.keras")
    mine = twins("b", "c", seed=2)
    before, theirs = named_weights(mine), named_weights(other)
    assert start_from(mine, place) == (2, 3)
    after = named_weights(mine)
    assert same(after["b/conv"], theirs["b/conv"])
    assert same(after["c/conv"], before["c/conv"])


def test_weights_by_layer_names_as_keras_publishes_them(tmp_path: Path) -> None:
    """Older files have slashes in their names, which Keras no longer allows."""
    blocks, size = ((2,), (3,)), (8, 8)
    other = Vgg(blocks=blocks, dense=(4,)).build(size, hu(), 5)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, other)
        file.move("block1_conv1", "block1/conv1")
        names = [n.replace("1_conv1", "1/conv1") for n in file.attrs["layer_names"]]
        file.attrs["layer_names"] = names
    mine = Vgg(blocks=blocks, dense=(4,)).build(size, hu(), 2)
    assert start_from(mine, tmp_path / "weights.h5") == (3, 4)
    after, theirs = named_weights(mine), named_weights(other)
    for name in ("block1_conv1", "block2_conv1", "fc1"):
        assert same(after[name], theirs[name]), name


def test_a_run_starts_from_another_and_trains_its_head_alone(tmp_path: Path) -> None:
    config = override(load("solids", tiny=True), ["freeze=true", "epochs=2"])
    first = config.model.build(config.data.grid.shape, Window(0, 1), 2)
    place = saved(first, tmp_path / "first.keras")
    second = override(config, [f"start_from={place}", "seed=5"])
    told: list[str] = []
    run = train.run(second, tmp_path / "second", data_folder=tmp_path, report=told.append)
    assert f"3 of 3 layers start with the weights of {place}" in told
    assert "Backbone frozen: 8 parameters are trained" in told
    before, after = named_weights(first), named_weights(keras.models.load_model(run / "best.keras"))
    assert same(before["conv1"], after["conv1"])
    assert same(before["conv2"], after["conv2"])
    assert not same(before["logits"], after["logits"])


# Freezing


def test_after_a_step_only_the_head_has_changed(tiny_3d: Tiny, tmp_path: Path) -> None:
    """To the bit, statistics of batch normalisation included; the same after loading."""
    tiny = tiny_3d
    model = tiny.build()
    size = {name: sum(w.size for w in weights) for name, weights in named_weights(model).items()}
    assert freeze_backbone(model) == sum(n for name, n in size.items() if name in HEADS)
    before = named_weights(model)
    a_step(model, tiny)
    once = named_weights(model)
    loaded = keras.models.load_model(saved(model, tmp_path / "checkpoint.keras"))
    a_step(loaded, tiny)
    twice = named_weights(loaded)
    for earlier, later in ((before, once), (once, twice)):
        changed = {name for name in before if not same(earlier[name], later[name])}
        assert changed == HEADS & before.keys()


def test_batch_normalisation_in_a_nested_backbone_stands_still(
    mobilenet: Tiny, tmp_path: Path
) -> None:
    model = mobilenet.build()
    statistics = [w for w in model.weights if "moving_" in w.path]
    assert len(statistics) == 54
    freeze_backbone(model)
    before = named_weights(model)
    a_step(model, mobilenet)
    loaded = keras.models.load_model(saved(model, tmp_path / "checkpoint.keras"))
    a_step(loaded, mobilenet)
    after = named_weights(loaded)
    assert {name for name in before if not same(before[name], after[name])} == {"logits"}


def test_without_freezing_all_of_it_changes() -> None:
    """So that the tests above can fail."""
    tiny = WRITTEN_HERE["residual"]
    model = tiny.build()
    before = named_weights(model)
    a_step(model, tiny)
    after = named_weights(model)
    assert all(not same(before[name], after[name]) for name in before)


def test_nothing_left_to_train() -> None:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name="all_backbone")
    with pytest.raises(ConfigError, match=r"a head to train, all_backbone .* Set freeze=false"):
        freeze_backbone(model)
