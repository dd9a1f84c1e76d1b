"""What a map costs on top of the scores, served through the session loader.

The Keras CT network (1,352,897 parameters with one output) on 128×128×64 voxels: `scores`
and `cam` of each signature, against the signature `scores` of the same servable.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from vcam_client.spec import Activation, ExplainDefault, Grid, Intensity, ModelSpec
from vcam_serving.session import Servable
from vcam_training.cams.cam_methods import METHODS
from vcam_training.cams.target_layer import target_layer
from vcam_training.exporting.explanations import explanations
from vcam_training.exporting.export import export
from vcam_training.intensity import Window
from vcam_training.models import KerasCt

GRID = (64, 128, 128)
"""Tensor grid [D, H, W]."""

WINDOW = (-1000.0, 400.0)
FINDINGS = 14
PAIRS = 15


@dataclass(frozen=True)
class Case:
    """Signatures of one servable.

    Attributes:
        layer: the target layer, or several that are fused.
        outputs: of the network; 1 for two classes.
        limits: most that each may cost, in units of scores alone.
    """

    layer: str
    outputs: int
    limits: dict[str, float]


CASES = (
    # needs the gradients of poolings and dense layers only
    Case("conv4", 1, dict.fromkeys(METHODS, 1.05)),
    # also that of a convolution, a twentieth of the network
    Case("conv3", 1, {"gradcam": 1.10}),
    # the same gradients, and two interpolations of some thousand cells
    Case("conv4+conv3", 1, {"gradcam": 1.15}),
    Case("conv4", FINDINGS, {"gradcam_all": 1.5}),
)


def run() -> list[dict]:
    """One row for each signature of each case."""
    with tempfile.TemporaryDirectory() as folder:
        return [row for n, case in enumerate(CASES) for row in _rows(case, Path(folder) / str(n))]


def keras_ct(outputs: int) -> keras.Model:
    """The network, with random weights."""
    keras.utils.set_random_seed(0)
    return KerasCt().build(GRID, Window(*WINDOW), outputs)


def exported(model: keras.Model, layer: str, base: Path) -> Path:
    """A servable that explains a layer by every method."""
    outputs = model.output_shape[1]
    single = outputs == 1
    layers = (target_layer(model, layer).place,)
    spec = ModelSpec(
        name="keras_ct",
        labels=("normal", "abnormal") if single else tuple(f"finding {n}" for n in range(outputs)),
        activation=Activation.SOFTMAX if single else Activation.SIGMOID,
        explain_default=(
            ExplainDefault.POSITIVE_CLASS if single else ExplainDefault.HIGHEST_FINDING
        ),
        grid=Grid(shape=GRID, padding_value=-1024.0),
        intensity=Intensity(units="HU", dtype="int16", window=WINDOW),
        cam_layers=layers,
        explanations=explanations(layers),
    )
    return export(model, spec, base)


def volume() -> np.ndarray:
    """int16 [1, *GRID, 1], noise in the window."""
    return np.random.default_rng(0).integers(-1000, 400, (1, *GRID, 1)).astype(np.int16)


def compare(ours: Callable[[], object], peer: Callable[[], object], pairs: int) -> tuple:
    """Median ratio of alternating runs, and the median seconds of ours.

    Each ratio is of two runs each, ours – peer – peer – ours, so that whatever else
    the machine begins or ends to do meets both.
    """
    for warm in (ours, peer):
        warm()
    ratios, seconds = [], []
    for _ in range(pairs):
        first, second, third, fourth = map(_seconds, (ours, peer, peer, ours))
        ratios.append((first + fourth) / (second + third))
        seconds.append((first + fourth) / 2)
    return statistics.median(ratios), statistics.median(seconds)


def _rows(case: Case, base: Path) -> list[dict]:
    path = exported(keras_ct(case.outputs), case.layer, base)
    with Servable(path) as servable:
        return [_row(servable, case, name, limit) for name, limit in case.limits.items()]


def _row(servable: Servable, case: Case, signature: str, limit: float) -> dict:
    inputs = {"volume": volume()}
    if "class_index" in servable.signatures[signature].inputs:
        inputs["class_index"] = np.array([-1], np.int32)
    scan = {"volume": inputs["volume"]}
    ratio, seconds = compare(
        lambda: servable.run(signature, inputs, ["scores", "cam"]),
        lambda: servable.run("scores", scan, ["scores"]),
        PAIRS,
    )
    classes = f", {case.outputs} classes" if signature.endswith("_all") else ""
    return {
        "name": f"cam cost, {signature}, {case.layer}",
        "what": f"scores and cam{classes}, {1000 * seconds:.0f} ms",
        "peer": "scores alone, the same network",
        "ratio": ratio,
        "limit": limit,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
