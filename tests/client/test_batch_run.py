"""Runs over many scans against a stand-in server: failures, logs, taking up again, signals."""

import csv
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import nibabel as nib
import numpy as np
import pytest
from client.stand_in import SPEC, RefusalError, StandIn, answer, stand_in

from vcam_client import Client
from vcam_client.batch import Progress, ScanItem, Shard, find_scans, run_batch
from vcam_client.batch import _log as log_module
from vcam_client.errors import (
    IncompatibleScanError,
    InputError,
    OutputError,
    ServerUnavailableError,
)
from vcam_client.results import Choices

WORKER = Path(__file__).with_name("batch_worker.py")


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


@pytest.fixture
def client(server: StandIn) -> Iterator[Client]:
    with Client(server.address, retries=1) as made:
        yield made


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return write_scans(tmp_path / "scans", 6)


def write_scans(folder: Path, count: int, shape: tuple[int, ...] = (16, 12, 8)) -> Path:
    rng = np.random.default_rng(0)
    for n in range(count):
        path = folder / f"p{n}" / "scan.nii.gz"
        path.parent.mkdir(parents=True)
        data = rng.integers(-1000, 400, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([-2, -2, 3, 1.0])), path)
    return folder


def records(out: Path, name: str = "results.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def rows(out: Path, name: str = "results.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_scan_has_its_results_a_record_and_a_row(
    client: Client, scans: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    out = tmp_path / "out"
    summary = run_batch(client, find_scans([scans]), out, on_progress=seen.append)
    assert (summary.done, summary.failed, summary.left, summary.exit_code) == (6, 0, 0, 0)
    logged = {record["key"]: record for record in records(out)}
    assert sorted(logged) == [f"p{n}/scan.nii.gz" for n in range(6)]
    record = logged["p3/scan.nii.gz"]
    assert record["scores"] == {"clear": 0.25, "lesion": 0.75}
    assert record["evidence"]["lesion"]["found"] is True
    assert record["model_version"] == 1
    for name in record["files"]:
        assert (out / name).stat().st_size > 0
    assert "p3/scan_heatmap.nii.gz" in record["files"]
    assert {"read", "prepare", "server", "write"} <= set(record["timings_s"])
    table = {row["key"]: row for row in rows(out)}
    assert sorted(table) == sorted(logged)
    row = table["p3/scan.nii.gz"]
    assert (row["status"], row["score lesion"], row["evidence_found"]) == ("done", "0.75", "True")
    assert row["result_file"] == "p3/scan_result.json"
    world = record["evidence"]["lesion"]["strongest_cell_world_ras_mm"]
    assert [float(row[f"evidence_{axis}_mm"]) for axis in "xyz"] == world
    assert seen[-1].finished
    assert (seen[-1].done, seen[-1].total) == (6, 6)
    assert "6 done" in summary.text


def test_a_scan_that_fails_fails_alone_and_is_tried_again(
    client: Client, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (scans / "p1" / "scan.nii.gz").read_bytes()
    (scans / "p1" / "scan.nii.gz").write_bytes(whole[:-50])
    read = ScanItem.read

    def defect(item: ScanItem, options: Any) -> Any:
        if item.key.startswith("p2"):
            raise ZeroDivisionError("John Doe")
        return read(item, options)

    monkeypatch.setattr(ScanItem, "read", defect)
    out = tmp_path / "out"
    summary = run_batch(client, find_scans([scans]), out)
    assert (summary.done, summary.failed, summary.exit_code) == (4, 2, 1)
    errors = {r["key"][:2]: r["error"] for r in records(out) if r["status"] == "failed"}
    assert errors["p1"]["type"] == "CorruptFileError"
    assert "damaged" in errors["p1"]["message"]
    assert errors["p2"]["type"] == "ZeroDivisionError"
    assert "John Doe" not in (out / "results.jsonl").read_text()
    assert len(rows(out)) == 6
    monkeypatch.undo()
    (scans / "p1" / "scan.nii.gz").write_bytes(whole)
    summary = run_batch(client, find_scans([scans]), out)
    assert (summary.done, summary.failed, summary.skipped) == (2, 0, 4)
    for found in (records(out), rows(out)):
        assert sorted(r["key"] for r in found) == [f"p{n}/scan.nii.gz" for n in range(6)]
        assert {r["status"] for r in found} == {"done"}


def test_started_again_it_does_what_is_missing_and_what_has_changed(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch(client, find_scans([scans])[:3], out)
    server.requests.clear()
    summary = run_batch(client, find_scans([scans]), out)
    assert (summary.done, summary.skipped) == (3, 3)
    asked = [r for r in server.requests if r.model_spec.signature_name != "spec"]
    assert len(asked) == 3
    data = np.zeros((20, 12, 8), np.int16)
    nib.save(nib.Nifti1Image(data, np.eye(4)), scans / "p0" / "scan.nii.gz")
    summary = run_batch(client, find_scans([scans]), out)
    assert (summary.done, summary.skipped) == (1, 5)
    assert len(records(out)) == len(rows(out)) == 6


def test_another_model_version_or_question_is_noticed(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    out, items = tmp_path / "out", find_scans([scans])
    run_batch(client, items, out)
    with pytest.raises(InputError, match=r"label by default; now label 'clear'.*--again"):
        run_batch(client, items, out, choices=Choices(label="clear"))
    with pytest.raises(InputError, match="model 'default'; now model 'other'"):
        run_batch(client, items, out, model="other")
    with pytest.raises(IncompatibleScanError, match="no label"):
        run_batch(client, items, tmp_path / "else", choices=Choices(label="tumour"))
    server.version = 2
    with pytest.raises(InputError, match=r"version 1 of the model, the server has version 2"):
        run_batch(client, items, out)
    assert {r["model_version"] for r in records(out)} == {1}
    summary = run_batch(client, items, out, again=True)
    assert (summary.done, summary.skipped) == (6, 0)
    assert [r["model_version"] for r in records(out)] == [2] * 6


def test_a_new_version_in_the_middle_is_named_line_by_line(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(SPEC, labels=("clear", "nodule"))

    def publish(request: object) -> Any:
        if len(server.requests) == 4:
            server.version, server.spec_json = 2, other.to_json()
        return answer()

    server.predict = publish
    out = tmp_path / "out"
    summary = run_batch(client, find_scans([scans]), out, workers=1)
    assert summary.exit_code == 0
    assert [r["model_version"] for r in records(out)] == [1] * 3 + [2] * 3
    table = rows(out)
    assert [row["score lesion"] for row in table] == ["0.75"] * 3 + [""] * 3
    assert [row["score nodule"] for row in table] == [""] * 3 + ["0.75"] * 3


@pytest.mark.parametrize("torn", [b'{"key": "p9/scan', b"\0\0\0\0\0\0", b"\0\0\0\n"])
def test_a_torn_last_line_is_dropped(
    client: Client, scans: Path, tmp_path: Path, torn: bytes
) -> None:
    out, items = tmp_path / "out", find_scans([scans])
    run_batch(client, items[:4], out)
    log = out / "results.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + torn)
    with (out / "results.csv").open("ab") as stream:
        stream.write(b"p9/sc")
    summary = run_batch(client, items, out)
    assert (summary.done, summary.skipped) == (3, 3)
    assert len(records(out)) == 6
    assert sorted(r["key"] for r in rows(out)) == [item.key for item in items]


def test_a_file_that_is_no_log_is_left_as_it_is(
    client: Client, scans: Path, tmp_path: Path
) -> None:
    log = tmp_path / "results.jsonl"
    log.write_text("mine\nmine, too\n")
    with pytest.raises(InputError, match="Line 1"):
        run_batch(client, find_scans([scans]), tmp_path)
    assert log.read_text() == "mine\nmine, too\n"


def test_two_runs_never_write_one_log_and_shards_have_their_own(
    client: Client, scans: Path, tmp_path: Path
) -> None:
    out, items = tmp_path / "out", find_scans([scans])
    with (
        log_module.ResultLog(out, "-01-of-02"),
        pytest.raises(OutputError, match="Another run writes"),
    ):
        run_batch(client, items, out, shard=Shard(number=1, count=2))
    for n in (1, 2):
        run_batch(client, items, out, shard=Shard(number=n, count=2))
    both = [records(out, f"results-0{n}-of-02.jsonl") for n in (1, 2)]
    assert sorted(r["key"] for part in both for r in part) == [item.key for item in items]
    assert all(both)
    assert len(rows(out, "results-01-of-02.csv")) == len(both[0])
    summary = run_batch(client, items, out)  # the shards' logs count
    assert (summary.done, summary.skipped) == (0, 6)


def test_a_server_that_stays_away_ends_the_run_and_what_is_finished_stays(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    def gone(request: object) -> Any:
        if len(server.requests) > 3:
            raise RefusalError(grpc.StatusCode.UNAVAILABLE, "gone")
        return answer()

    server.predict = gone
    out, items = tmp_path / "out", find_scans([scans])
    notes: list[str] = []
    summary = run_batch(
        client, items, out, workers=1, patience=1, on_progress=lambda p: notes.append(p.note)
    )
    assert isinstance(summary.stopped_by, ServerUnavailableError)
    assert (summary.done, summary.failed, summary.left, summary.exit_code) == (2, 0, 4, 1)
    assert "Stopped early" in summary.text
    assert any("no answer from the server" in note for note in notes)
    server.predict = lambda request: answer()
    assert run_batch(client, items, out).done == 4


def test_a_short_absence_of_the_server_fails_nothing(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    began: list[float] = []

    def away_for_a_second(request: object) -> Any:
        if len(server.requests) > 3:
            began.append(time.monotonic())
            if time.monotonic() - began[0] < 1:
                raise RefusalError(grpc.StatusCode.UNAVAILABLE, "restarting")
        return answer()

    server.predict = away_for_a_second
    summary = run_batch(client, find_scans([scans]), tmp_path / "out")
    assert (summary.done, summary.exit_code) == (6, 0)
    assert len(began) > 4
    assert len(records(tmp_path / "out")) == 6


def test_a_refused_token_ends_the_run_at_once(
    client: Client, server: StandIn, scans: Path, tmp_path: Path
) -> None:
    def refuse(request: object) -> Any:
        raise RefusalError(grpc.StatusCode.PERMISSION_DENIED, "no")

    server.predict = refuse
    summary = run_batch(client, find_scans([scans]), tmp_path / "out", workers=1)
    assert summary.left == 6
    assert "refused access" in summary.text


def test_a_full_disk_ends_the_run_and_leaves_whole_files(
    client: Client, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 14:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    out, items = tmp_path / "out", find_scans([scans])
    monkeypatch.setattr(os, "fsync", full)
    summary = run_batch(client, items, out, workers=1)
    monkeypatch.undo()
    assert isinstance(summary.stopped_by, OutputError)
    assert "No space left" in str(summary.stopped_by)
    assert (summary.failed, summary.exit_code) == (0, 1)
    assert 0 < summary.done < 6
    assert len(records(out)) >= summary.done
    assert (out / "results.csv").read_bytes().endswith(b"\n")
    assert not list(out.rglob("*.part"))
    assert run_batch(client, items, out).exit_code == 0
    assert len(records(out)) == len(rows(out)) == 6


def test_a_line_that_does_not_fit_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(key: str) -> dict[str, Any]:
        return {"key": key, "status": "done", "scores": {"lesion": 0.5}}

    with log_module.ResultLog(tmp_path, labels=["lesion"]) as log:
        log.append(record("first"))
        before = (log.path.read_bytes(), log.table.read_bytes())

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            log.append(record("second"))
        assert (log.path.read_bytes(), log.table.read_bytes()) == before


def test_results_for_all_classes_do_not_meet_those_of_another_scan(
    client: Client, tmp_path: Path
) -> None:
    items = [ScanItem(key=n, path=tmp_path / n, name=n) for n in ("a", "a_Lesion")]
    with pytest.raises(InputError, match="name of another scan"):
        run_batch(client, items, tmp_path / "out", choices=Choices(all_classes=True))


def test_memory_stays_flat(client: Client, tmp_path: Path) -> None:
    scans = write_scans(tmp_path / "scans", 40, (64, 64, 32))
    peaks: list[int] = []
    done = 0

    def measure(progress: Progress) -> None:
        nonlocal done
        if progress.done > done:
            done = progress.done
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()

    items = find_scans([scans])
    run_batch(client, items[:2], tmp_path / "warm")
    tracemalloc.start()
    try:
        run_batch(client, items, tmp_path / "out", workers=2, on_progress=measure)
    finally:
        tracemalloc.stop()
    assert max(peaks[-10:]) < 1.25 * max(peaks[:10])


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_what_is_under_way_and_the_second_ends_at_once(
    server: StandIn, scans: Path, tmp_path: Path, times: int
) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def wait(request: object) -> Any:
        if len(server.requests) > 3:
            under_way.set()
            go_on.wait(20)
        return answer()

    server.predict = wait
    out = tmp_path / "out"
    command = [sys.executable, WORKER, server.address, out, scans]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert under_way.wait(20)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "stopping when" in line:
                break
        if times == 2:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == -signal.SIGINT
        go_on.set()
        stdout, _ = process.communicate(timeout=20)
    finished = records(out)
    for record in finished:
        assert all((out / name).stat().st_size > 0 for name in record["files"])
    assert len(finished) < 6
    if times == 1:
        assert process.returncode == 130
        assert "Stopped by SIGINT" in stdout
        assert len(finished) >= 2
    server.predict = lambda request: answer()
    with Client(server.address) as client:
        assert run_batch(client, find_scans([scans]), out).exit_code == 0
    assert len(records(out)) == len(rows(out)) == 6
