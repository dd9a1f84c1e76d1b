"""Reads many mutated files, or answers of servers, and says what came out:

    run.py [files|answers] --cases 20000 --seed 0

The exit code says whether anything but a VcamError or a volume did.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PEAK_LIMIT_MB = 1024
"""Most resident memory of the reading process; inputs are of a few kilobytes."""

_WORKERS = {"files": "worker.py", "answers": "answer_worker.py"}


@dataclass
class Report:
    """What came out.

    Attributes:
        outcomes: how often each error class or a volume did.
        failures: what must not have been, by case.
        slowest: seconds of the slowest case, and which it is.
        peak_mb: resident memory of the reading processes.
        cases: read to an end.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    peak_mb: float = 0.0
    cases: int = 0


def soak(seed: int, first: int, count: int, what: str = "files") -> Report:
    """Reads cases `first` to `first + count` of a seed; a worker that dies is replaced.

    Args:
        seed, first, count: which cases.
        what: "files", or "answers" of servers.
    """
    script = Path(__file__).with_name(_WORKERS[what])
    report, at, end = Report(), first, first + count
    while at < end:
        worker = subprocess.Popen(
            [sys.executable, str(script), str(seed), str(at), str(end - at)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, errors = worker.communicate()
        last = None
        for line in map(json.loads, output.splitlines()):
            last = line
            if "what" in line:
                _note(report, line)
        if last is None:
            raise RuntimeError(f"The worker did not start: {errors[-2000:]}")
        if errors:
            report.failures[-1 - last["case"]] = f"a library printed: {errors[-1000:]}"
        if "what" not in last:
            how = f"the worker ended with {worker.returncode} (-14: more than its seconds)"
            report.failures[last["case"]] = f"{last['input']}: {how}"
            report.cases += 1
        at = last["case"] + 1
    return report


def _note(report: Report, line: dict) -> None:
    report.cases += 1
    report.outcomes[line["what"]] += 1
    report.slowest = max(report.slowest, (line["seconds"], line["case"]))
    report.peak_mb = max(report.peak_mb, line["peak_mb"])
    if line["wrong"]:
        report.failures[line["case"]] = line["wrong"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=_WORKERS, default="files")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()
    report = soak(options.seed, options.first, options.cases, options.what)
    for case, wrong in report.failures.items():
        print(f"--- case {case} of seed {options.seed}\n{wrong}")
    outcomes = ", ".join(f"{n} {what}" for what, n in report.outcomes.most_common())
    print(
        f"{report.cases} {options.what} in {time.monotonic() - start:.0f} s: {outcomes}; "
        f"slowest {report.slowest[0]:.2f} s (case {report.slowest[1]}), "
        f"peak {report.peak_mb:.0f} MB, "
        f"{len(report.failures)} failures"
    )
    return int(bool(report.failures) or report.peak_mb > PEAK_LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
