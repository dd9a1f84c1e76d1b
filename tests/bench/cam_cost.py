"""What a map costs on top of the scores, served through the session loader.

The Keras CT network (1,352,897 parameters) on 128×128×64 voxels: serving_default
with only `scores` and `cam` fetched, against the signature `scores`.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from vcam_client.spec import Activation, ExplainDefault, Grid, Intensity, ModelSpec
from vcam_serving.session import Servable
from vcam_training.export import export
from vcam_training.models import KerasCt
from vcam_training.receptive_field import cam_layer

GRID = (64, 128, 128)
"""Tensor grid [D, H, W]."""

WINDOW = (-1000.0, 400.0)
PAIRS = 21

LIMITS = {"conv4": 1.05, "conv3": 1.10}
"""Most that scores and cam may cost, in units of scores alone, by target layer.

The last convolution's map needs the gradients of poolings and dense layers only;
that of the layer before also one of a convolution, a twentieth of the network.
"""


def run() -> list[dict]:
    """One row for each target layer."""
    keras.utils.set_random_seed(0)
    model = KerasCt().build(GRID, WINDOW, 1)
    with tempfile.TemporaryDirectory() as folder:
        return [_row(model, name, Path(folder) / name) for name in LIMITS]


def _row(model: keras.Model, layer: str, base: Path) -> dict:
    path = export(model, _spec(model, layer), base)
    volume = np.random.default_rng(0).integers(-1000, 400, (1, *GRID, 1)).astype(np.int16)
    with Servable(path) as servable:

        def scores() -> None:
            servable.run("scores", {"volume": volume}, ["scores"])

        def explained() -> None:
            servable.run("serving_default", {"volume": volume}, ["scores", "cam"])

        ratio, seconds = _compare(explained, scores)
    return {
        "name": f"cam cost, {layer}",
        "what": f"scores and cam, {1000 * seconds:.0f} ms",
        "peer": "scores alone, the same network",
        "ratio": ratio,
        "limit": LIMITS[layer],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _compare(ours: Callable[[], None], peer: Callable[[], None]) -> tuple[float, float]:
    """Median ratio of alternating runs, and the median seconds of ours.

    Each ratio is of two runs each, ours – peer – peer – ours, so that whatever else
    the machine begins or ends to do meets both.
    """
    for warm in (ours, peer) * 2:
        warm()
    ratios, seconds = [], []
    for _ in range(PAIRS):
        first, second, third, fourth = map(_seconds, (ours, peer, peer, ours))
        ratios.append((first + fourth) / (second + third))
        seconds.append((first + fourth) / 2)
    return statistics.median(ratios), statistics.median(seconds)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _spec(model: keras.Model, layer: str) -> ModelSpec:
    return ModelSpec(
        name="keras_ct",
        labels=("normal", "abnormal"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS,
        grid=Grid(shape=GRID, padding_value=-1024.0),
        intensity=Intensity(units="HU", dtype="int16", window=WINDOW),
        cam_layers=(cam_layer(model, layer),),
    )
