"""Bytes of one explained CT of 128×128×64 voxels, beside the plain way to ask for it.

The plain way: `serving_default` without a filter, the volume as float32, as most examples
for TensorFlow Serving send it. The Keras CT network, on the embedded server.
"""

import resource
import tempfile
from pathlib import Path

import keras
import numpy as np

from vcam_client import Client, Volume
from vcam_client._calls import Call, Target
from vcam_client._connection import connection
from vcam_client._grpc import GrpcTransport
from vcam_client.spec import Activation, ExplainDefault, Grid, Intensity, ModelSpec
from vcam_serving import EmbeddedServer
from vcam_training.cams.receptive_field import cam_layer
from vcam_training.exporting.export import export
from vcam_training.intensity import Window
from vcam_training.models import KerasCt

GRID = (64, 128, 128)
"""Tensor grid [D, H, W]."""

WINDOW = (-1000.0, 400.0)
LIMITS = {"up": 0.55, "down": 0.01}
"""Most of the plain way's bytes, sent and received."""


def run() -> list[dict]:
    """A row for each direction."""
    keras.utils.set_random_seed(0)
    model = KerasCt().build(GRID, Window(*WINDOW), 1)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("int16", "float32"):
            export(model, _spec(model, dtype), Path(folder) / dtype)
        with EmbeddedServer(folder, port=0, rest_port=0) as server:
            ours, plain = _ours(server.address), _plain(server.address)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        {
            "name": f"bytes {direction}, explained CT",
            "what": f"int16, scores and cam: {mine:,} bytes",
            "peer": f"float32, serving_default unfiltered: {theirs:,} bytes",
            "ratio": mine / theirs,
            "limit": LIMITS[direction],
            "peak_memory_mb": memory,
        }
        for direction, mine, theirs in zip(LIMITS, ours, plain, strict=True)
    ]


def _ours(address: str) -> tuple[int, int]:
    """Bytes sent and received by `Client.predict`."""
    values = np.random.default_rng(0).integers(-1000, 400, GRID[::-1]).astype(np.int16)
    scan = Volume(data=values, affine=np.diag([-2.0, -2.0, 2.0, 1.0]), modality="CT")
    with Client(address) as client:
        moved = client.predict(scan, model="int16").traffic
    return moved.sent, moved.received


def _plain(address: str) -> tuple[int, int]:
    """Bytes of one call that asks for no outputs in particular."""
    volume = np.random.default_rng(0).integers(-1000, 400, (1, *GRID, 1)).astype(np.float32)
    call = Call(
        target=Target(model="float32"),
        signature="serving_default",
        inputs={"volume": volume},
        outputs=(),
    )
    transport = GrpcTransport(address, connection(address))
    try:
        moved = transport.predict(call, 120).traffic
    finally:
        transport.close()
    return moved.sent, moved.received


def _spec(model: keras.Model, dtype: str) -> ModelSpec:
    return ModelSpec(
        name=dtype,
        labels=("normal", "abnormal"),
        activation=Activation.SOFTMAX,
        explain_default=ExplainDefault.POSITIVE_CLASS,
        grid=Grid(shape=GRID, padding_value=-1024.0),
        intensity=Intensity(units="HU", dtype=dtype, modalities=("CT",), window=WINDOW),
        cam_layers=(cam_layer(model),),
    )
