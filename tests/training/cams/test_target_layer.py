import keras
import numpy as np
import pytest
from keras import layers
from layered import layered_model

from vcam_client.errors import ConfigError
from vcam_training.cams.fusion import fused_layer
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.cams.target_layer import explain, target_layer


def test_one_layer():
    model = layered_model()
    target = target_layer(model, "fine")
    assert target.name == "fine"
    assert target.layers == [model.get_layer("fine")]
    assert target.place == cam_layer(model, "fine")
    assert target_layer(model).place == cam_layer(model, "coarse")


@pytest.mark.parametrize("name", ["coarse+fine", "coarse + fine", "last+fine", "1+0"])
def test_several_layers(name):
    model = layered_model()
    target = target_layer(model, name)
    assert target.name == "coarse+fine"
    assert target.layers == [model.get_layer("coarse"), model.get_layer("fine")]
    assert list(target.places) == [cam_layer(model, "coarse"), cam_layer(model, "fine")]
    assert target.place == fused_layer(target.places)
    assert target.place.cells == cam_layer(model, "fine").cells


def test_a_layer_whose_own_name_has_a_plus_is_that_layer():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 3, activation="relu", name="a+b"),
            layers.Conv2D(2, 3, activation="relu", name="c"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        ]
    )
    assert target_layer(model, "a+b").layers == [model.get_layer("a+b")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "nope"),
        ("coarse+nope", "nope"),
        ("coarse+coarse", r"different layers to fuse, received \['coarse', 'coarse'\]"),
        ("coarse+last", "different layers to fuse"),
        ("coarse+", "''"),
    ],
)
def test_what_can_not_be_a_target_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        target_layer(layered_model(), name)


def test_an_unknown_method_is_refused():
    volume = np.zeros((1, 12, 14, 16, 1), np.float32)
    with pytest.raises(ConfigError, match="received 'smoothgrad'"):
        explain(layered_model(), "fine", volume, [0], method="smoothgrad")
