import functools
import itertools

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.applications import convnext, inception_resnet_v2
from measured_fields import make_positive, measured_fields
from training_networks import MEASURED, autoencoder, enlarging_layers, keras_ct, u_net

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer, find_layer
from vcam_training.intensity import Bands, ImageNet, Window, ZScore


@pytest.mark.parametrize("network", MEASURED, ids=lambda network: network.__name__)
def test_centres_agree_with_measured_receptive_fields(network):
    claimed = cam_layer(network(layers.MaxPooling2D), "target")

    # The same structure with means for maxima, so that every voxel has a gradient.
    model = make_positive(network(layers.AveragePooling2D))
    assert cam_layer(model, "target") == claimed
    measured = measured_fields(model, "target")

    for axis, centres in enumerate(inside(measured)):
        assert len(centres) >= 2, "no interior cells to measure: choose a larger input"
        for cell, (first, last) in centres.items():
            centre = claimed.offset[axis] + claimed.stride[axis] * cell
            assert centre == pytest.approx((first + last) / 2, abs=0.01)
            assert last - first + 1 == claimed.receptive_field[axis]


def inside(measured):
    """The measured fields that no border cuts off: those are narrower."""
    widest = [max(b - a for a, b in cells.values()) for cells in measured]
    return [
        {cell: (a, b) for cell, (a, b) in cells.items() if b - a == most}
        for cells, most in zip(measured, widest, strict=True)
    ]


def check_upsampled(model, coarsest):
    """The measured fields lie in the claimed ones, whose centres they have on average.

    The cells of one period, the stride of the coarsest map on the way, see different
    phases of it. Returns by how much the claimed fields are too wide in every phase.
    """
    claimed = cam_layer(model, "target")
    slack = []
    for axis, measured in enumerate(measured_fields(make_positive(model), "target")):
        offset, stride = claimed.offset[axis], claimed.stride[axis]
        half = (claimed.receptive_field[axis] - 1) / 2
        low = {cell: offset + stride * cell - half for cell in measured}
        high = {cell: offset + stride * cell + half for cell in measured}
        assert all(low[c] - 1e-9 <= a and b <= high[c] + 1e-9 for c, (a, b) in measured.items())

        size = model.inputs[0].shape[1:-1][axis]
        whole = [cell for cell in measured if low[cell] >= 0 and high[cell] <= size - 1]
        period = round(coarsest / stride)
        cells = range(min(whole), min(whole) + (max(whole) - min(whole) + 1) // period * period)
        assert len(cells) >= period, "no interior cells to measure: choose a larger input"
        fields = {cell: measured[cell] for cell in cells if cell in measured}
        found = [(a + b) / 2 - offset - stride * cell for cell, (a, b) in fields.items()]
        assert np.mean(found) == pytest.approx(0, abs=0.01)
        slack.append(min(a - low[cell] for cell, (a, _) in fields.items()))
        slack.append(min(high[cell] - b for cell, (_, b) in fields.items()))
    return slack


@pytest.mark.parametrize("name", enlarging_layers())
def test_upsampled_cells_lie_where_they_are_measured(name):
    slack = check_upsampled(enlarging_layers()[name], coarsest=2)
    assert slack == pytest.approx([0] * len(slack), abs=1e-6)


UPSAMPLING = {
    "autoencoder": autoencoder,
    "u_net": u_net,
    "transposed u_net": functools.partial(u_net, up="transposed"),
    "3-D u_net": functools.partial(u_net, rank=3),
}


@pytest.mark.parametrize("network", UPSAMPLING.values(), ids=UPSAMPLING)
def test_decoders_cells_lie_where_they_are_measured(network):
    claimed = cam_layer(network(layers.MaxPooling2D), "target")
    model = network(layers.AveragePooling2D)
    assert cam_layer(model, "target") == claimed
    assert max(check_upsampled(model, coarsest=4)) < 1


@pytest.mark.parametrize("rank", [2, 3])
def test_a_u_net_is_explained_where_its_decoder_ends(rank):
    model = u_net(layers.MaxPooling2D, rank)
    assert cam_layer(model) == cam_layer(model, "target")
    assert cam_layer(model).cells == model.inputs[0].shape[1:-1]
    assert (cam_layer(model).offset, cam_layer(model).stride) == ((0,) * rank, (1,) * rank)
    bottom = cam_layer(model, "bottom")
    assert (bottom.offset, bottom.stride) == ((1.5,) * rank, (4,) * rank)


def test_behind_an_upsampling_of_the_input_strides_are_fractions():
    model = model_of(layers.UpSampling2D((3, 2)), layers.Conv2D(1, 3, name="fine"))
    layer = cam_layer(model)
    assert layer.cells == (46, 30)
    assert layer.stride == pytest.approx((1 / 3, 1 / 2))
    assert layer.offset == pytest.approx((0, 1 / 4))  # 1 / 3 - 1 / 3 and 1 / 2 - 1 / 4


@pytest.mark.parametrize(
    ("size", "name", "cells", "offset", "stride"),
    [(128, "last", 12, 18.5, 8), (64, "last", 4, 18.5, 8), (128, "conv3", 28, 8.5, 4)],
)
def test_keras_ct_network(size, name, cells, offset, stride):
    model = keras_ct((size, 64, 64), filters=(1, 1, 1, 1))
    layer = cam_layer(model, name)
    assert layer.name == {"last": "conv4"}.get(name, name)
    assert (layer.cells[0], layer.offset[0], layer.stride[0]) == (cells, offset, stride)


def test_keras_ct_network_has_the_published_size():
    assert keras_ct((64, 64, 64)).count_params() == 1_352_897


@pytest.mark.parametrize(
    ("network", "size", "target"),
    [
        (keras.applications.MobileNet, 315, "conv_pw_13_relu"),
        (keras.applications.ResNet50, 483, "conv5_block3_out"),
        (keras.applications.InceptionV3, 1311, "mixed10"),
    ],
)
def test_published_receptive_fields(network, size, target):
    """Araujo, Norris and Sim, Computing Receptive Fields …, Distill 2019: their table."""
    backbone = network(weights=None, include_top=False, input_shape=(None, None, 3))
    inputs = keras.Input((224, 224, 1))
    features = backbone(ImageNet(0, 1)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(features)))
    layer = cam_layer(model)
    assert layer.name == target
    assert layer.receptive_field == (size, size)
    assert layer.stride == (32, 32)


