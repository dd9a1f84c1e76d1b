"""What a run says of itself."""

import io
import signal
from pathlib import Path

import pytest

from vcam_client.batch import BatchSummary, Progress, ProgressPrinter
from vcam_client.batch import _progress as progress_module


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(done: int, failed: int = 0, **more: object) -> Progress:
    return Progress(done=done, failed=failed, skipped=2, total=102, seconds=10, **more)  # type: ignore[arg-type]


def test_a_line_has_counts_rate_and_time_left() -> None:
    assert at(18, 2).text == "22/102 scans, 2 failed, 2 per second, 40 s left"
    assert at(0).text == "2/102 scans"
    assert progress_module.duration(3725) == "1 h 2 min"


def test_a_terminal_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    stream = Terminal()
    printer = ProgressPrinter(stream)
    for done in range(5):
        printer(at(done))
    printer(at(5, finished=True))
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().count("\r") == 6


def test_elsewhere_lines_are_rare_and_failures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    for done in range(100):
        now += 2
        printer(at(done, failure="p7/scan.nii.gz: damaged" if done == 50 else ""))
    printer(at(100, finished=True))
    lines = stream.getvalue().splitlines()
    assert 8 <= len(lines) <= 14
    assert "failed: p7/scan.nii.gz: damaged" in lines
    assert lines[-1].startswith("102/102")


@pytest.mark.parametrize(
    ("numbers", "code"),
    [({}, 0), ({"failed": 1}, 1), ({"left": 2}, 1), ({"left": 2, "signal": signal.SIGINT}, 130)],
)
def test_the_exit_code_says_how_it_went(numbers: dict[str, int], code: int) -> None:
    counts = {"done": 3, "failed": 0, "skipped": 0, "left": 0, **numbers}
    summary = BatchSummary(seconds=2, log=Path("a"), table=Path("b"), **counts)
    assert summary.exit_code == code
    assert ("same command again" in summary.text) == bool(numbers)
