"""Tiny Keras models of every kind, with fixed weights, and their specs."""

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import layers

from vcam_client.spec import (
    Activation,
    ExplainDefault,
    Fit,
    Grid,
    Intensity,
    Metric,
    ModelSpec,
    Provenance,
    Resampling,
    SliceAggregation,
)
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.exporting.explanations import explanations
from vcam_training.intensity import ImageNet, Window, ZScore

HU_WINDOW = (-1000.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model and its spec, not exported yet."""

    model: keras.Model
    spec: ModelSpec
    kind: str


def recipes() -> dict[str, Recipe]:
    """All golden models, built in seconds."""
    made = [_ct(), _mr(), _radiograph(), _slices(), _regression(), _findings(), _bright()]
    return {recipe.spec.name: recipe for recipe in made}


def _ct() -> Recipe:
    keras.utils.set_random_seed(15)
    shape = (12, 16, 20)
    model = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            Window(*HU_WINDOW),
            layers.Conv3D(4, 3, activation="relu"),
            layers.MaxPooling3D(2),
            layers.BatchNormalization(),
            layers.Conv3D(6, 3, activation="relu", name="last_convolution"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(1),
        ]
    )
    spec = ModelSpec(
        name="ct",
        labels=("normal", "abnormal"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS,
        grid=Grid(shape=shape, padding_value=-1024.0),
        intensity=Intensity(
            units="HU",
            dtype="int16",
            transform="clip and scale",
            modalities=("CT",),
            window=HU_WINDOW,
        ),
        cam_layers=(cam_layer(model),),
        decision_threshold=0.5,
    )
    return _recipe(_balanced(model), spec, "3-D, one logit")


def _mr() -> Recipe:
    keras.utils.set_random_seed(6)
    shape = (10, 14, 18)
    x = inputs = keras.Input((*shape, 1))
    x = ZScore(padding_value=0.0)(x)
    x = layers.Conv3D(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = skip = layers.ReLU()(x)
    x = layers.Conv3D(4, 3, padding="same")(x)
    x = layers.ReLU(name="after_sum")(layers.Add()([x, skip]))
    x = layers.GlobalAveragePooling3D()(x)
    model = keras.Model(inputs, layers.Dense(3)(x))
    spec = ModelSpec(
        name="mr",
        labels=("glioma", "meningioma", "none"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(
            shape=shape,
            axes=("A", "S", "R"),
            fit=Fit.SPACING,
            spacing_mm=(6.0, 5.0, 4.0),
            resampling=Resampling.AREA,
        ),
        intensity=Intensity(transform="z-score of the voxels that are not 0", modalities=("MR",)),
        cam_layers=(cam_layer(model),),
        calibration_temperature=1.5,
    )
    return _recipe(_balanced(model), spec, "3-D, softmax")


def _radiograph() -> Recipe:
    keras.utils.set_random_seed(9)
    shape = (24, 20)
    model = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            ImageNet(0.0, 4095.0),
            layers.SeparableConv2D(6, 3, padding="same", activation="relu"),
            layers.AveragePooling2D(2),
            layers.Conv2D(6, 3, padding="same", dilation_rate=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    spec = ModelSpec(
        name="radiograph",
        labels=("clear", "opacity"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(shape=shape, axes=("A", "I", "L")),
        intensity=Intensity(
            transform="ImageNet RGB", modalities=("DX", "CR"), window=(0.0, 4095.0)
        ),
        cam_layers=(cam_layer(model),),
        slice_aggregation=SliceAggregation.NONE,
    )
    return _recipe(_balanced(model), spec, "2-D image, softmax")


def _slices() -> Recipe:
    keras.utils.set_random_seed(7)
    shape = (14, 18)
    backbone = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(6, 3, padding="same"),
            layers.ReLU(name="features"),
        ],
        name="backbone",
    )
    x = inputs = keras.Input((*shape, 1))
    x = backbone(Window(*HU_WINDOW)(x))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    spec = ModelSpec(
        name="slices",
        labels=("normal", "bleeding"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS,
        grid=Grid(shape=shape, padding_value=-1024.0),
        intensity=Intensity(
            units="HU",
            dtype="int16",
            transform="clip and scale",
            modalities=("CT",),
            window=HU_WINDOW,
        ),
        cam_layers=(cam_layer(model),),
        slice_aggregation=SliceAggregation.MAX,
    )
    return _recipe(_balanced(model), spec, "2-D slices of a volume, one logit")


def _regression() -> Recipe:
    keras.utils.set_random_seed(12)
    shape = (9, 13, 17)
    model = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            layers.Rescaling(1 / 100),
            layers.Conv3D(4, 3, activation="relu"),
            layers.Conv3D(4, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(1),
        ]
    )
    spec = ModelSpec(
        name="regression",
        labels=("porosity",),
        activation=Activation.IDENTITY,
        explain_default=ExplainDefault.TARGET,
        unit="%",
        grid=Grid(shape=shape, axes=()),
        intensity=Intensity(transform="divided by 100"),
        cam_layers=(cam_layer(model),),
    )
    return _recipe(_balanced(model), spec, "3-D without anatomy, regression")


def _findings() -> Recipe:
    keras.utils.set_random_seed(8)
    shape = (8, 12, 10)
    model = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            Window(*HU_WINDOW),
            layers.Conv3D(6, 3, padding="same", activation="relu"),
            layers.MaxPooling3D(2),
            layers.Conv3D(6, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(4),
        ]
    )
    spec = ModelSpec(
        name="findings",
        labels=("nodule", "effusion", "emphysema", "fracture"),
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
        grid=Grid(shape=shape, padding_value=-1024.0),
        intensity=Intensity(
            units="HU",
            dtype="int16",
            transform="clip and scale",
            modalities=("CT",),
            window=HU_WINDOW,
        ),
        cam_layers=(cam_layer(model),),
    )
    return _recipe(_balanced(model), spec, "3-D, multi-label")


def _bright() -> Recipe:
    shape = (12, 16, 20)
    model = keras.Sequential(
        [
            keras.Input((*shape, 1)),
            Window(-1000.0, 1000.0),
            layers.Conv3D(1, 2, strides=2, use_bias=False, name="mean_of_2x2x2"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(1),
        ]
    )
    model.get_layer("mean_of_2x2x2").set_weights([np.full((2, 2, 2, 1, 1), 1 / 8, np.float32)])
    # −2 for a volume at −1000 HU, 0 when a tenth of it is at 1000 HU.
    model.layers[-1].set_weights([np.full((1, 1), 20.0, np.float32), np.array([-2.0])])
    spec = ModelSpec(
        name="bright",
        labels=("dark", "bright"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS,
        grid=Grid(shape=shape, padding_value=-1000.0),
        intensity=Intensity(
            units="HU",
            dtype="int16",
            transform="clip and scale",
            modalities=("CT",),
            window=(-1000.0, 1000.0),
        ),
        cam_layers=(cam_layer(model),),
        description="Its cam marks bright voxels; no training.",
    )
    return _recipe(model, spec, "3-D, one logit, known map")


def _balanced(model: keras.Model) -> keras.Model:
    """Every class for some features and against others, so that no map has one sign."""
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel - kernel.mean(axis=0), bias])
    return model


def _recipe(model: keras.Model, spec: ModelSpec, kind: str) -> Recipe:
    spec = replace(
        spec,
        explanations=explanations(spec.cam_layers),
        licence="Apache-2.0",
        intended_use="Tests of vcam; no medical meaning.",
        provenance=Provenance(
            data_set="none, random weights",
            library_versions={"keras": keras.__version__},
            created_at="2025-01-01T00:00:00Z",
        ),
        metrics=(Metric(name="auc", value=0.5, lower=0.4, upper=0.6, count=10, split="test"),),
    )
    return Recipe(model=model, spec=spec, kind=kind)