def test_layers_of_keras_applications_are_known():
    scaled = model_of(layers.Conv2D(2, 3), convnext.LayerScale(1.0, 2), size=(8, 8))
    assert cam_layer(scaled).offset == (1, 1)
    x = inputs = keras.Input((8, 8, 1))
    x = inception_resnet_v2.CustomScaleLayer(0.1, name="sum")([x, layers.Conv2D(1, 1)(x)])
    assert cam_layer(keras.Model(inputs, x)).name == "sum"


def model_of(*stack, size=(16, 16)):
    return keras.Sequential([keras.Input((*size, 1)), *stack])


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([layers.Conv2D(2, 3, activation="relu", name="a")], "a"),
        ([layers.Conv2D(2, 3), layers.BatchNormalization(), layers.ReLU(name="a")], "a"),
        ([layers.Conv2D(2, 3, name="a"), layers.MaxPooling2D(2), layers.BatchNormalization()], "a"),
        ([layers.Conv2D(2, 3, name="a"), layers.SpatialDropout2D(0.5)], "a"),
        ([layers.Conv2D(2, 3), layers.ReLU(name="a"), layers.MaxPooling2D(), layers.ReLU()], "a"),
    ],
)
def test_last_is_the_completed_feature_map_before_its_pooling(stack, expected):
    stack = [layer.from_config(layer.get_config()) for layer in stack]
    model = model_of(*stack, layers.GlobalAveragePooling2D(), layers.Dense(2))
    assert cam_layer(model).name == expected


def test_last_is_passed_by_every_score():
    x = inputs = keras.Input((16, 16, 1))
    x = trunk = layers.Conv2D(2, 3, name="trunk")(x)
    x = layers.Conv2D(2, 3, name="branch")(x)
    x = layers.concatenate([layers.GlobalAveragePooling2D()(v) for v in (trunk, x)])
    assert cam_layer(keras.Model(inputs, layers.Dense(2)(x))).name == "trunk"


def test_last_of_parallel_branches_is_refused():
    x = inputs = keras.Input((16, 16, 1))
    branches = [layers.GlobalAveragePooling2D()(layers.Conv2D(2, n)(x)) for n in (3, 5)]
    with pytest.raises(ConfigError, match="every score passes through"):
        cam_layer(keras.Model(inputs, layers.Dense(2)(layers.concatenate(branches))))


def test_squeeze_and_excitation_moves_no_cells():
    x = inputs = keras.Input((16, 17, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    gated = cam_layer(keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x))))
    plain = cam_layer(model_of(layers.Conv2D(4, 3, strides=2, padding="same"), size=(16, 17)))
    assert gated.name == "gated"
    assert (gated.offset, gated.stride, gated.cells) == (plain.offset, plain.stride, plain.cells)


