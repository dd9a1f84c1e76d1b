"""A servable with maps on two layers and fused of both."""

from dataclasses import replace
from pathlib import Path

import keras
from golden import Golden
from keras import layers

from vcam_client.spec import (
    Activation,
    ExplainDefault,
    Grid,
    Intensity,
    ModelSpec,
)
from vcam_training.cams.target_layer import target_layer
from vcam_training.exporting.explanations import explanations
from vcam_training.exporting.export import export

SHAPE = (12, 14, 16)
TARGETS = ("coarse", "fine", "coarse+fine")
UNREACHABLE = 1e9
"""Evidence minimum of `hirescam`: no map of it is evidence."""


def layered_model() -> keras.Model:
    """Three classes; features and gradients differ from cell to cell on both layers."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((*SHAPE, 1)),
            layers.Conv3D(4, 3, padding="same", activation="relu", name="fine"),
            layers.MaxPooling3D(2),
            layers.Conv3D(5, 3, activation="relu", name="coarse"),
            layers.Flatten(),
            layers.Dense(6, activation="tanh"),
            layers.Dense(3),
        ]
    )


def layered_spec(model: keras.Model, default_method: str = "gradcam") -> ModelSpec:
    """Every method on every target, fused ones included."""
    places = tuple(target_layer(model, name).place for name in TARGETS)
    offered = [
        replace(one, evidence_minimum=UNREACHABLE) if one.signature == "hirescam" else one
        for one in explanations(places, default_method)
    ]
    return ModelSpec(
        name="layered",
        labels=("a", "b", "c"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.TOP_CLASS,
        grid=Grid(shape=SHAPE),
        intensity=Intensity(),
        cam_layers=places,
        explanations=tuple(offered),
    )


def layered(base: Path, default_method: str = "gradcam") -> Golden:
    """Exports it."""
    model = layered_model()
    spec = layered_spec(model, default_method)
    path = export(model, spec, base / spec.name)
    return Golden(name=spec.name, path=path, spec=spec, model=model, kind="3-D, three layers")
