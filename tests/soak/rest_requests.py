"""Sends many mutated requests to vcam-serve and tells what came back.

    rest_requests.py --cases 5000 --seed 0

The exit code says whether anything but a valid answer or a clean close did, or whether
the server grew, printed a traceback or ended.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from served.raw_http import Answer, answers, request, send
from soak.request_mutations import Request, mutated, seeds

GROWTH_LIMIT_MB = 768
"""Most memory that requests may add: 100 MiB unpacked, its text, and one of a graph's runs."""

_STATUSES = frozenset({200, 400, 404, 413, 431, 501})
_BETWEEN_GOOD_REQUESTS = 100
_STDERR_FAULTS = re.compile(r"Traceback|uncaptured|Exception|ERROR|failed")
_COMMAND = Path(sys.executable).with_name("vcam-serve")


@dataclass
class Report:
    """What came back.

    Attributes:
        outcomes: how often each status came, or a close without an answer.
        failures: what must not have been, by case.
        growth_mb: how much the server's peak memory grew.
        cases: sent.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    growth_mb: float = 0.0
    cases: int = 0


def soak(base: Path, shape: tuple[int, ...], seed: int, first: int, count: int) -> Report:
    """Sends cases `first` to `first + count` of a seed to a server of its own.

    Args:
        base: the served folder of versions.
        shape: of the model's volumes [D, H, W].
        seed, first, count: which cases.
    """
    report, kinds = Report(), seeds(shape)
    with _server(base) as (process, address, log):
        _check_all(address, kinds, report)
        before = _peak_mb(process.pid)
        for case in range(first, first + count):
            sent = mutated(kinds, random.Random(f"{seed}/{case}"))
            report.cases += 1
            try:
                what = outcome(send(address, sent), sent)
            except Exception as error:
                report.failures[case] = f"{type(error).__name__}: {error}; sent {sent[:300]!r}"
                what = "failure"
            report.outcomes[what] += 1
            if case % _BETWEEN_GOOD_REQUESTS == 0:
                _check_all(address, kinds, report)
        _check_all(address, kinds, report)
        report.growth_mb = _peak_mb(process.pid) - before
        printed = log.read_text()
        if _STDERR_FAULTS.search(printed):
            report.failures[-1] = f"the server printed: {printed[-2000:]}"
        if process.poll() is not None:
            report.failures[-2] = f"the server ended with {process.returncode}"
    return report


def outcome(received: bytes, sent: bytes) -> str:
    """The statuses that came, or "closed".

    Raises:
        AssertionError: the answer is not what a client can read.
    """
    found = answers(received, head=b"HEAD" in sent)
    for answer in found:
        assert answer.status in _STATUSES, f"{answer.status} {answer.body[:500]!r}"
        assert answer.headers["content-type"] == "application/json"
        if answer.status != 200 and answer.body:
            assert answer.error
            assert not re.search(r"[A-Z]\w+(Error|Exception)\b", _own_words(answer)), answer.error
    return str(found[0].status) if found else "closed"


def _own_words(answer: Answer) -> str:
    """The error without what it quotes of the request."""
    return re.sub(r"JSON Value: .*?(?= (Type:|not |found )|$)", "", answer.error, flags=re.S)


def _check_all(address: str, kinds: list[Request], report: Report) -> None:
    for kind in kinds:
        sent = request(kind.method, kind.path, kind.body if kind.document else None)
        statuses = [answer.status for answer in answers(send(address, sent))]
        if statuses != [200]:
            report.failures[-3] = f"a sound request got {statuses} after {report.cases} cases"


@contextmanager
def _server(base: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [_COMMAND, base, "--port", "0", "--rest-port", "0"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            ) as process,
        ):
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if found := re.search(r"http://([^/]+)/", line):
                        yield process, found[1], log
                        break
                else:
                    raise RuntimeError(f"The server did not start: {log.read_text()[-2000:]}")
            finally:
                process.kill()


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from golden.models import recipes

    from vcam_training.exporting.export import export

    recipe = recipes()["bright"]
    with tempfile.TemporaryDirectory() as folder:
        version = export(recipe.model, recipe.spec, Path(folder) / "bright")
        start = time.monotonic()
        report = soak(
            version.parent, recipe.spec.grid.shape, options.seed, options.first, options.cases
        )
    for case, wrong in report.failures.items():
        print(f"--- case {case} of seed {options.seed}\n{wrong}")
    outcomes = ", ".join(f"{n} {what}" for what, n in report.outcomes.most_common())
    print(
        f"{report.cases} requests in {time.monotonic() - start:.0f} s: {outcomes}; "
        f"memory grew by {report.growth_mb:.0f} MB, {len(report.failures)} failures"
    )
    return int(bool(report.failures) or report.growth_mb > GROWTH_LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
