"""Runs whose scans exhaust the server, end it, or meet one that is busy."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import nibabel as nib
import numpy as np
import pytest
from client.marks import MARKS, mark_of
from client.rest_stand_in import rest_stand_in
from client.reviving import Revived, free_port, wait_until_served
from client.stand_in import RefusalError, StandIn, answer, stand_in
from client.test_batch_run import records, write_scans

from vcam_client import Client
from vcam_client.batch import Progress, ProgressPrinter, find_scans, run_batch
from vcam_client.errors import CallBrokenError, ServerBusyError, ServerError

OOM = (
    "OOM when allocating tensor with shape[1,64,128,128,64] and type float on "
    "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"
)
QUEUE = "The batch scheduling queue to which this task was submitted is full; task size is 1"
MORTAL = Path(__file__).with_name("mortal_server.py")


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def scans_behind(folder: Path, marks: tuple[int, ...], count: int) -> Path:
    """`count` good scans, and in front of them one for each mark."""
    write_scans(folder, count)
    for mark in marks:
        path = folder / f"a{mark}" / "scan.nii.gz"
        path.parent.mkdir(parents=True)
        data = np.full((16, 12, 8), mark, np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([-2, -2, 3, 1.0])), path)
    return folder


@pytest.mark.parametrize("workers", [1, 4])
def test_scans_that_exhaust_the_server_fail_alone(
    server: StandIn, tmp_path: Path, workers: int
) -> None:
    asked: Counter[int | None] = Counter()

    def exhausted(request: Any) -> Any:
        mark = mark_of(request)
        asked[mark] += 1
        if mark is not None:
            raise RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, OOM)
        return answer()

    server.predict = exhausted
    scans = scans_behind(tmp_path / "scans", MARKS, 40)
    with Client(server.address) as client:
        summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=workers)
    assert (summary.done, summary.failed, summary.left) == (40, 2, 0)
    assert summary.stopped_by is None
    failed = {r["key"]: r["error"] for r in records(tmp_path / "out") if r["status"] == "failed"}
    assert sorted(failed) == [f"a{mark}/scan.nii.gz" for mark in MARKS]
    for error in failed.values():
        assert "ran out of memory" in error["message"]
        assert "shape[1,64,128,128,64]" in error["message"]
    # once more by itself, where others were under way
    assert asked == {None: 40, **dict.fromkeys(MARKS, 1 if workers == 1 else 2)}


def test_scans_that_fit_one_at_a_time_are_all_done(server: StandIn, tmp_path: Path) -> None:
    """The memory is enough for one: whoever meets another is asked about again, alone."""
    room = threading.Semaphore(1)
    refused: list[int] = []

    def small(request: Any) -> Any:
        if not room.acquire(blocking=False):
            refused.append(1)
            raise RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, OOM)
        try:
            time.sleep(0.05)
            return answer()
        finally:
            room.release()

    server.predict = small
    scans = write_scans(tmp_path / "scans", 12)
    with Client(server.address) as client:
        summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=4)
    assert (summary.done, summary.failed) == (12, 0)
    assert refused


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Bandwidth exhausted or memory limit exceeded"),
        (grpc.StatusCode.UNAVAILABLE, QUEUE),
    ],
    ids=["threads", "http2", "batching"],
)
def test_a_busy_server_is_waited_for(
    server: StandIn, tmp_path: Path, code: grpc.StatusCode, text: str
) -> None:
    refused: list[int] = []

    def busy(request: Any) -> Any:
        if len(refused) < 4:
            refused.append(1)
            raise RefusalError(code, text)
        return answer()

    server.predict = busy
    scans = write_scans(tmp_path / "scans", 3)
    with Client(server.address, retries=1) as client:
        with pytest.raises(ServerBusyError, match="is busy"):
            client.predict(scans / "p0" / "scan.nii.gz")
        summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=1)
    assert (summary.done, summary.failed) == (3, 0)
    assert len(refused) == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_a_server_that_ends_on_one_scan_is_asked_about_it_twice(
    tmp_path: Path, workers: int
) -> None:
    scans = scans_behind(tmp_path / "scans", MARKS[:1], 8)
    port, counts = free_port(), tmp_path / "counts"
    address = f"127.0.0.1:{port}"
    with Revived([sys.executable, MORTAL, port, counts]) as revived, Client(address) as client:
        wait_until_served(address)
        summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=workers)
        wait_until_served(address)  # the run may end before the server is there again
    assert (summary.done, summary.failed, summary.left) == (8, 1, 0)
    asked = Counter(counts.read_text().split())
    assert asked[str(MARKS[0])] == 2
    assert revived.starts == 3
    (failed,) = (r for r in records(tmp_path / "out") if r["status"] == "failed")
    assert failed["key"] == f"a{MARKS[0]}/scan.nii.gz"
    assert failed["error"]["type"] == "CallBrokenError"
    assert "may have ended because of this call" in failed["error"]["message"]


def test_a_progress_that_raises_ends_the_run_in_order(server: StandIn, tmp_path: Path) -> None:
    """What is written is logged, and no thread goes on."""
    scans, out = write_scans(tmp_path / "scans", 12), tmp_path / "out"

    def slow(request: Any) -> Any:
        time.sleep(0.05)
        return answer()

    server.predict = slow

    def closed(progress: Progress) -> None:
        raise BrokenPipeError("nobody reads")

    before = threading.active_count()
    with Client(server.address) as client:
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            run_batch(client, find_scans([scans]), out, workers=3, on_progress=closed)
        written = {path.parent.name for path in out.rglob("*_result.json")}
        assert {record["key"].split("/")[0] for record in records(out)} == written
        assert 1 <= len(written) < 12
        time.sleep(0.3)
        assert {path.parent.name for path in out.rglob("*_result.json")} == written
        summary = run_batch(client, find_scans([scans]), out)
        assert (summary.done, summary.skipped) == (12 - len(written), len(written))
    assert threading.active_count() <= before + 64  # those of the stand-in


@pytest.mark.parametrize("how", ["broken", "closed"])
def test_a_printer_that_nobody_reads_is_silent_and_the_run_goes_on(
    server: StandIn, tmp_path: Path, how: str
) -> None:
    if how == "broken":
        reader, writer = os.pipe()
        os.close(reader)
        stream: Any = os.fdopen(writer, "w", buffering=1)
    else:
        stream = io.StringIO()
        stream.close()
        stream.isatty = lambda: False
    scans = write_scans(tmp_path / "scans", 5)
    with Client(server.address) as client:
        summary = run_batch(
            client,
            find_scans([scans]),
            tmp_path / "out",
            on_progress=ProgressPrinter(stream),
        )
    assert (summary.done, summary.failed) == (5, 0)
    if how == "broken":
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_what_failed_is_done_last(server: StandIn, tmp_path: Path) -> None:
    scans = scans_behind(tmp_path / "scans", MARKS, 3)
    bad = True
    order: list[int | None] = []

    def exhausted(request: Any) -> Any:
        order.append(mark_of(request))
        if bad and order[-1] is not None:
            raise RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, OOM)
        return answer()

    server.predict = exhausted
    items = find_scans([scans])
    with Client(server.address) as client:
        run_batch(client, items[:3], tmp_path / "out", workers=1)
        bad = False
        order.clear()
        run_batch(client, items, tmp_path / "out", workers=1)
    assert order == [None, None, *MARKS]


def test_a_scan_that_there_is_never_room_for_stops_one_run_only(
    server: StandIn, tmp_path: Path
) -> None:
    """In words that say nothing of memory: the next run does it last."""

    def busy(request: Any) -> Any:
        if mark_of(request) is not None:
            raise RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota")
        return answer()

    server.predict = busy
    items = find_scans([scans_behind(tmp_path / "scans", MARKS[:1], 5)])
    out = tmp_path / "out"
    with Client(server.address, retries=1) as client:
        first = run_batch(client, items, out, workers=1, patience=0.5)
        assert (first.done, first.failed, first.left) == (0, 1, 5)
        assert isinstance(first.stopped_by, ServerBusyError)
        second = run_batch(client, items, out, workers=1, patience=0.5)
    assert (second.done, second.failed) == (5, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_over_rest_as_well(tmp_path: Path, status: int) -> None:
    scan = write_scans(tmp_path / "scans", 1) / "p0" / "scan.nii.gz"
    text, error = {429: (OOM, ServerError), 503: (QUEUE, ServerBusyError)}[status]
    with rest_stand_in() as server, Client(server.address, retries=1) as client:
        server.reply = (status, {}, json.dumps({"error": text}).encode())
        with pytest.raises(error, match=r"out of memory|queue is full") as caught:
            client.predict(scan)
    assert isinstance(caught.value, ServerBusyError) == (status == 503)


def test_a_call_that_breaks_its_connection_is_made_once_more(tmp_path: Path) -> None:
    """Over three replicas, of which each would end."""
    counts = [tmp_path / f"counts{n}" for n in range(3)]
    ports = [free_port() for _ in range(3)]
    scan = scans_behind(tmp_path / "scans", MARKS[:1], 0) / f"a{MARKS[0]}" / "scan.nii.gz"
    processes = [
        subprocess.Popen([sys.executable, MORTAL, str(port), count])
        for port, count in zip(ports, counts, strict=True)
    ]
    try:
        addresses = [f"127.0.0.1:{port}" for port in ports]
        for address in addresses:
            wait_until_served(address)
        with Client(addresses) as client, pytest.raises(CallBrokenError, match="once more"):
            client.predict(scan)
        assert sum(count.read_text().count("\n") for count in counts if count.exists()) == 2
        ended = [
            process for process, count in zip(processes, counts, strict=True) if count.exists()
        ]
        assert [process.wait(10) for process in ended] == [1, 1]
        assert sum(process.poll() is None for process in processes) == 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
