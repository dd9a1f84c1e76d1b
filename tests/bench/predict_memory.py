"""Peak memory of a whole predict: read, prepare, ask, and write every result.

A CT of 512×512×300 voxels (int16, 157 MB, .nii.gz). The stand-in server runs in a process of
its own; the client's peak is that of its process from beginning to end, libraries included.
`ratio` is of what it may take: 2.5 times the raw voxels, and 150 MB.

predict_memory.py serve answers until its standard input ends; predict_memory.py predict ADDRESS
SCAN OUT [OPTION...] predicts once and prints the peak in MB (10⁶ bytes) and the seconds.
"""

import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (512, 512, 300)
AFFINE = np.diag([-0.7, -0.7, 1.25, 1.0])
GRID = (64, 128, 128)
CELLS = (8, 12, 12)
LABELS = ("clear", "lesion", "nodule", "effusion")

VOXEL_COPIES, FIXED_MB = 2.5, 150.0
"""What a predict may take: so many times the raw voxels, and so many MB beside."""

VARIANTS = {
    "predict and write": (),
    "the same, signed map, mask and boxes": ("signed", "threshold"),
    "the same, every one of 4 classes": ("signed", "threshold", "all_classes"),
}


def run() -> list[dict]:
    """A row for each variant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nib.save(nib.Nifti1Image(_scan(), AFFINE), folder / "scan.nii.gz")
        with subprocess.Popen(
            [sys.executable, __file__, "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            try:
                return [_row(title, address, folder, VARIANTS[title]) for title in VARIANTS]
            finally:
                server.stdin.close()


def _row(title: str, address: str, folder: Path, options: tuple[str, ...]) -> dict:
    scan, out = str(folder / "scan.nii.gz"), str(folder / "out")
    command = [sys.executable, __file__, "predict", address, scan, out, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = map(float, done.stdout.split())
    raw = np.prod(SHAPE) * 2 / 1e6
    allowed = VOXEL_COPIES * raw + FIXED_MB
    return {
        "name": f"memory: {title}",
        "what": f"{peak:.0f} MB of {allowed:.0f} MB, {seconds:.1f} s",
        "peer": f"{VOXEL_COPIES:g} × {raw:.0f} MB + {FIXED_MB:.0f} MB",
        "ratio": peak / allowed,
        "limit": 1.0,
        "peak_memory_mb": peak,
    }


def _predict(address: str, scan: str, out: str, *options: str) -> None:
    from vcam_client import Client
    from vcam_client.results import Choices, explain, write_results

    start = time.perf_counter()
    chosen = {name: 0.5 if name == "threshold" else True for name in options}
    choices = Choices(**chosen)
    with Client(address) as client:
        predictions = explain(client, scan, choices=choices)
    write_results(predictions, out, choices)
    print(_own_peak_mb(), time.perf_counter() - start)


def _serve() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from client.stand_in import SPEC, stand_in

    from vcam_client.spec import Activation, CamLayer, ExplainDefault, Grid

    layer = CamLayer(name="map", cells=CELLS, offset=(4, 18.5, 18.5), stride=(8, 8, 8))
    spec = dataclasses.replace(
        SPEC,
        labels=LABELS,
        activation=Activation.SIGMOID,
        explain_default=ExplainDefault.HIGHEST_FINDING,
        grid=Grid(shape=GRID, padding_value=-1000),
        cam_layers=(layer,),
    )
    cam = np.random.default_rng(0).normal(size=(1, len(LABELS), *CELLS)).astype(np.float32)
    scores = np.array([[0.1, 0.9, 0.3, 0.4]], np.float32)
    one = {"scores": scores, "cam": cam[:, 1], "class_index": np.array([1], np.int32)}
    every = {"scores": scores, "cam": cam}
    with stand_in() as server:
        server.spec_json = spec.to_json()
        server.predict = lambda request: (
            every if request.model_spec.signature_name == "gradcam_all" else one
        )
        print(server.address, flush=True)
        sys.stdin.read()


def _scan() -> np.ndarray:
    rng = np.random.default_rng(0)
    i, j, _ = np.ogrid[: SHAPE[0], : SHAPE[1], :1]
    body = (((i - 256) / 200) ** 2 + ((j - 256) / 150) ** 2 < 1)[..., 0]
    scan = np.full(SHAPE, -1000, np.int16)
    for n in range(SHAPE[2]):
        scan[..., n][body] = rng.normal(40, 12, int(body.sum())).astype(np.int16)
    return scan


def _own_peak_mb() -> float:
    """Of this process alone: ru_maxrss starts at that of the process it came from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _predict(*sys.argv[2:])