@pytest.mark.parametrize("intensity", [Window(0, 1), ZScore(), ImageNet(0, 1), Bands((0, 1, 2))])
def test_intensity_layers_are_pointwise(intensity):
    layer = cam_layer(model_of(intensity, layers.Conv2D(1, 3)))
    assert (layer.offset, layer.stride, layer.receptive_field) == ((1, 1), (1, 1), (3, 3))


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        (
            layers.UpSampling2D(2, interpolation="bicubic", name="odd"),
            "'odd' (UpSampling2D) upsamples by bicubic interpolation; vcam follows nearest",
        ),
        (
            layers.Conv2DTranspose(2, 3, strides=2, output_padding=1, name="odd"),
            "'odd' (Conv2DTranspose) shifts cells by its output_padding",
        ),
        (layers.Conv2DTranspose(2, 3, dilation_rate=2, name="odd"), "dilated transposed"),
        (layers.UpSampling2D(2, data_format="channels_first", name="odd"), "channels last"),
        (layers.Permute((2, 1, 3), name="odd"), "'odd' (Permute)"),
        (layers.Lambda(lambda x: x[:, ::-1], name="odd"), "'odd' (Lambda)"),
        (layers.Softmax(axis=1, name="odd"), "'odd' (Softmax)"),
    ],
)
@pytest.mark.parametrize("target", ["last", "target"])
def test_unknown_layers_before_the_target_are_refused(unknown, said, target):
    model = model_of(
        layers.Conv2D(2, 3), unknown, layers.Conv2D(2, 3, name="target"), layers.Flatten()
    )
    with pytest.raises(ConfigError, match=r"Choose a target layer before it") as caught:
        cam_layer(model, target)
    assert said in str(caught.value)


def test_unknown_layers_behind_the_target_do_no_harm():
    model = model_of(layers.Conv2D(2, 3, name="target"), layers.UpSampling2D(2), layers.Flatten())
    assert cam_layer(model, "target").offset == (1, 1)


def test_merges_of_different_strides_are_refused():
    x = inputs = keras.Input((8, 8, 1))
    left = layers.Conv2D(1, 3, strides=2)(x)
    right = layers.Conv2D(1, 6)(x)
    x = layers.Add(name="sum")([left, right])
    with pytest.raises(ConfigError, match=r"'sum' \(Add\) joins maps .*\(3, 2\), \(3, 1\)"):
        cam_layer(keras.Model(inputs, x), "sum")


def test_channels_first_is_refused():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(1, 3, data_format="channels_first", name="first", padding="same")(inputs)
    with pytest.raises(ConfigError, match="channels last"):
        cam_layer(keras.Model(inputs, x), "first")


def test_find_layer_walks_nested_models():
    model = next(network for network in MEASURED if network.__name__ == "nested")(
        layers.MaxPooling2D
    )
    found = model.get_layer("middle").get_layer("inner").get_layer("target")
    assert find_layer(model, "target") is found
    assert find_layer(model, "middle/inner/target") is found
    assert cam_layer(model, "middle").cells == cam_layer(model, "target").cells


def test_ambiguous_names_need_a_path():
    def part(name):
        stack = [keras.Input((None, None, 1)), layers.Conv2D(1, 3, name="conv")]
        return keras.Sequential(stack, name=name)

    model = model_of(part("one"), part("two"))
    with pytest.raises(ConfigError, match=r"\['one/conv', 'two/conv'\]"):
        find_layer(model, "conv")
    assert cam_layer(model, "two/conv").name == "two/conv"
    assert cam_layer(model).name == "two/conv"
    assert cam_layer(model, "one/conv").offset == (1, 1)


def test_missing_collapsed_shared_and_graphless():
    model = model_of(layers.Conv2D(1, 3), layers.Flatten(name="flat"), layers.Dense(2))
    with pytest.raises(ConfigError, match=r"received 'nope'\. Choose one of"):
        cam_layer(model, "nope")
    with pytest.raises(ConfigError, match="before the spatial axes are lost"):
        cam_layer(model, "flat")
    twice = layers.Conv2D(1, 3, padding="same", name="twice")
    with pytest.raises(ConfigError, match="called 2 times"):
        cam_layer(model_of(layers.ReLU(), functional_twice(twice)), "twice")

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ConfigError, match="Rewrite it with the functional API"):
        cam_layer(Subclassed())
    with pytest.raises(ConfigError, match="known sizes"):
        cam_layer(model_of(layers.Conv2D(1, 3), size=(None, 8)))


def functional_twice(layer):
    inputs = keras.Input((16, 16, 1))
    return keras.Model(inputs, layer(layer(inputs)))


def test_same_padding_depends_on_parity():
    offsets = {
        size: cam_layer(
            model_of(layers.Conv2D(1, 3, strides=2, padding="same"), size=(size, 16))
        ).offset[0]
        for size in (15, 16)
    }
    assert offsets == {15: 0, 16: 1}
    assert len(set(itertools.chain(offsets.values()))) == 2
