"""Runs over a folder against the embedded server: killed, restarted, models replaced."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from served.publishing import publish_copy

from vcam_client import Client, Volume
from vcam_client._options import ReadOptions
from vcam_client.batch import Progress, ScanItem, find_scans, run_batch

if TYPE_CHECKING:
    from golden import Golden

VCAM_SERVE = Path(sys.executable).with_name("vcam-serve")
SCANS = 12


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for n in range(SCANS):
        path = tmp_path / "scans" / f"p{n:02}" / "ct.nii.gz"
        path.parent.mkdir(parents=True)
        data = rng.integers(-1000, 400, (30, 28, 24)).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([-2.0, -2.0, 3.0, 1.0])), path)
    return tmp_path / "scans"


def started(base: Path, port: str) -> tuple["subprocess.Popen[str]", str]:
    process = subprocess.Popen(
        [VCAM_SERVE, base, "--port", port, "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        if match:
            return process, match[1]
    raise AssertionError("".join(said))


@contextmanager
def ending(processes: list["subprocess.Popen[str]"]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_server_killed_and_restarted_in_the_middle_costs_no_scan(
    golden: "dict[str, Golden]", scans: Path, tmp_path: Path
) -> None:
    base = tmp_path / "models" / "ct"
    publish_copy(golden["ct"].path, base)
    first, port = started(base, "0")
    processes = [first]

    def kill_and_restart(progress: Progress) -> None:
        if progress.done >= 3 and len(processes) == 1:
            first.kill()
            first.wait()
            processes.append(started(base, port)[0])

    with ending(processes), Client(f"127.0.0.1:{port}") as client:
        summary = run_batch(
            client,
            find_scans([scans]),
            tmp_path / "out",
            workers=2,
            on_progress=kill_and_restart,
        )
    assert len(processes) == 2
    assert (summary.done, summary.failed, summary.exit_code) == (SCANS, 0, 0), summary.text
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert sorted(keys) == [f"p{n:02}/ct.nii.gz" for n in range(SCANS)]


def test_a_new_version_published_meanwhile_fails_nothing(
    golden: "dict[str, Golden]",
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vcam_serving import EmbeddedServer

    base = tmp_path / "ct"
    publish_copy(golden["ct"].path, base)
    published = threading.Event()
    read = ScanItem.read

    def second_half_later(item: ScanItem, options: ReadOptions) -> Volume:
        if item.key >= f"p{SCANS // 2:02}":
            assert published.wait(60)
        return read(item, options)

    monkeypatch.setattr(ScanItem, "read", second_half_later)
    with (
        EmbeddedServer(base, port=0, rest_port=0, poll_wait_seconds=0.1) as server,
        Client(server.address) as client,
    ):

        def publish(progress: Progress) -> None:
            if progress.done >= 3 and not published.is_set():
                publish_copy(golden["ct"].path, base, 2)
                deadline = time.monotonic() + 60
                while [s.version for s in client.status() if s.available] != [2]:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                published.set()

        summary = run_batch(
            client, find_scans([scans]), tmp_path / "out", workers=2, on_progress=publish
        )
    assert summary.exit_code == 0, summary.text
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    versions = [json.loads(line)["model_version"] for line in lines]
    assert sorted(versions) == [1] * (SCANS // 2) + [2] * (SCANS // 2)
