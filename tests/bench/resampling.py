"""What laying a scan onto a model's grid costs, bringing a map back, and writing it.

A CT of 512×512×300 voxels (int16, 157 MB): smooth structures and noise in a body, air of
one value around it. Peers are what one would write with nibabel and scipy. Sides
alternate; each ratio is of their fastest runs. Peak memory is that of our side, which
runs once more in a process of its own; `what` names the peer's beside it.

resampling.py SIDE FOLDER runs one side in FOLDER and prints its peak memory in MB.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from vcam_client import Volume, place, read_volume
from vcam_client._nifti import nifti_bytes
from vcam_client.prediction import HEATMAP_STEP
from vcam_client.spec import CamLayer, Grid, Resampling

SHAPE = (512, 512, 300)
AFFINE = np.diag([-0.7, -0.7, 1.25, 1.0])
GRID_SHAPE = (64, 128, 128)
"""Tensor grid [D, H, W]; of 128×128×64 voxels."""

AIR = -1000
ROUNDS = 9
"""Runs of each side, about; the fastest counts, so that a busy machine meets neither."""

LIMITS = {"prepare": 0.25, "upsample": 0.05, "write": 0.05}
"""Most that our side may take, in units of the peer."""

CAM = CamLayer(name="cam", cells=(16, 30, 30), offset=(1.5, 1.6, 1.6), stride=(4, 4.3, 4.3))
MAP = CamLayer(name="map", cells=(8, 12, 12), offset=(4, 18.5, 18.5), stride=(8, 8, 8))
BLOBS = ((3, 4, 5), (5, 8, 7), (2, 6, 3))
"""Cells around which the map that is written is positive."""

Side = Callable[[], object]


def run() -> list[dict]:
    """One row for each step, and two of resampling alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nib.save(nib.Nifti1Image(_scan(), AFFINE), folder / "scan.nii.gz")
        rows = [
            _row(f"prepare a scan, {kind.name.lower()}", "prepare", folder, f"prepare {kind.name}")
            for kind in Resampling
        ]
        rows += [
            _row(f"resample, {kind.name.lower()}", "prepare", folder, f"resample {kind.name}")
            for kind in Resampling
        ]
        rows.append(_row("map onto the scan", "upsample", folder, "upsample"))
        rows.append(_row("write a heatmap", "write", folder, "write"))
    return rows


PEERS = {
    "prepare": "nibabel get_fdata, scipy zoom (order 1), rounded",
    "resample": "scipy zoom (order 1) of float64, rounded",
    "upsample": "scipy zoom (order 1) to float32",
    "write": "nibabel, the same map as float32",
}


def _row(name: str, limit: str, folder: Path, step: str) -> dict:
    ours, peer = _side(f"ours {step}", folder), _side(f"peer {step}", folder)
    seconds: dict[Side, list[float]] = {ours: [], peer: []}
    for side in (ours, peer) + (ours, peer, peer, ours) * (ROUNDS // 2):
        start = time.perf_counter()
        side()
        seconds[side].append(time.perf_counter() - start)
    fastest = min(seconds[ours]), min(seconds[peer])
    memory = [_peak_memory_mb(f"{whose} {step}", folder) for whose in ("ours", "peer")]
    return {
        "name": name,
        "what": f"{1000 * fastest[0]:.0f} ms against {1000 * fastest[1]:.0f} ms"
        f" and {memory[1]:.0f} MB",
        "peer": PEERS[step.split()[0]],
        "ratio": fastest[0] / fastest[1],
        "limit": LIMITS[limit],
        "peak_memory_mb": memory[0],
    }


def _side(name: str, folder: Path) -> Side:
    """One side of one step, ready to run."""
    whose, step, *kinds = name.split()
    ours = whose == "ours"
    scan = folder / "scan.nii.gz"
    if step == "prepare":
        return (lambda: _prepare(scan, Resampling[kinds[0]])) if ours else (lambda: _zoomed(scan))
    if step == "resample":
        if ours:
            volume = read_volume(scan)
            return lambda: _on_model(volume, Resampling[kinds[0]])
        values = nib.load(scan).get_fdata()
        return lambda: _zoom(values)
    if step == "upsample":
        cells = np.random.default_rng(0).random(CAM.cells).astype(np.float32)
        return (lambda: _stored(cells, CAM)) if ours else (lambda: _zoom_up(cells))
    if ours:
        stored, volume = _stored(_blobs(), MAP), _empty()
        return lambda: (folder / "ours.nii.gz").write_bytes(
            nifti_bytes(stored, volume, HEATMAP_STEP)
        )
    heatmap = place(_empty(), Grid(shape=GRID_SHAPE)).map_on_scan(_blobs(), MAP)
    return lambda: nib.save(nib.Nifti1Image(heatmap, AFFINE), folder / "peer.nii.gz")


def _prepare(scan: Path, resampling: Resampling) -> np.ndarray:
    return _on_model(read_volume(scan), resampling)


def _on_model(volume: Volume, resampling: Resampling) -> np.ndarray:
    grid = Grid(shape=GRID_SHAPE, resampling=resampling)
    return place(volume, grid).to_model(volume.data, np.int16)


def _zoomed(scan: Path) -> np.ndarray:
    return _zoom(nib.load(scan).get_fdata())


def _zoom(values: np.ndarray) -> np.ndarray:
    factors = [m / n for m, n in zip(GRID_SHAPE[::-1], values.shape, strict=True)]
    zoomed = ndimage.zoom(values, factors, order=1, grid_mode=True, mode="nearest")
    return np.rint(zoomed).astype(np.int16)


def _stored(cells: np.ndarray, layer: CamLayer) -> np.ndarray:
    """What `Prediction.stored_heatmap` does."""
    placement = place(_empty(), Grid(shape=GRID_SHAPE))
    return placement.map_on_scan(cells / cells.max() / HEATMAP_STEP, layer, np.uint8)


def _zoom_up(cells: np.ndarray) -> np.ndarray:
    factors = [n / c for n, c in zip(SHAPE[::-1], cells.shape, strict=True)]
    return ndimage.zoom(cells, factors, order=1, grid_mode=True, mode="nearest")


def _empty() -> Volume:
    """The scan's geometry; its voxels are one and the same byte."""
    return Volume(data=np.broadcast_to(np.int8(0), SHAPE), affine=AFFINE)


def _blobs() -> np.ndarray:
    """float32 cells in [0, 1], most of them 0."""
    index = np.indices(MAP.cells)
    cells = sum(
        np.exp(-sum((i - c) ** 2 for i, c in zip(index, blob, strict=True)) / 2.9) for blob in BLOBS
    )
    cells = np.maximum(cells - 0.08, 0)
    return (cells / cells.max()).astype(np.float32)


def _scan() -> np.ndarray:
    rng = np.random.default_rng(0)
    i, j, _ = np.ogrid[: SHAPE[0], : SHAPE[1], :1]
    body = (((i - 256) / 200) ** 2 + ((j - 256) / 150) ** 2 < 1)[..., 0]
    scan = np.full(SHAPE, AIR, np.int16)
    for n in range(SHAPE[2]):
        plane = 60 * np.sin(i[..., 0] / 23) + 50 * np.cos(j[..., 0] / 31) + 40 * np.sin(n / 17)
        scan[..., n][body] = (plane + rng.normal(0, 12, SHAPE[:2]))[body]
    return scan


def _peak_memory_mb(side: str, folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, __file__, side, str(folder)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def _own_peak_mb() -> float:
    """Of this process alone: ru_maxrss starts at that of the process it came from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _side(sys.argv[1], Path(sys.argv[2]))()
    print(_own_peak_mb())
