"""Networks of Keras: what they see, whose weights they start with, what they are called."""

import urllib.error
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils
from numpy.testing import assert_allclose
from tiny_networks import hu

from vcam_client.errors import ConfigError
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.intensity import Bands, ImageNet, Window
from vcam_training.models import KerasApplication
from vcam_training.models.keras_application import NAMES
from vcam_training.models.strided_pointwise import StridedPointwiseConv2D

SIZE = (32, 40)


def pixels(**options: object) -> ImageNet:
    """The intensity layer for values 0 … 255."""
    return ImageNet(0.0, 255.0, name="imagenet", dtype="float32", **options)


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    """Keras's own, without its top, with statistics that are not 0 and 1."""
    keras.utils.set_random_seed(3)
    model = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(*SIZE, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean - 0.1)
    return model


@pytest.fixture(scope="module", params=["weights.h5", "mobilenet.weights.h5"])
def weights_file(mobilenet: keras.Model, request, tmp_path_factory) -> Path:
    """Of both kinds that Keras writes."""
    path = tmp_path_factory.mktemp("weights") / request.param
    if request.param.endswith(".weights.h5"):
        mobilenet.save_weights(path)
    else:
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, mobilenet)
    return path


def assert_starts_as(model: keras.Model, mobilenet: keras.Model) -> None:
    """It makes of an image what Keras's network makes of what Keras's own preprocessing does."""
    features = keras.Model(model.input, model.get_layer("global_average").output)
    grey = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 1)).astype(np.float32)
    seen = keras.applications.mobilenet.preprocess_input(np.repeat(grey, 3, axis=-1))
    expected = np.asarray(mobilenet(seen)).mean(axis=(1, 2))
    assert np.ptp(expected) > 0
    assert_allclose(features(grey), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_weights_of_a_file(mobilenet: keras.Model, weights_file: Path) -> None:
    network = KerasApplication(name="MobileNet", weights=str(weights_file))
    model = network.build(SIZE, pixels(), 3)
    assert_starts_as(model, mobilenet)
    names = [layer.name for layer in model.layers]
    assert names[:4] == ["volume", "imagenet", "colours", "mobilenet"]
    assert cam_layer(model).name == "conv_pw_13_relu"


def test_weights_that_keras_has_at_hand(
    mobilenet: keras.Model, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(weights_file))
    model = KerasApplication(name="MobileNet", weights="imagenet").build(SIZE, pixels(), 3)
    assert_starts_as(model, mobilenet)


def test_offline_it_says_which_file_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*_: object) -> None:
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(file_utils, "urlretrieve", no_network)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"offline .*Name or service not known") as caught:
        KerasApplication(name="MobileNet", weights="imagenet").build((224, 224), pixels(), 2)
    message = str(caught.value)
    assert "'mobilenet_1_0_224_tf_no_top.h5'" in message
    assert f"'{tmp_path / 'models'}'" in message
    assert "://" not in message
    assert "googleapis" not in message


def test_weights_that_are_not_there_or_do_not_fit(weights_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"found no file 'nowhere\.h5'"):
        KerasApplication(weights="nowhere.h5").build(SIZE, pixels(), 2)
    network = KerasApplication(name="MobileNet", weights=str(weights_file))
    with pytest.raises(ConfigError, match=r"fit MobileNet .* received 32×40×1 values and weights="):
        network.build(SIZE, Window(0, 255), 2)


def test_weights_of_imagenet_want_colours() -> None:
    with pytest.raises(ConfigError, match=r"scaling=imagenet for weights=imagenet, received win"):
        KerasApplication(weights="imagenet").build(SIZE, Window(0, 255, name="window"), 2)


@pytest.mark.parametrize("channels", [1, 5])
def test_from_scratch_it_sees_what_the_intensity_layer_gives(channels: int) -> None:
    intensity = hu() if channels == 1 else Bands((0, 1, 2, 3, 4, 5))
    model = KerasApplication(name="VGG16", dropout=0.3).build((32, 32), intensity, 2)
    assert model.layers[2].name == "vgg16"
    assert model.get_layer("vgg16").get_layer("block1_conv1").kernel.shape == (3, 3, channels, 64)
    assert model.get_layer("dropout").rate == 0.3


def test_a_network_that_scales_pixels_itself_sees_the_window_as_such() -> None:
    """MobileNetV3 makes −1 … 1 of 0 … 255, here of the window."""
    model = KerasApplication(name="MobileNetV3Small").build((32, 32), Window(-1000, 400), 2)
    inner = model.get_layer("mobilenetv3small")
    own = next(layer for layer in inner.layers if isinstance(layer, keras.layers.Rescaling))
    values = np.array([-2000.0, -1000.0, -300.0, 400.0], np.float32).reshape(1, 2, 2, 1)
    seen = own(model.get_layer("pixels")(model.layers[1](values)))
    assert_allclose(np.ravel(seen), [-1, -1, 0, 1], atol=1e-6)


def test_names_do_not_depend_on_what_was_built_before() -> None:
    """Xception's four shortcuts and their normalisations have no names of their own."""
    assert keras.layers.Conv2D(1, 1).name.startswith("conv2d")  # counted by Keras
    model = KerasApplication(name="Xception").build((71, 71), pixels(), 2)
    inner = model.get_layer("xception")
    names = [layer.name for layer in inner.layers]
    assert len(set(names)) == len(names)
    assert names[0] == "input_layer"
    convolutions = [name for name in names if name.startswith("conv2d")]
    assert convolutions == ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3"]
    assert all(type(inner.get_layer(name)) is StridedPointwiseConv2D for name in convolutions)
    assert cam_layer(model).name == "block14_sepconv2_act"


def test_networks_by_name() -> None:
    assert {"DenseNet121", "VGG16", "ResNet50", "EfficientNetB0", "MobileNetV2"} <= set(NAMES)
    assert all(callable(getattr(keras.applications, name)) for name in NAMES)
    with pytest.raises(ConfigError, match=r"DenseNet121, .* received 'DenseNet'\. Set model.name"):
        KerasApplication(name="DenseNet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "0 ≤ dropout < 1"),
        ({"pooling": "median"}, "received 'median'"),
        ({"head": "two"}, "received 'two'"),
    ],
)
def test_networks_that_can_not_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KerasApplication(**settings)
