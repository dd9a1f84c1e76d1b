import keras
import pytest
from keras import layers

from vcam_client.errors import ConfigError
from vcam_training.cams.layers import candidates
from vcam_training.cams.receptive_field import cam_layer


def model_of(*stack, size=(32, 32)):
    head = [layers.GlobalAveragePooling2D(name="pooled"), layers.Dense(2, name="head")]
    return keras.Sequential([keras.Input((*size, 1)), *stack, *head])


def three_stages(*names):
    return model_of(*(layers.Conv2D(2, 3, strides=2, activation="relu", name=n) for n in names))


def residual():
    """A stem, an identity block with norms and activations, and a projection block."""
    x = inputs = keras.Input((32, 32, 1))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization()(x))
    for block, strides in (("a", 1), ("b", 2)):
        short = layers.Conv2D(4, 1, strides=strides, name=f"{block}_short")(x) if strides > 1 else x
        x = layers.Conv2D(4, 3, strides=strides, padding="same", name=f"{block}_conv1")(x)
        x = layers.ReLU(name=f"{block}_relu1")(layers.BatchNormalization()(x))
        x = layers.Conv2D(4, 3, padding="same", name=f"{block}_conv2")(x)
        x = layers.BatchNormalization(name=f"{block}_norm2")(x)
        x = layers.ReLU(name=f"{block}_out")(layers.Add(name=f"{block}_sum")([x, short]))
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def names(found, **chosen):
    return [
        one.layer.name
        for one in found
        if all(getattr(one, key) == value for key, value in chosen.items())
    ]


def test_candidates_are_complete_maps_in_the_order_of_the_graph():
    found = candidates(residual())
    assert names(found, bypassed=False) == ["stem_relu", "a_out", "b_out"]
    assert sorted(names(found, bypassed=True)) == ["a_relu1", "b_relu1"]
    assert [one.index for one in found if not one.bypassed] == [0, 1, 2]
    assert {one.index for one in found if one.bypassed} == {None}
    assert names(found, last=True) == ["b_out"]
    assert {(one.kind, one.channels) for one in found} == {("ReLU", 4)}


def test_candidates_lie_where_cam_layer_says():
    model = residual()
    for one in candidates(model):
        assert one.layer == cam_layer(model, one.layer.name)
        if not one.bypassed:
            assert one.layer == cam_layer(model, one.index)


def test_maps_that_several_layers_read_are_complete():
    """Dense blocks and blocks that normalise first: the sum goes on by itself."""
    x = inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, name="stem")(x)
    for block in ("a", "b"):
        new = layers.ReLU(name=f"{block}_relu")(layers.BatchNormalization()(x))
        new = layers.Conv2D(2, 3, padding="same", name=f"{block}_conv")(new)
        x = layers.Concatenate(name=f"{block}_concat")([x, new])
    x = layers.ReLU(name="end")(layers.BatchNormalization()(x))
    found = candidates(keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))))
    assert names(found, bypassed=False) == ["stem", "a_concat", "end"]
    assert names(found, bypassed=True) == ["a_relu", "b_relu"]


@pytest.mark.parametrize(
    ("network", "last", "unbypassed", "examples"),
    [
        (keras.applications.DenseNet121, "relu", 62, ["conv1_relu", "conv5_block15_concat"]),
        (keras.applications.ResNet50, "conv5_block3_out", 17, ["conv1_relu", "conv2_block1_out"]),
        (keras.applications.ResNet50V2, "post_relu", 17, ["conv1_conv", "conv2_block1_out"]),
    ],
)
def test_candidates_of_well_known_backbones(network, last, unbypassed, examples):
    """Nested, with the ends of all blocks: 58 concatenations, 16 sums."""
    backbone = network(weights=None, include_top=False, input_shape=(None, None, 3))
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(backbone(inputs))))
    found = candidates(model)
    assert names(found, last=True) == [last] == [cam_layer(model).name]
    assert len(names(found, bypassed=False)) == unbypassed
    assert set(examples) <= set(names(found, bypassed=False))
    assert cam_layer(model, -1).cells == (2, 2)


def test_pooling_ends_a_map():
    stack = [layers.Conv2D(2, 3, name="conv"), layers.MaxPooling2D(), layers.BatchNormalization()]
    assert names(candidates(model_of(*stack))) == ["conv"]


def test_maps_without_a_place_are_left_out():
    model = model_of(
        layers.Conv2D(2, 3, name="placed"),
        layers.Permute((2, 1, 3)),
        layers.Conv2D(2, 3, name="lost"),
    )
    (only,) = candidates(model)
    assert (only.layer.name, only.index, only.last) == ("placed", 0, False)
    assert cam_layer(model, -1).name == "placed"
    with pytest.raises(ConfigError, match="can't be placed"):
        cam_layer(model, "last")


def test_layers_called_twice_are_left_out():
    twice = layers.Conv2D(1, 3, padding="same", name="twice")
    inputs = keras.Input((16, 16, 1))
    model = model_of(
        layers.Conv2D(1, 3, name="once"), keras.Model(inputs, twice(twice(inputs))), size=(18, 18)
    )
    assert names(candidates(model)) == ["once"]


def test_nested_maps_are_named_by_their_path_if_need_be():
    def part(name):
        stack = [keras.Input((None, None, 1)), layers.Conv2D(1, 3, name="conv")]
        return keras.Sequential(stack, name=name)

    found = candidates(model_of(part("one"), part("two")))
    assert names(found) == ["one/conv", "two/conv"]
    assert names(found, last=True) == ["two/conv"]


@pytest.mark.parametrize(
    ("target", "name"),
    [("0", "a"), ("1", "b"), ("-1", "c"), ("-3", "a"), (2, "c"), (-2, "b"), ("last", "c")],
)
def test_cam_layer_takes_an_index(target, name):
    assert cam_layer(three_stages("a", "b", "c"), target).name == name


def test_a_layer_whose_name_is_a_number_wins():
    model = three_stages("2", "1", "0")
    assert [cam_layer(model, text).name for text in ("0", "1", "2", "-1")] == ["0", "1", "2", "0"]
    assert cam_layer(model, 0).name == "2"


@pytest.mark.parametrize("target", ["3", "-4", 3, -4])
def test_an_index_out_of_range_is_refused(target):
    with pytest.raises(ConfigError, match=rf"-3 … 2, received {target}\. .*\['a', 'b', 'c'\]"):
        cam_layer(three_stages("a", "b", "c"), target)


def test_an_unknown_layer_is_refused_with_the_candidates_alone():
    model = residual()
    with pytest.raises(ConfigError, match="received 'b_otu'") as caught:
        cam_layer(model, "b_otu")
    assert "['stem_relu', 'a_out', 'b_out']" in str(caught.value)
    assert "conv1" not in str(caught.value)
