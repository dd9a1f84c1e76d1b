"""Maps through the session loader against tf-keras-vis on the same Keras model.

The Keras CT network on 128×128×64 voxels, Grad-CAM of conv4. tf-keras-vis is called as
its documentation shows, eagerly and with the map expanded to the volume, on logits and
without cloning the model; it explains one class in a call. Ours returns the same: scores
and the heatmap on the model's grid for one class, scores and raw maps for all.
"""

import importlib.util
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from vcam_serving.session import Servable

LAYER = "conv4"
ONE_CLASS, ALL_CLASSES = 1 / 8, 1 / 60
"""Most that ours may take, in units of tf-keras-vis."""

PAIRS = {1: 5, 14: 2}
"""Repetitions by the number of classes; tf-keras-vis takes minutes for 14."""


def run() -> list[dict]:
    """One row for one class, one for 14."""
    cost = _cam_cost()
    with tempfile.TemporaryDirectory() as folder:
        return [
            _row(cost, 1, ONE_CLASS, Path(folder) / "one"),
            _row(cost, cost.FINDINGS, ALL_CLASSES, Path(folder) / "all"),
        ]


def _row(cost: ModuleType, classes: int, limit: float, base: Path) -> dict:
    model = cost.keras_ct(classes)
    volume = cost.volume()
    inputs = {"volume": volume}
    peer = _keras_vis(model, volume, classes)
    with Servable(cost.exported(model, LAYER, base)) as servable:
        signature, outputs = ("serving_default", ["scores", "heatmap"])
        if classes > 1:
            signature, outputs = ("gradcam_all", ["scores", "cam"])
        ratio, seconds = cost.compare(
            lambda: servable.run(signature, inputs, outputs), peer, PAIRS[classes]
        )
    count = "one class" if classes == 1 else f"{classes} classes"
    return {
        "name": f"cam against tf-keras-vis, {count}",
        "what": f"{signature}, {1000 * seconds:.0f} ms, {1 / ratio:.1f} × as fast",
        "peer": "tf-keras-vis Gradcam, one call for each class",
        "ratio": ratio,
        "limit": limit,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _keras_vis(model: keras.Model, volume: np.ndarray, classes: int) -> Callable[[], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.scores import CategoricalScore
    explain = Gradcam(model, clone=False)
    physical = tf.constant(volume, tf.float32)
    target = model.get_layer(LAYER)

    def maps() -> list[np.ndarray]:
        return [explain(CategoricalScore([k]), physical, target) for k in range(classes)]

    return maps


def _cam_cost() -> ModuleType:
    """The benchmark beside this one, for its network and its way to compare."""
    spec = importlib.util.spec_from_file_location(
        "bench_cam_cost", Path(__file__).with_name("cam_cost.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
