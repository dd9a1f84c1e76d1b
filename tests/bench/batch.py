"""How close a run over a folder comes to what the server, or this machine, can do.

40 CTs of 256×256×150 voxels (int16, .nii.gz), each read, resampled onto a grid of
128×128×64, explained, and its map and picture written.

- A server that takes one scan at a time and answers after 200 ms without using a
  processor: 5 scans per second, however fast the client is. The peer is that rate.
- The embedded server with the golden CT model, which uses the same cores. The peer is the
  processor time of client and server, spread evenly over all cores. What other processes
  take counts against the run, so it is repeated until they take little; `what` says how
  much they took of the run that counts.

batch.py SCANS MODEL ADDRESS RESULTS runs the client's side and prints what it measured.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SCANS = 40
DIFFERENT = 8
"""Scans that differ; the others are links to them."""
SHAPE = (256, 256, 150)
AFFINE = np.diag([-1.4, -1.4, 2.0, 1.0])
ANSWER_S = 0.2
ROUNDS = 3
"""Runs of each; the fastest counts, so that a busy machine doesn't."""
MOST_ROUNDS = 10
QUIET = 0.04
"""Share of the machine that other processes may take of a run that settles it."""
LIMITS = {"waiting": 1 / 0.9, "computing": 1.15}
"""Most that a run may take, in units of the peer."""


def run() -> list[dict]:
    """One row for each server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scans").mkdir()
        for n in range(SCANS):
            path = folder / "scans" / f"scan{n:02}.nii.gz"
            if n < DIFFERENT:
                nib.save(nib.Nifti1Image(_scan(n), AFFINE), path)
            else:
                os.link(folder / "scans" / f"scan{n % DIFFERENT:02}.nii.gz", path)
        return [_waiting(folder), _computing(folder)]


def _waiting(folder: Path) -> dict:
    with _server("slow") as server:
        runs = [_client(folder, "default", server.address, n) for n in range(ROUNDS)]
    best = min(runs, key=lambda r: r["seconds"])
    ideal = SCANS * ANSWER_S
    return {
        "name": "folder, server of 200 ms",
        "what": f"{SCANS / best['seconds']:.2f} scans per second against {1 / ANSWER_S:.0f}",
        "peer": "the server's own rate",
        "ratio": best["seconds"] / ideal,
        "limit": LIMITS["waiting"],
        "peak_memory_mb": best["peak_mb"],
    }


def _computing(folder: Path) -> dict:
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    models = folder / "models"
    subprocess.run(
        [sys.executable, "-m", "golden", models], env=environment, check=True, capture_output=True
    )
    cores = os.cpu_count() or 1
    runs = []
    with _server("serve", models) as server:
        for n in range(MOST_ROUNDS + 1):  # the first warms the server up
            busy, before = _busy_s(), _processor_s(server.pid)
            one = _client(folder, "ct", server.address, ROUNDS + n)
            own = one["processor_s"] + _processor_s(server.pid) - before
            one["ideal"] = own / cores
            started = one["whole_s"] - one["processor_s"]  # importing, and looking for scans
            one["others"] = (_busy_s() - busy - own - started) / (one["wall_s"] * cores)
            runs.append(one)
            if n >= ROUNDS and one["others"] < QUIET:
                break
    best = min(runs[1:], key=lambda r: r["seconds"] / r["ideal"])
    return {
        "name": "folder, embedded server",
        "what": f"{best['seconds']:.2f} s against {best['ideal']:.2f} s on {cores} cores, "
        f"others took {max(0, best['others']):.0%}",
        "peer": "processor time of both, over all cores",
        "ratio": best["seconds"] / best["ideal"],
        "limit": LIMITS["computing"],
        "peak_memory_mb": best["peak_mb"],
    }


@dataclass(frozen=True)
class _Server:
    address: str
    pid: int


@contextmanager
def _server(*arguments: str | Path) -> Iterator[_Server]:
    """This file as a server, in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"Expected {command[2]} to serve, it ended.")
            yield _Server(address, process.pid)
        finally:
            process.terminate()


def _client(folder: Path, model: str, address: str, n: int) -> dict[str, Any]:
    arguments = [folder / "scans", model, address, folder / f"out{n}"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured | {"wall_s": time.perf_counter() - start}


def _run_client(scans: str, model: str, address: str, out: str) -> None:
    from vcam_client import Client
    from vcam_client.batch import find_scans, run_batch

    items = find_scans([scans])
    with Client(address) as client:
        processor, start = time.process_time(), time.perf_counter()
        summary = run_batch(client, items, out, model=model)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    if summary.done != SCANS:
        raise RuntimeError(summary.text)
    measured = {
        "seconds": seconds,
        "processor_s": processor,
        "whole_s": time.process_time(),
        "peak_mb": _own_peak_mb(),
    }
    print(json.dumps(measured))


def _serve_slowly() -> None:
    import dataclasses

    from client.stand_in import SPEC, answer, stand_in

    from vcam_client.spec import CamLayer, Grid

    cells = (16, 30, 30)
    layer = CamLayer(name="cam", cells=cells, offset=(1.5, 1.6, 1.6), stride=(4, 4.3, 4.3))
    spec = dataclasses.replace(SPEC, grid=Grid(shape=(64, 128, 128)), cam_layers=(layer,))
    cam = np.zeros(cells, np.float32)
    cam[6:10, 12:18, 12:18] = 1
    cam[8, 15, 15] = 2
    one_at_a_time = threading.Lock()

    def slowly(_request: object) -> Any:
        with one_at_a_time:
            time.sleep(ANSWER_S)
        return answer(cam=cam)

    with stand_in() as server:
        server.spec_json, server.predict = spec.to_json(), slowly
        print(server.address, flush=True)
        sys.stdin.read()


def _serve(models: str) -> None:
    from vcam_serving import EmbeddedServer

    with EmbeddedServer(Path(models), port=0, rest_port=0) as server:
        print(server.address, flush=True)
        sys.stdin.read()


def _scan(seed: int) -> np.ndarray:
    """Smooth structures and noise in a body, air of one value around it."""
    rng = np.random.default_rng(seed)
    i, j = np.ogrid[: SHAPE[0], : SHAPE[1]]
    body = ((i - 128) / 100) ** 2 + ((j - 128) / 75) ** 2 < 1
    scan = np.full(SHAPE, -1000, np.int16)
    for n in range(SHAPE[2]):
        plane = 60 * np.sin(i / 12) + 50 * np.cos(j / 15) + 40 * np.sin(n / 9)
        scan[..., n][body] = (plane + rng.normal(0, 12, SHAPE[:2]))[body]
    return scan


def _processor_s(pid: int) -> float:
    """Processor time of another process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy_s() -> float:
    """Processor time that all processes of this machine have used."""
    user, nice, system, _idle, _wait, *rest = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _own_peak_mb() -> float:
    """Of this process alone: ru_maxrss starts at that of the process it came from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    elif sys.argv[1] == "slow":
        _serve_slowly()
    else:
        _run_client(*sys.argv[1:])
