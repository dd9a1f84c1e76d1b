"""The networks that come with Keras, with or without the weights of ImageNet."""

import os
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from vcam_client.errors import ConfigError
from vcam_training.intensity import ImageNet
from vcam_training.models.blocks import check_share
from vcam_training.models.colours import recolour_for, takes_pixels
from vcam_training.models.head import check_head, logits
from vcam_training.models.strided_pointwise import StridedPointwiseConv2D, is_strided_pointwise

NAMES = tuple(sorted(name for name in dir(keras.applications) if name[0].isupper()))
NONE, IMAGENET = "none", "imagenet"

_FAILED_DOWNLOAD = re.compile(r"URL fetch failure on (?P<url>\S+): (None -- )?(?P<reason>.*)", re.S)
"""What Keras says where it can't download a file."""


def _keras_home() -> Path:
    """The folder in which Keras looks for weights, by the rule in keras/src/backend/config.py."""
    given = os.environ.get("KERAS_HOME")
    if given is not None:
        return Path(given)
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")


@dataclass(frozen=True, kw_only=True)
class KerasApplication:
    """A network of `keras.applications` without its top, a global pooling and one dense layer.

    It is one layer of the model, "densenet121", whose own layers have the names that Keras
    gives them in a fresh process.

    Behind the intensity layer "imagenet" the network gets what its own `preprocess_input`
    makes of RGB values 0 … 255, by a layer "colours" where that is something else (VGG16 wants
    BGR, others −1 … 1). What other intensity layers give, it gets as it is, or 255-fold where
    it scales pixels itself (EfficientNet, MobileNetV3, ConvNeXt).

    Attributes:
        name: "DenseNet121", "VGG16", "ResNet50", … as in `keras.applications`.
        weights: "none"; "imagenet": the weights that Keras publishes, from its folder on
            this machine or else downloaded; or the path of a file of weights for the
            network without its top, .h5 or .weights.h5.
        pooling: "average", "max" or "smooth_max", over all cells.
        head: "signed", "evidence" or "contrast", see `models.head`.
        dropout: share of the pooled features that training drops.
        target_layer: layer whose cells the map shows; "last" for the last one
            with a spatial extent.
    """

    name: str = "DenseNet121"
    weights: str = NONE
    pooling: str = "average"
    head: str = "signed"
    dropout: float = 0.0
    target_layer: str = "last"

    def __post_init__(self) -> None:
        check_head(self.pooling, self.head)
        check_share("dropout", self.dropout)
        if self.name not in NAMES:
            raise ConfigError(
                f"Expected a network out of {', '.join(NAMES)}, received {self.name!r}. "
                "Set model.name."
            )

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, its head untrained.

        Args:
            grid: rows and columns.
            intensity: layer from physical values to what the network sees.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: the grid has three axes or is too small; the weights are not
                there, don't fit, or can't be downloaded.
        """
        if len(grid) != 2:
            raise ConfigError(
                f"Expected a grid with 2 axes for {self.name}, received {grid}. Choose a network "
                "for volumes with model=NAME."
            )
        if self.weights == IMAGENET and not isinstance(intensity, ImageNet):
            raise ConfigError(
                f"Expected scaling=imagenet for weights=imagenet, received {intensity.name}. Set "
                "scaling=imagenet, or model.weights=none."
            )
        volume = keras.Input((*grid, 1), name="volume")
        x = intensity(volume)
        scaled = self._scaled(isinstance(intensity, ImageNet))
        x = x if scaled is None else scaled(x)
        backbone = self._backbone(tuple(x.shape[1:]))
        outcome = logits(backbone(x), self.pooling, self.head, outputs, self.dropout)
        return keras.Model(volume, outcome, name=f"{backbone.name}_2d")

    def _scaled(self, colours: bool) -> keras.layers.Layer | None:
        """The layer between the intensity layer and the network, if there has to be one."""
        make = getattr(keras.applications, self.name)
        module = getattr(keras.applications, make.__module__.rpartition(".")[2])
        if colours:
            return recolour_for(module.preprocess_input, "colours")
        if takes_pixels(module.preprocess_input):
            return keras.layers.Rescaling(255.0, dtype="float32", name="pixels")
        return None

    def _backbone(self, shape: tuple[int, ...]) -> keras.Model:
        if self.weights not in (NONE, IMAGENET) and not Path(self.weights).is_file():
            raise ConfigError(
                f"Expected a file of weights, 'none' or 'imagenet', found no file "
                f"'{self.weights}'. Set model.weights."
            )
        with warnings.catch_warnings():
            # Intensity bands are neither 1 nor 3 channels; convolutions don't mind the size.
            warnings.filterwarnings("ignore", "This model usually expects")
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-")
            # Layers that a file of weights lacks would stay as they were drawn.
            warnings.filterwarnings("error", "Skipping nested container")
            try:
                made = getattr(keras.applications, self.name)(
                    include_top=False,
                    weights=None if self.weights == NONE else self.weights,
                    input_shape=shape,
                )
            except (ValueError, UserWarning) as error:
                raise self._misfit(error, shape) from error
            except Exception as error:  # of no kind of its own where a download fails
                failed = _FAILED_DOWNLOAD.match(str(error))
                if failed is None:
                    raise
                raise self._offline(failed["url"], failed["reason"]) from error
        made.name = self.name.lower()
        _name_as_in_a_fresh_process(made)
        return _trainable_on_cpus(made)

    def _offline(self, url: str, reason: str) -> ConfigError:
        home = _keras_home()
        return ConfigError(
            f"Expected the ImageNet weights of {self.name} on this machine or a way to download "
            f"them, found neither: it seems to be offline ({reason}). Put "
            f"'{url.rpartition('/')[2]}', as Keras publishes it, into '{home / 'models'}' "
            "($KERAS_HOME names another place), or set model.weights=none."
        )

    def _misfit(self, error: Exception, shape: tuple[int, ...]) -> ConfigError:
        first = str(error).strip().partition("\n")[0]
        return ConfigError(
            f"Expected a grid and weights that fit {self.name} without its top, received "
            f"{'×'.join(map(str, shape))} values and weights={self.weights}: {first} Set a larger "
            "data.shape, other model.weights or another model.name."
        )


def _name_as_in_a_fresh_process(model: keras.Model) -> None:
    """Counts layers that Keras named by a count again from 0.

    Keras counts on from what was built before in the process: with "conv2d_97" nothing could
    be taken over by name, or wrong things could.
    """
    counted = defaultdict(list)
    for operation in model.operations:
        stem, _, number = operation.name.rpartition("_")
        if stem == "" or not number.isdecimal():
            stem, number = operation.name, "0"
        if stem.replace("_", "") == type(operation).__name__.lower():
            counted[stem].append((int(number), operation))
    for stem, found in counted.items():
        for place, (_, operation) in enumerate(sorted(found, key=lambda pair: pair[0])):
            operation.name = f"{stem}_{place}" if place else stem


def _trainable_on_cpus(model: keras.Model) -> keras.Model:
    """The model, or where it has strided convolutions 1 wide one with others in their place."""
    if not any(map(is_strided_pointwise, model.layers)):
        return model

    def again(layer: Any) -> Any:
        kind = StridedPointwiseConv2D if is_strided_pointwise(layer) else type(layer)
        return kind.from_config(layer.get_config())

    images = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    copy = keras.models.clone_model(model, input_tensors=images, clone_function=again)
    copy.set_weights(model.get_weights())
    return copy
