"""Predictions with known maps on scans of every geometry, without a server."""

import dataclasses
from typing import Any

import numpy as np
from client.stand_in import SPEC

from vcam_client import ModelSpec, Prediction, Volume, place
from vcam_client.spec import CamLayer, Grid, SliceAggregation

CELLS = (4, 5, 6)
GRID = (8, 10, 12)
LAYER = CamLayer(name="conv", cells=CELLS, offset=(0.5, 0.5, 0.5), stride=(2.0, 2.0, 2.0))

PLAIN = np.diag([2.0, 2.5, 3.0, 1.0])
OBLIQUE = np.array([[0.0, -2.4, 0.4, 30], [1.9, 0.0, 0.0, -20], [0.0, 0.32, 3.0, 7], [0, 0, 0, 1]])
FLIPPED = np.array([[0.0, 0.0, -3.0, 50], [-2.0, 0, 0, 10], [0, 2.5, 0, -5], [0, 0, 0, 1]])
SHEARED = np.array([[2.0, 0, 0, -30], [0, 2.5, 0.9, 4], [0, 0, 3.0, 11], [0, 0, 0, 1]])
AFFINES = {"plain": PLAIN, "oblique": OBLIQUE, "flipped": FLIPPED, "sheared": SHEARED}


def spec(**changes: Any) -> ModelSpec:
    """`SPEC` with a grid of 8×10×12 voxels and 4×5×6 cells."""
    usual = {"grid": Grid(shape=GRID, padding_value=-1000), "cam_layers": (LAYER,)}
    return dataclasses.replace(SPEC, **{**usual, **changes})


def slices_spec(aggregation: SliceAggregation = SliceAggregation.MAX) -> ModelSpec:
    """A 2-D model of 10×12 pixels and 5×6 cells."""
    layer = CamLayer(name="conv", cells=CELLS[1:], offset=(0.5, 0.5), stride=(2.0, 2.0))
    grid = Grid(shape=GRID[1:], padding_value=-1000)
    return spec(grid=grid, cam_layers=(layer,), slice_aggregation=aggregation)


def scan(
    affine: np.ndarray = PLAIN, shape: tuple[int, int, int] = (14, 12, 10), **more: Any
) -> Volume:
    """Air with some noise."""
    data = np.random.default_rng(1).integers(-950, -850, shape).astype(np.int16)
    return Volume(data=data, affine=affine, **{"name": "scan", "units": "HU", **more})


def prediction(
    cam: np.ndarray, volume: Volume | None = None, model: ModelSpec | None = None, **more: Any
) -> Prediction:
    """The answer of a model with this map."""
    volume = scan() if volume is None else volume
    model = spec() if model is None else model
    scores = np.linspace(0.2, 0.8, len(model.labels))
    given = {
        "model": "default",
        "version": 3,
        "scores": scores / scores.sum() if model.exclusive else scores,
        "class_index": len(model.labels) - 1,
        "timings": {"read": 0.1},
    }
    return Prediction(
        volume=volume,
        spec=model,
        cam=cam.astype(np.float32),
        placement=place(volume, model.grid, model.slice_aggregation),
        **{**given, **more},
    )


def impulse(*cell: int, value: float = 2.0, cells: tuple[int, ...] = CELLS) -> np.ndarray:
    """A map of one cell."""
    cam = np.zeros(cells)
    cam[cell] = value
    return cam
