"""Models of a few lines of NumPy, and scans on their grid, for checks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from vcam_client import ModelSpec, Prediction, Volume
from vcam_client._calls import Answer, Call, Steps, Traffic
from vcam_client._steps import Done, advance
from vcam_client._verifying import Plan, verify_prediction
from vcam_client.spec import Activation
from vcam_client.verification import Verification

Model = Callable[[np.ndarray], np.ndarray]
"""Inputs [B, *grid] to logits [B, K]."""

PEAK = (2, 3, 4)
"""The cell that maps mark; voxels 4…5, 6…7, 8…9 of the model's grid."""


def answered(steps: Steps[Any], model: Model, spec_: ModelSpec, calls: list[Call]) -> Any:
    """Makes the calls; each is recorded with a copy of its volumes."""
    step = advance(steps, None)
    while not isinstance(step, Done):
        volumes = np.array(step.inputs["volume"])
        calls.append(dataclasses.replace(step, inputs={"volume": volumes}))
        logits = model(volumes[..., 0].astype(np.float64))
        outputs = {"logits": logits.astype(np.float32), "scores": scores_of(logits, spec_)}
        answer = Answer(outputs=outputs, version=3, traffic=Traffic(sent=volumes.nbytes))
        step = advance(steps, answer)
    return step.result


def scores_of(logits: np.ndarray, spec_: ModelSpec) -> np.ndarray:
    rows = logits / (spec_.calibration_temperature or 1)
    if spec_.activation is Activation.SOFTMAX:
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        rows = powers / powers.sum(axis=1, keepdims=True)
    elif spec_.activation is Activation.SIGMOID:
        rows = 1 / (1 + np.exp(-rows))
    return rows.astype(np.float32)


def checked(
    prediction_: Prediction, model: Model, calls: list[Call] | None = None, **plan: Any
) -> Verification:
    steps = verify_prediction(prediction_, Plan(**{"fill": "median", **plan}))
    found = answered(steps, model, prediction_.spec, [] if calls is None else calls)
    assert isinstance(found, Verification)
    return found


def one_logit(weights: np.ndarray, scale: float = 1e-3) -> Model:
    """z = scale · Σ weights · x as two logits, −z/2 and z/2."""

    def model(volumes: np.ndarray) -> np.ndarray:
        axes = tuple(range(1, volumes.ndim))
        z = scale * (weights * volumes).sum(axis=axes)
        return np.stack([-z / 2, z / 2], axis=1)

    return model


def lesion(at: tuple[slice, slice, slice] = np.s_[4:6, 6:8, 8:10]) -> np.ndarray:
    """Weights of a model that looks at one part of the grid of 8×10×12 voxels."""
    weights = np.zeros((8, 10, 12))
    weights[at] = 1
    return weights


def on_the_grid(values: np.ndarray, **more: Any) -> Volume:
    """A scan that lies on the grid voxel by voxel: arrays [z, y, x] of an LPS image."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    return Volume(data=values.transpose(2, 1, 0), affine=affine, name="scan", **more)


def noise(shape: tuple[int, ...] = (8, 10, 12)) -> np.ndarray:
    return np.random.default_rng(5).integers(-900, -700, shape).astype(np.int16)


def bright() -> np.ndarray:
    values = noise()
    values[4:6, 6:8, 8:10] = 600
    return values
