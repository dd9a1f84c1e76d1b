"""Networks whose features, gradients and maps are known by hand."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from vcam_client.spec import ExplainDefault, Fit, Grid, Intensity, SliceAggregation
from vcam_training.data.contract import DataContract
from vcam_training.inspecting.subject import Subject
from vcam_training.network import Network
from vcam_training.task import Task

WINDOW = (0.0, 2.0)


@pytest.fixture(scope="session")
def subject_of() -> Callable[..., Subject]:
    """A subject of a model, with whatever else is said of it."""

    def make(
        model: keras.Model,
        *,
        task: Task = Task.CLASSES,
        labels: tuple[str, ...] = ("nothing", "thing"),
        explain_default: ExplainDefault = ExplainDefault.TOP_CLASS,
        layer: str = "cells",
        temperature: float | None = None,
        window: tuple[float, float] | None = WINDOW,
        unit: str = "",
    ) -> Subject:
        grid = tuple(model.inputs[0].shape[1:-1])
        return Subject(
            place=Path("nowhere"),
            name="known",
            network=Network(path=Path("nowhere/model.keras"), model=model, explained=(layer,)),
            contract=DataContract(
                task=task,
                labels=labels,
                grid=Grid(shape=grid, axes=(), fit=Fit.STRETCH),
                intensity=Intensity(window=window),
                unit=unit,
                slice_aggregation=SliceAggregation.NONE if len(grid) == 2 else None,
            ),
            explain_default=explain_default,
            method="gradcam",
            temperature=temperature,
            config=None,
            data_sha256="",
        )

    return make


@pytest.fixture(scope="session")
def known_model() -> Callable[..., keras.Model]:
    """Features are the voxels times given factors; logits weight the features' means."""

    def make(
        grid: tuple[int, ...], factors: tuple[float, ...], weights: list[list[float]]
    ) -> keras.Model:
        volume = x = keras.Input((*grid, 1))
        convolution = (layers.Conv2D if len(grid) == 2 else layers.Conv3D)(
            len(factors), 1, use_bias=False, name="cells"
        )
        pool = layers.GlobalAveragePooling2D if len(grid) == 2 else layers.GlobalAveragePooling3D
        x = pool()(convolution(x))
        dense = layers.Dense(len(weights[0]), use_bias=False, name="logits")
        model = keras.Model(volume, dense(x))
        kernel = np.array(factors, np.float32).reshape((1,) * len(grid) + (1, len(factors)))
        convolution.set_weights([kernel])
        dense.set_weights([np.array(weights, np.float32)])
        return model

    return make
