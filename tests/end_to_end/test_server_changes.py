"""The client while its server is killed and started again, or gets a new version."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from client.reviving import Revived, wait_until_served
from end_to_end.mortal_vcam_serve import MARK
from served.publishing import publish_copy

from vcam_client import AsyncClient, Client, Prediction, Retries, Volume
from vcam_client.batch import find_scans, run_batch

if TYPE_CHECKING:
    from golden import Golden

SCAN = Volume(
    data=np.random.default_rng(0).integers(-1000, 1000, (20, 16, 12)).astype(np.int16),
    affine=np.diag([-1.0, -1.0, 1.0, 1.0]),
    modality="CT",
)


@pytest.fixture
def base(golden: "dict[str, Golden]", tmp_path: Path) -> Path:
    publish_copy(golden["bright"].path, tmp_path / "served", 1)
    return tmp_path / "served"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """`vcam-serve` in a process of its own."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.port, self.rest_port = free_port(), free_port()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [Path(sys.executable).with_name("vcam-serve"), self._base]
        ports = ["--port", str(self.port), "--rest-port", str(self.rest_port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, *ports], env=os.environ, **quiet)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self._process = self._start()


@pytest.fixture
def served(base: Path) -> Iterator[Served]:
    server = Served(base)
    yield server
    server.kill()


def test_a_server_that_is_killed_and_started_again(served: Served) -> None:
    retries = Retries(attempts=60, most_s=1, absent_s=60)
    with (
        Client(f"127.0.0.1:{served.port}", retries=retries) as client,
        Client(f"http://127.0.0.1:{served.rest_port}", retries=retries) as rest,
    ):
        before = [c.predict(SCAN) for c in (client, rest)]
        served.restart()
        after = [c.predict(SCAN) for c in (client, rest)]
    for one in (*before, *after):
        np.testing.assert_allclose(one.scores, before[0].scores, atol=1e-6)


def test_a_new_version_under_load_fails_no_call(base: Path, golden: "dict[str, Golden]") -> None:
    from vcam_serving import EmbeddedServer

    found: dict[str, list[Prediction]] = {"grpc": [], "rest": [], "aio": []}
    failed: list[BaseException] = []
    done = threading.Event()

    def blocking(kind: str, address: str) -> None:
        try:
            with Client(address) as client:
                while not done.is_set():
                    found[kind].append(client.predict(SCAN))
        except BaseException as error:
            failed.append(error)

    def awaited(address: str) -> None:
        async def run() -> None:
            async with AsyncClient(address) as client:
                while not done.is_set():
                    found["aio"] += await asyncio.gather(*(client.predict(SCAN) for _ in range(4)))

        try:
            asyncio.run(run())
        except BaseException as error:
            failed.append(error)

    with EmbeddedServer(base, port=0, rest_port=0, poll_wait_seconds=0.05) as server:
        threads = [
            threading.Thread(target=blocking, args=("grpc", server.address)),
            threading.Thread(target=blocking, args=("rest", f"http://{server.rest_address}")),
            threading.Thread(target=awaited, args=(server.address,)),
        ]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3):
                publish_copy(golden["bright"].path, base, version)
                server.wait_until_available("default", version, 30)
                waited = threading.Event()
                for _ in range(200):
                    latest = [f[-1].version for f in found.values() if f]
                    if failed or latest == [version] * 3:
                        break
                    waited.wait(0.05)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert not failed
    for kind, predictions in found.items():
        versions = [p.version for p in predictions]
        assert set(versions) == {1, 2, 3}, kind
        assert all(p.label == "bright" for p in predictions)


def test_more_callers_than_the_server_has_threads(base: Path) -> None:
    """TensorFlow Serving has four threads for each processor; the others wait and ask again."""
    from vcam_serving import EmbeddedServer

    with (
        EmbeddedServer(base, port=0, rest_port=0, grpc_max_threads=2) as server,
        Client(server.address, retries=Retries(attempts=40, most_s=1)) as client,
        ThreadPoolExecutor(32) as threads,
    ):
        found = list(threads.map(lambda _: client.predict(SCAN), range(64)))
    assert [p.label for p in found] == ["bright"] * 64


def test_a_scan_that_kills_the_server_fails_alone(base: Path, tmp_path: Path) -> None:
    """In the middle of good ones, with several under way; the server is started again each time."""
    scans, counts, port = tmp_path / "scans", tmp_path / "counts", free_port()
    scans.mkdir()
    rng = np.random.default_rng(0)
    for n in range(7):
        data = rng.integers(-1000, 1000, (20, 16, 12)).astype(np.int16)
        data = np.full_like(data, MARK) if n == 1 else data
        nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1.0, 1.0, 1.0])), scans / f"{n}.nii.gz")
    script = Path(__file__).with_name("mortal_vcam_serve.py")
    command = [sys.executable, script, counts, base, "--port", port, "--rest-port", 0]
    address = f"127.0.0.1:{port}"
    with Revived(command) as revived, Client(address) as client:
        wait_until_served(address)
        summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=3)
        wait_until_served(address)  # the run may end before the server is there again
    assert (summary.done, summary.failed, summary.left) == (6, 1, 0)
    assert counts.read_text().splitlines() == ["asked"] * 2
    assert revived.starts == 3
    log = (tmp_path / "out" / "results.jsonl").read_text()
    assert '"1.nii.gz", "status": "failed"' in log
    assert "may have ended because of this call" in log
