"""How fast a large `.nii.gz` is read, and in how much memory, beside nibabel.

512×512×300 int16 voxels like a CT: smooth structures and noise within a body, constant
air outside. The sides take turns; their memory is measured in processes of their own.
"""

import gzip
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from vcam_client import read_volume

SHAPE = (512, 512, 300)
PAIRS = 7
LIMIT = 0.5
"""Most of nibabel's time that reading may take."""

_PEAK = """
import re, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import nifti_load

def peak():
    # not ru_maxrss, which a process inherits
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

before = peak()
nifti_load.{side}(Path({path!r}))
print(peak() - before, peak())
"""


def ours(path: Path) -> np.ndarray:
    return read_volume(path).data


def peer(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def run() -> list[dict]:
    """One row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii.gz"
        _write(path)
        sizes = [n / 2**20 for n in (2 * np.prod(SHAPE), path.stat().st_size)]
        np.testing.assert_array_equal(ours(path), peer(path))
        seconds = [(_seconds(ours, path), _seconds(peer, path)) for _ in range(PAIRS)]
        peaks = [_peak(path, side.__name__) for side in (ours, peer)]
    medians = [statistics.median(side) for side in zip(*seconds, strict=True)]
    return [
        {
            "name": "nifti load",
            "what": f"{sizes[0]:.0f} MB of voxels from {sizes[1]:.0f} MB of .nii.gz, "
            f"{1000 * medians[0]:.0f} ms, {peaks[0][0]:.0f} MB more memory",
            "peer": f"nibabel, {1000 * medians[1]:.0f} ms, {peaks[1][0]:.0f} MB more memory",
            "ratio": statistics.median(a / b for a, b in seconds),
            "limit": LIMIT,
            "peak_memory_mb": peaks[0][1],
        }
    ]


def _seconds(read: Callable[[Path], np.ndarray], path: Path) -> float:
    start = time.perf_counter()
    read(path)
    return time.perf_counter() - start


def _peak(path: Path, side: str) -> list[float]:
    """Megabytes that one reading adds to a process of its own, and that this one peaks at."""
    code = _PEAK.format(folder=str(Path(__file__).parent), side=side, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def _write(path: Path) -> None:
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.diag([-0.7, 0.7, 1.0, 1.0])).header
    header.set_data_shape(SHAPE)
    header["vox_offset"] = header.single_vox_offset
    rng = np.random.default_rng(0)
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE[:2])
    radius = (x[:, None] / 0.75) ** 2 + (y / 0.6) ** 2
    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as stream:
        stream.write(header.binaryblock.ljust(352, b"\0"))
        for k in range(SHAPE[2]):
            soft = 60 * np.sin(9 * x[:, None] + k / 20) * np.cos(7 * y) - 700 * (
                np.hypot(x[:, None] - 0.3, y) < 0.25
            )
            plane = np.where(radius < 1, soft + rng.normal(0, 12, SHAPE[:2]), -1000)
            stream.write(np.rint(plane).astype("<i2").tobytes(order="F"))
