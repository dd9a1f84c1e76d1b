"""Two processes never train in one folder at once."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pytest

from vcam_client.errors import ConfigError, OutputError
from vcam_training import train
from vcam_training.config import Config, load, override
from vcam_training.data.alone import alone
from vcam_training.run_folder import RunFolder
from vcam_training.run_lock import LOCK, locked
from vcam_training.sweep import axes_of, sweep

HOLDER = """
import sys
from pathlib import Path
from vcam_training.run_lock import locked
with locked(Path(sys.argv[1]), sys.argv[2], print):
    print("held", flush=True)
    sys.stdin.read()
"""


def quiet(line: str) -> None:
    pass


@contextmanager
def other_process(folder: Path, what: str) -> Iterator[subprocess.Popen]:
    """Holds the folder until it is killed or its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.stdin.close()


@pytest.fixture
def config() -> Config:
    return override(load("solids", tiny=True), ["epochs=1"])


def test_a_second_run_is_refused_and_changes_nothing(config: Config, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with other_process(out, "trains") as process:
        with pytest.raises(ConfigError) as caught:
            train.run(config, out, data_folder=tmp_path)
        assert str(caught.value) == (
            f"Another process trains in '{out}' (process {process.pid} on {os.uname().nodename}). "
            "Wait until it has ended and give the same command again, or name another folder "
            "with --out."
        )
        assert os.listdir(out) == [LOCK]
    assert not out.exists()  # nothing was trained in it


def test_a_second_sweep_is_refused(config: Config, tmp_path: Path) -> None:
    axes = axes_of(config, ["learning_rate=0.1,0.2"])
    with (
        other_process(tmp_path / "sweep", "sweeps"),
        pytest.raises(ConfigError, match=r"Another process sweeps in .*with --out"),
    ):
        sweep(config, axes, (0,), tmp_path / "sweep", data_folder=tmp_path)
    run = "learning_rate=0.1/seed=0"
    with (
        other_process(tmp_path / "sweep" / run, "trains"),
        pytest.raises(ConfigError, match=r"Another process trains in .*seed=0"),
    ):
        sweep(config, axes, (0,), tmp_path / "sweep", data_folder=tmp_path)


def test_a_killed_process_locks_nothing(config: Config, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with other_process(out, "trains") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (out / LOCK).exists()
        train.run(config, out, data_folder=tmp_path)
    assert (out / "metrics.json").exists()
    assert not (out / LOCK).exists()


def test_a_finished_run_is_read_while_another_process_has_its_folder(
    config: Config, tmp_path: Path
) -> None:
    out, lines = tmp_path / "run", []
    train.run(config, out, data_folder=tmp_path)
    with other_process(out, "trains"):
        train.run(config, out, data_folder=tmp_path, report=lines.append)
        assert RunFolder(out, config).finished
    assert any("is finished; nothing to do" in line for line in lines)
    assert (out / "metrics.json").exists()


def test_a_folder_is_free_after_a_failure_and_between_runs(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    out = tmp_path / "a" / "b"

    def stop() -> None:
        with locked(out, "trains", quiet):
            with (
                pytest.raises(ConfigError, match="Another process trains"),
                locked(out, "trains", quiet),
            ):
                pass
            raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            stop()
        assert list(tmp_path.iterdir()) == []
    out.mkdir(parents=True)
    with locked(out, "trains", quiet):
        (out / "mine").touch()
    assert os.listdir(out) == ["mine"]


@pytest.mark.parametrize("lock", [locked, lambda place, what, report: alone(place, report, what)])
def test_a_file_system_without_locks_is_named(
    lock: Callable[..., AbstractContextManager[None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    lines: list[str] = []
    with lock(tmp_path / "place", "trains", lines.append):
        pass
    assert len(lines) == 1
    assert "file system without locks" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_its_holder_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with its folder between opening and locking; a file that is gone locks nobody out."""
    folder, flock = tmp_path / "run", fcntl.flock
    removed: list[Path] = []

    def late(stream: IO[str], how: int) -> None:
        if not removed:
            removed.append(folder)
            shutil.rmtree(folder)
        flock(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(folder, "trains", quiet):
        assert os.listdir(folder) == [LOCK]
        with pytest.raises(ConfigError, match="Another process"), locked(folder, "trains", quiet):
            pass
    assert removed
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_data_comes_in_alone(tmp_path: Path) -> None:
    """The first removes its lock while two wait for it; they still take turns."""
    lock, inside, most = tmp_path / "lock", [], []
    waiting = threading.Semaphore(0)

    def work(report: Callable[[str], None]) -> None:
        with alone(lock, report, "works"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        with alone(lock, quiet, "works"):
            calls = [pool.submit(work, lambda line: waiting.release()) for _ in range(8)]
            for _ in calls:
                assert waiting.acquire(timeout=60)
        for call in calls:
            call.result(60)
    assert most == [1] * 8
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_the_lock_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left"), locked(tmp_path / "a", "trains", quiet):
        pass
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_an_older_checkpoint_goes_once_the_newer_is_on_disk(
    config: Config, tmp_path: Path, disk_steps: list[str]
) -> None:
    train.run(override(config, ["epochs=2"]), tmp_path / "run", data_folder=tmp_path)
    (named,) = (step for step in disk_steps if step.endswith(" epoch-0002.keras"))
    part = named.split()[1]
    order = [f"sync {part}", named, "sync checkpoints", "remove epoch-0001.keras"]
    places = [disk_steps.index(order[0]), disk_steps.index(order[1])]
    places.append(places[1] + disk_steps[places[1] :].index(order[2]))
    places.append(disk_steps.index(order[3]))
    assert places == sorted(places)


def test_a_damaged_checkpoint_is_one_clear_error(config: Config, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train.run(override(config, ["epochs=2"]), out, data_folder=tmp_path, report=stop)
    (checkpoint,) = (out / "checkpoints").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"epoch-0001\.keras.* into another folder with --out"):
        train.run(override(config, ["epochs=2"]), out, data_folder=tmp_path)
    assert not (out / LOCK).exists()
