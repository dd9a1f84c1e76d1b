"""How far a run is: one line that changes on a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass
from typing import TextIO

_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.1
_UPDATE_EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Numbers of a run under way.

    Attributes:
        done, failed, skipped, total: scans; `skipped` were done by an earlier run.
        seconds: since the run began.
        note: what the run is waiting for, "" where it is not.
        failure: "KEY: why" of the scan that failed just now, "" otherwise.
        finished: whether nothing more comes.
    """

    done: int
    failed: int
    skipped: int
    total: int
    seconds: float
    note: str = ""
    failure: str = ""
    finished: bool = False

    @property
    def rate(self) -> float:
        """Scans per second."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before the first scan."""
        left = self.total - self.skipped - self.done - self.failed
        return left / self.rate if self.rate > 0 else None

    @property
    def text(self) -> str:
        """One line."""
        at = self.skipped + self.done + self.failed
        parts = [f"{at}/{self.total} scans"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.rate:.2g} per second"] if self.rate else []
        if self.seconds_left is not None and not self.finished:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts) + (f" – {self.note}" if self.note else "")


class ProgressPrinter:
    """Prints progress; give it as `on_progress`.

    On a terminal one line is written over and over. Elsewhere a line comes every 10 s
    or every tenth of the scans, whatever is rarer, and at the end. Once nobody reads the
    stream any more (a closed pipe, a full disk), it is silent: the log has it all.

    Args:
        stream: where to, such as sys.stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._printed_at = time.monotonic()
        self._share = 0.0
        self._note = ""
        self._width = 0
        self._silent = False

    def __call__(self, progress: Progress) -> None:
        """Prints what is due."""
        if self._silent:
            return
        try:
            self._print(progress)
        except (OSError, ValueError):  # broken, full, or closed
            self._silent = True

    def _print(self, progress: Progress) -> None:
        if progress.failure:
            self._line(f"failed: {progress.failure}")
        if self._terminal:
            self._update(progress)
        elif self._is_due(progress):
            self._line(progress.text)
        self._note = progress.note

    def _is_due(self, progress: Progress) -> bool:
        now = time.monotonic()
        share = (progress.done + progress.failed + progress.skipped) / max(1, progress.total)
        rested = now - self._printed_at >= _LINE_EVERY_S
        due = (
            progress.finished
            or (bool(progress.note) and progress.note != self._note)
            or (rested and (share - self._share >= _LINE_EVERY_SHARE or bool(progress.note)))
            or now - self._printed_at >= 6 * _LINE_EVERY_S
        )
        if due:
            self._printed_at, self._share = now, share
        return due

    def _update(self, progress: Progress) -> None:
        now = time.monotonic()
        soon = now - self._printed_at < _UPDATE_EVERY_S
        if soon and not (progress.finished or progress.failure or progress.note != self._note):
            return
        self._printed_at = now
        text = progress.text
        end = "\n" if progress.finished else ""
        self._write(f"\r{text}{' ' * (self._width - len(text))}{end}")
        self._width = 0 if progress.finished else len(text)

    def _line(self, text: str) -> None:
        clear, self._width = "\r" + " " * self._width + "\r" if self._width else "", 0
        self._write(f"{clear}{text}\n")

    def _write(self, text: str) -> None:
        """Writes what the stream's encoding has, and the rest escaped."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


def duration(seconds: float) -> str:
    """Such as "42 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
