"""How fast a DICOM series is read, and in how much memory, beside plain pydicom.

A CT of 300 slices of 512×512 int16, uncompressed. The peer reads serially: dcmread,
pixel_array, rescale, sorted by position, stacked. The sides take turns, each reading in
a process of its own, imports done; their memory is what that process peaks at.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SLICES, SIZE = 300, 512
PAIRS = 7
TIME_LIMIT = 1.1
"""Most of pydicom's time that reading may take."""
MEMORY_LIMIT = 0.6
"""Most of pydicom's peak memory."""

_SIDE = """
import json, re, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
import dicom_series

def peak():
    # not ru_maxrss, which a process inherits
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

read = dicom_series.{side}()
start = time.perf_counter()
data = read(Path({path!r}))
seconds = time.perf_counter() - start
print(json.dumps([seconds, peak(), int(data[::7, ::7, ::7].sum())]))
"""


def ours():
    from vcam_client import _dicom, read_volume  # noqa: F401 - imported before the clock runs

    return lambda folder: read_volume(folder).data


def peer():
    import pydicom
    from pydicom.pixels.processing import apply_rescale

    def read(folder: Path) -> np.ndarray:
        datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        datasets.sort(key=lambda d: float(d.ImagePositionPatient[2]))
        planes = [apply_rescale(d.pixel_array, d).astype(np.int16) for d in datasets]
        return np.stack(planes).transpose(2, 1, 0)

    return read


def run() -> list[dict]:
    """A row for time, and one for memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        pairs = [(_measured("ours", folder), _measured("peer", folder)) for _ in range(PAIRS)]
    assert len({side[2] for pair in pairs for side in pair}) == 1, "the sides differ"
    mine, theirs = (
        [statistics.median(run[n] for run in side) for n in range(2)]
        for side in zip(*pairs, strict=True)
    )
    size = SLICES * SIZE * SIZE * 2 / 2**20
    common = {
        "what": f"{SLICES} CT slices, {size:.0f} MB, {1000 * mine[0]:.0f} ms, {mine[1]:.0f} MB",
        "peer": f"pydicom, {1000 * theirs[0]:.0f} ms, {theirs[1]:.0f} MB",
        "peak_memory_mb": mine[1],
    }
    ratio = statistics.median(a[0] / b[0] for a, b in pairs)
    return [
        {"name": "dicom series, time", **common, "ratio": ratio, "limit": TIME_LIMIT},
        {
            "name": "dicom series, memory",
            **common,
            "ratio": mine[1] / theirs[1],
            "limit": MEMORY_LIMIT,
        },
    ]


def _measured(side: str, folder: Path) -> list[float]:
    """Seconds, peak megabytes and a checksum of one reading in a process of its own."""
    code = _SIDE.format(folder=str(Path(__file__).parent), side=side, path=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _write(folder: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from client.dicom_files import write_slice

    rng = np.random.default_rng(0)
    for n in rng.permutation(SLICES):
        pixels = rng.integers(0, 4000, (SIZE, SIZE)).astype(np.int16)
        tags = {"RescaleIntercept": -1024, "InstanceNumber": int(n) + 1, "StudyInstanceUID": "1.2"}
        write_slice(folder / f"{n:04d}.dcm", pixels, (-180.0, -180.0, n * 1.25), **tags)
