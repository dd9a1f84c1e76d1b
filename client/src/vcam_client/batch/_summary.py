"""What a run came to."""

import signal
from dataclasses import dataclass
from pathlib import Path

from vcam_client.errors import VcamError

_SIGNAL_EXIT = 128
"""Added to a signal's number, as shells do."""


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """Numbers of a run.

    Attributes:
        done, failed: scans that this run finished, and that it could not.
        unfit: those of `failed` that fail again until the scan itself is mended.
        skipped: scans that an earlier run had finished.
        left: scans that it did not come to.
        seconds: wall time.
        log, table: paths of the .jsonl and of the .csv.
        stopped_by: why the run ended before all scans were tried; None otherwise.
        signal: the number of the signal that ended it, None otherwise.
    """

    done: int
    failed: int
    skipped: int
    left: int
    seconds: float
    log: Path
    table: Path
    unfit: int = 0
    stopped_by: VcamError | None = None
    signal: int | None = None

    @property
    def rate(self) -> float:
        """Scans per second, failed ones included."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def exit_code(self) -> int:
        """0 where every scan is done, 1 where some are not, 130 after Ctrl-C."""
        if self.signal is not None:
            return _SIGNAL_EXIT + self.signal
        return int(self.failed > 0 or self.left > 0 or self.stopped_by is not None)

    @property
    def text(self) -> str:
        """For a terminal, in a few lines."""
        counts = [f"{self.done} done"]
        counts += [f"{self.failed} failed"] if self.failed else []
        counts += [f"{self.skipped} done before"] if self.skipped else []
        counts += [f"{self.left} not tried"] if self.left else []
        lines = [
            f"{', '.join(counts)}: {self.seconds:.1f} s, {self.rate:.2g} scans per second.",
            f"Each scan's outcome: {self.log}",
            f"As a table:          {self.table}",
        ]
        if self.stopped_by is not None:
            lines.append(f"Stopped early: {self.stopped_by}")
        if self.signal is not None:
            lines.append(f"Stopped by {signal.Signals(self.signal).name}.")
        if self.unfit:
            lines.append("A scan that can't be read or used fails again until it is fixed.")
        if self.failed > self.unfit or self.left:
            lines.append("Give the same command again for those that are missing.")
        return "\n".join(lines)
